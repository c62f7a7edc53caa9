"""Generated mistakes: each is refused in one line or changes nothing; none ends in a traceback or a hang."""

import contextlib
import dataclasses
import hashlib
import json
import random
import re
import signal
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rlexp.algos import PPO
from rlexp.command.paths import with_run_directory
from rlexp.config.compose import register, resolve
from rlexp.config.explain import check_arguments, explain, known_keys, surplus_keys, unknown_key
from rlexp.config.places import conf_dir
from rlexp.config.schema import Config
from rlexp.data.state import Saved
from rlexp.envs import check_environment
from rlexp.errors import ConfigError
from rlexp.run.loading import load_actor
from rlexp.settings import fields_of
from tests.commands import command, error_line, recorded_run
from tests.launch.forked import start

SECONDS = 20
"""The longest that one mistake may take."""


@contextlib.contextmanager
def soon() -> Iterator[None]:
    def late(*_: object) -> None:
        raise AssertionError(f"longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# Overrides

WRONG: dict[str, list[str]] = {
    "int": ["abc", "1.5", "[1]", "{a:1}", "1e400", "nan", "-7", "''", "null", "0x"],
    "float": ["abc", "[1]", "nan", "inf", "-inf", "{a:1}", "1e400", "-1e30", "null", "--1"],
    "bool": ["maybe", "[]", "[true]", "{a:1}", "null", "0.5"],
    "list[int]": ["3", "[a]", "[1.5]", "{a:1}", "[0]", "[-3]", "[]", "[[1]]", "null", "[nan]"],
}
"""Values that no key of a type takes."""
SYNTAX = "=[]{}(),:$'\"\\+~@/ \t#&*!%.^|<>`;"
NEVER = [
    "algo=../../etc/passwd", "algo=../experiment/cartpole", "env=/etc/passwd", "experiment=..", "topology=../algo/ppo",
    "env=gym env.id=../../x", "env=gym env.id='a\nb'", "env=gym env.id=os:system", "env=gym env.id=''",
    "env=gym env.id=CartPole-v1:x", "seed=${nothing}", "seed=${oc.env:NOT_SET_ANYWHERE}", "seed=${seed}",
    "seed=${eval:1}", "+_target_=os.system", "+env._target_=os.system", "++algo._target_=os.system",
    "+env.kwargs._target_=os.system", "hydra/launcher=nothing", "~algo", "~env.id", "~total_timesteps", "~topology",
    "algo@env=ppo", "env.kwargs=3", "+env.kwargs.x=${nothing}", "hydra.run=3", "algo=", "algo=[ppo,a2c]", "env.id=",
    "seed=" + "9" * 5000, "seed=" + "[" * 400, "env.kwargs=" + "{a:" * 60 + "1" + "}" * 60, "x" * 10_000, "algo=null",
]  # fmt: skip


def bad_override(draw: random.Random) -> str:
    """Return a mistake that somebody, or something, might make."""
    known = known_keys()
    kind = draw.choice(["typo", "type", "choice", "range", "syntax", "never", "noise"])
    leaves = list(fields_of(Config(algo=PPO())))
    if kind == "typo":
        key = draw.choice(known)
        place, letter = draw.randrange(len(key)), draw.choice(string.ascii_lowercase)
        changed = draw.choice([key[:place] + letter + key[place:], key[:place] + key[place + 1 :] or "x"])
        return f"{changed}=1" if changed not in known else "nothing=1"
    if kind == "type":
        types = types_of_keys()
        key = draw.choice([key for key, name in types.items() if name in WRONG])
        return f"{key}={draw.choice(WRONG[types[key]])}"
    if kind == "choice":
        key = draw.choice([key for key, _, metadata in leaves if metadata.get("choices")])
        return f"{key}={''.join(draw.choices(string.ascii_letters, k=draw.randint(1, 9)))}"
    if kind == "range":
        key, _, metadata = draw.choice([leaf for leaf in leaves if leaf[2].get("ge") or leaf[2].get("gt") == 0])
        bound = metadata["gt"] if metadata["gt"] is not None else metadata["ge"] - 1
        value = f"[{int(bound)}]" if "sizes" in key else str(bound)
        return f"{key}={value}"
    if kind == "syntax":
        return f"{draw.choice(known)}={''.join(draw.choices(SYNTAX, k=draw.randint(1, 8)))}"
    if kind == "never":
        return draw.choice(NEVER)
    return "".join(draw.choices(string.printable, k=draw.randint(1, 30)))


def types_of_keys() -> dict[str, str]:
    """Return the declared type of each key."""
    from rlexp.config.explain import _type_name

    return {key: str(_type_name(key)) for key, _, _ in fields_of(Config(algo=PPO()))}


def outcome(override: str) -> str | Config:
    """Return the line that refuses an override, or the config that it makes, by the functions of the command."""
    register()
    words = override.split(" ") if override.startswith("env=gym ") else [override]
    try:
        check_arguments(words)
        words = with_run_directory(words)
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose("config", overrides=words)
        config = resolve(composed)
        for key in surplus_keys(config, composed):
            raise ConfigError(unknown_key(key))
        check_environment(config)
    except ConfigError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException) as error:
        return explain(error)
    return config


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.torture)])
def test_generated_overrides_are_refused_in_one_line_or_change_nothing(count, tell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw, default = random.Random(count), outcome("seed=42")
    assert isinstance(default, Config)
    wrong = []
    for override in list(dict.fromkeys(bad_override(draw) for _ in range(4 * count)))[:count]:
        with soon():
            result = outcome(override)
        if isinstance(result, Config):
            if result != default:
                wrong.append(f"{override!r} was accepted")
        elif "\n" in result or not result:
            wrong.append(f"{override!r} was answered by {result!r}")
    assert not wrong, "\n".join(wrong)
    assert not list(tmp_path.iterdir())
    tell(
        "generated overrides, by the command's functions", f"{count} of {count} refused in one line or changed nothing"
    )


@pytest.mark.parametrize("count", [2, pytest.param(50, marks=pytest.mark.torture)])
def test_the_command_refuses_generated_overrides_in_one_line(count, tell, tmp_path):
    draw, wrong = random.Random(-count), []
    while len(wrong) < count:  # some are no mistakes: ~seed leaves the default
        override = bad_override(draw).replace("\0", "")
        if isinstance(outcome(override), str):
            wrong.append(override)
    for number, override in enumerate(wrong):
        run = start(override, cwd=tmp_path / str(number))
        code = run.wait(SECONDS)
        if override.startswith("-"):
            continue  # an option, which Hydra itself answers
        lines = run.stderr.splitlines()
        assert code == 1, override
        assert len(lines) == 1, (override, lines)
        assert lines[0].startswith("error: "), override
        assert not list(run.cwd.iterdir()), override
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {str(number) for number in range(count)}
    tell("generated overrides, by the command itself", f"{count} of {count} refused in one line, no file left")


# Checkpoints


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    return (recorded_run(tmp_path_factory) / "RUN" / "checkpoints" / "last.safetensors").read_bytes()


def flipped(content: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 8, 64])):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def moved(content: bytes, draw: random.Random) -> bytes:
    """Two pieces of equal length change places."""
    size = draw.choice([1, 16, 256, 4096])
    one, other = sorted(draw.randrange(len(content) - size) for _ in range(2))
    first, second = content[one : one + size], content[other : other + size]
    damaged = bytearray(content)
    damaged[other : other + size], damaged[one : one + size] = first, second
    return bytes(damaged)


def blanked(content: bytes, draw: random.Random) -> bytes:
    size, place = draw.choice([1, 512, 4096]), draw.randrange(len(content))
    return content[:place] + bytes(len(content[place : place + size])) + content[place + size :]


def grown(content: bytes, draw: random.Random) -> bytes:
    place = draw.choice([0, len(content), draw.randrange(len(content))])
    return content[:place] + draw.randbytes(draw.choice([1, 100, 5000])) + content[place:]


def swapped(content: bytes, draw: random.Random) -> bytes:
    """Two tensors of one size change places, each of them whole."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    places = [value["data_offsets"] for name, value in header.items() if name != "__metadata__"]
    pairs = [
        (one, other) for one in places for other in places if one < other and one[1] - one[0] == other[1] - other[0]
    ]
    (first, last), (begin, end) = draw.choice([pair for pair in pairs if pair[0][0] < pair[0][1]])
    start, changed = 8 + size, bytearray(content)
    changed[start + first : start + last] = content[start + begin : start + end]
    changed[start + begin : start + end] = content[start + first : start + last]
    return bytes(changed)


DAMAGES = [flipped, cut, moved, blanked, grown, swapped]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and same(vars(one), vars(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other)


def load_damaged(path: Path, whole: Saved) -> str:
    """Return what is wrong with how a damaged checkpoint is treated; nothing if it is refused or equal to the whole."""
    try:
        with soon():
            _, _, state = load_actor(path)
    except ConfigError as error:
        line = str(error)
        return "" if line.isprintable() and line.startswith(f"checkpoint={path}") else f"answered by {line!r}"
    return "" if same(state, whole) else "accepted"


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.torture)])
def test_damaged_checkpoints_are_refused_in_one_line_or_equal(count, good, tell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw, path = random.Random(count), tmp_path / "a.safetensors"
    path.write_bytes(good)
    whole = load_actor(path)[2]
    wrong = []
    for number in range(count):
        damage = DAMAGES[number % len(DAMAGES)]
        path.write_bytes(damage(good, draw))
        if complaint := load_damaged(path, whole):
            wrong.append(f"{damage.__name__} {number}: {complaint}")
    assert not wrong, "\n".join(wrong)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    tell("damaged checkpoints", f"{count} of {count} refused in one line or equal to the whole one")


def with_checksum(content: bytes) -> bytes:
    """Return a damaged file with the checksum that it should have, where its place is still there."""
    found = re.search(rb'"sha256":"[^"]{64}"', content)
    if found is None:
        return content
    start = found.start() + len(b'"sha256":"')
    bare = content[:start] + b"0" * 64 + content[start + 64 :]
    return bare[:start] + hashlib.sha256(bare).hexdigest().encode() + bare[start + 64 :]


@pytest.mark.parametrize("count", [60, pytest.param(400, marks=pytest.mark.torture)])
def test_forged_checkpoints_end_in_one_line_or_load(count, good, tell, tmp_path, monkeypatch):
    """The checksum is made right again after the damage: what is read then may differ, but does no harm."""
    monkeypatch.chdir(tmp_path)
    draw, path = random.Random(-count), tmp_path / "a.safetensors"
    for number in range(count):
        damage = DAMAGES[number % len(DAMAGES)]
        path.write_bytes(with_checksum(damage(good, draw)))
        try:
            with soon():
                load_actor(path)
        except ConfigError as error:
            assert str(error).isprintable(), damage.__name__
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    tell("damaged checkpoints with their checksum made right", f"{count} of {count} refused in one line or loaded")


@pytest.mark.torture
@pytest.mark.parametrize("count", [10])
def test_the_command_refuses_damaged_checkpoints_in_one_line(count, good, tmp_path):
    draw = random.Random(count)
    for _ in range(count):
        (tmp_path / "a.safetensors").write_bytes(cut(good, draw))
        assert "a.safetensors" in error_line(command("checkpoint=a.safetensors", cwd=tmp_path, module="rlexp.evaluate"))
        assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
