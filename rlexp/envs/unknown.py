"""One line on an environment id that gymnasium does not know: the package to install, or the nearest names."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterable

import gymnasium

from rlexp.envs.packages import ATARI, GAMES, MUJOCO_PY, installed, package_of

CUTOFF = 0.8
"""Least similarity (difflib's ratio, 0 to 1) of names that are near."""
MOST = 3
"""Names in one answer."""
TOO_OLD = (
    "which needs an older gym or gymnasium than rlexp does, and is not installed; wrap its environment in a class of "
    "your own and write env.id=module:Id"
)
HELPERS = ("GymV21Environment", "GymV26Environment")
"""Ids that are no environments."""


def unregistered(env_id: str) -> str:
    """Return one line on an id that is not registered after all that registers it has been imported."""
    module, _, name = env_id.rpartition(":")
    if module and importlib.util.find_spec(module) is None:
        return f"env.id={env_id}: there is no module {module}"
    package, near = package_of(env_id), nearest(name, gymnasium.registry)
    if package is None:
        hint = f"; nearest: {', '.join(near)}" if near else ", and no name is near; give module:Id for one of your own"
        return f"env.id={env_id} is not registered{hint}"
    game, root = _atari(name), package.module.partition(".")[0]
    if not installed(package.module):
        as_now = f", and write env.id={game}" if game not in (None, env_id) else ""
        how = f"which is not installed; install it with: {pip_install(package.pip)}{as_now}"
        return f"env.id={env_id} is of the package {root}, {how if package.pip else TOO_OLD}"
    if game is not None and game in gymnasium.registry:
        near = [game]
    if near:
        return f"env.id={env_id} is not registered; nearest: {', '.join(near)}"
    needs = f"; if a part of it is missing: {pip_install(package.pip)}" if "[" in package.pip else ""
    return f"env.id={env_id}: the package {root} registers no such id with gymnasium{needs}"


def pip_install(requirement: str) -> str:
    """Return the command that installs a requirement, as a shell takes it."""
    return f"pip install {requirement}" if re.fullmatch(r"[\w.-]+", requirement) else f'pip install "{requirement}"'


def outdated(env_id: str) -> str | None:
    """Return one line on an id that gymnasium keeps for what it no longer brings; None: it is none of those."""
    if MUJOCO_PY.fullmatch(env_id) is None:
        return None
    newest = f"{_base(env_id)}-v5"
    return f"env.id={env_id} needs mujoco-py, which is no longer maintained; write env.id={newest}"


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three known ids that a name may stand for, the likeliest first, each in its newest version.

    The same name in another version, case or namespace comes first; else names that begin as this one does, or that
    differ from it in few letters.
    """
    newest: dict[str, str] = {}
    for one in sorted(known, key=_version):
        if _base(one) not in HELPERS:
            newest[_base(one)] = one
    wanted, last = _plain(_base(name)), _plain(_base(name).rpartition("/")[2])
    found = [one for base, one in newest.items() if _plain(base) == wanted]
    if not found and "/" not in name:
        found = [one for base, one in newest.items() if _plain(base.rpartition("/")[2]) == last]
    if not found and len(wanted) > 4:
        found = [one for base, one in newest.items() if _plain(base).startswith(wanted)]
    if not found:
        plains: dict[str, str] = {}
        for base, one in newest.items():
            plains.setdefault(_plain(base), one)
        found = [plains[plain] for plain in difflib.get_close_matches(wanted, plains, n=MOST, cutoff=CUTOFF)]
    return found[:MOST]


def _atari(name: str) -> str | None:
    """Return how today's package of Atari games names a game, with its RAM or the like left out; None: it is none."""
    match = ATARI.fullmatch(name)
    if match is None:
        return None
    game = next(game for game in GAMES if game.lower() == match.group(1).lower())
    return f"ALE/{game}-v5"


def _base(env_id: str) -> str:
    return re.sub(r"-v\d+$", "", env_id)


def _version(env_id: str) -> int:
    found = re.search(r"-v(\d+)$", env_id)
    return int(found.group(1)) if found else -1


def _plain(text: str) -> str:
    """Return a name in small letters, without what people spell in different ways."""
    return re.sub(r"[-_ ./]", "", text.lower())
