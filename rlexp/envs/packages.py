"""Well-known packages of environments: imported when one of their ids is asked for, named when they are missing.

gymnasium knows an id only once the package that registers it is imported. An id of the form module:Id says which one;
for the ids of the table below nobody needs to say it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import re
from typing import NamedTuple

import gymnasium
from gymnasium.envs.registration import find_highest_version, namespace

from rlexp.errors import ConfigError


class Package(NamedTuple):
    """A package of environments.

    Attributes:
        pattern: regular expression that its ids match from their start on.
        module: what to import, after which its ids are registered.
        pip: what to install; a name that starts with rlexp is an extra of ours. Empty where the package needs an older
            gym or gymnasium than rlexp, which pip would put in place of ours.
        register: function of the module that registers the ids, where its import does not.
    """

    pattern: str
    module: str
    pip: str
    register: str = ""


GAMES = """
    Adventure AirRaid Alien Amidar Assault Asterix Asteroids Atlantis Atlantis2 Backgammon BankHeist BasicMath
    BattleZone BeamRider Berzerk Bowling Boxing Breakout Carnival Casino Centipede ChopperCommand CrazyClimber
    Crossbow Darkchambers Defender DemonAttack DonkeyKong DoubleDunk Earthworld ElevatorAction Enduro Entombed
    Et FishingDerby FlagCapture Freeway Frogger Frostbite Galaxian Gopher Gravitar Hangman HauntedHouse Hero
    HumanCannonball IceHockey Jamesbond JourneyEscape Kaboom Kangaroo KeystoneKapers KingKong Klax Koolaid Krull
    KungFuMaster LaserGates LostLuggage MarioBros MiniatureGolf MontezumaRevenge MrDo MsPacman NameThisGame
    Othello Pacman Phoenix Pitfall Pitfall2 Pong Pooyan PrivateEye Qbert Riverraid RoadRunner Robotank Seaquest
    SirLancelot Skiing Solaris SpaceInvaders SpaceWar StarGunner Superman Surround Tennis Tetris TicTacToe3D
    TimePilot Trondead Turmoil Tutankham UpNDown Venture VideoCheckers VideoChess VideoCube VideoPinball
    WizardOfWor WordZapper YarsRevenge Zaxxon
""".split()  # noqa: SIM905  # a list of strings would take a line a game
"""Atari games, as ALE/GAME-v5 names them; Blackjack, which gymnasium has as a card game, is left out."""

ATARI = re.compile(rf"(?:ALE/)?({'|'.join(GAMES)})(-ram)?(NoFrameskip|Deterministic)?(-v\d+)?", re.IGNORECASE)
MUJOCO_PY = re.compile(
    r"(Ant|HalfCheetah|Hopper|Humanoid|HumanoidStandup|InvertedDoublePendulum|InvertedPendulum|Pusher|Reacher|Swimmer|"
    r"Walker2d)-v[0-3]"
)
"""Versions that need mujoco-py, which is no longer maintained."""

PACKAGES = (
    Package(r"ALE/", "ale_py", "rlexp[atari]"),
    Package(ATARI.pattern + "$", "ale_py", "rlexp[atari]"),
    Package(r"(MiniGrid|BabyAI)-", "minigrid", "rlexp[minigrid]"),
    Package(
        r"(highway|merge|roundabout|parking|intersection|racetrack|exit|two-way|u-turn|lane-keeping)-",
        "highway_env",
        "highway-env",
    ),
    Package(
        r"(Fetch(Reach|Push|Slide|PickAndPlace)|HandReach|HandManipulate|AntMaze_|PointMaze_|AdroitHand|FrankaKitchen-)",
        "gymnasium_robotics",
        "rlexp[robotics]",
    ),
    Package(r"dm_control/", "shimmy", "rlexp[dmc]"),
    Package(r"bsuite/", "shimmy", "rlexp[bsuite]"),
    Package(r"DmLab", "shimmy", "shimmy[dm-lab]"),
    Package(r"GymV21Environment-", "shimmy", "shimmy[gym-v21]"),
    Package(r"GymV26Environment-", "shimmy", "shimmy[gym-v26]"),
    Package(r"Panda(Reach|Slide|Push|PickAndPlace|Stack|Flip)", "panda_gym", "panda-gym"),
    Package(r"popgym-", "popgym", "popgym"),
    Package(r"FlappyBird-", "flappy_bird_gymnasium", "flappy-bird-gymnasium"),
    Package(r"(gym_pusht/|PushT-)", "gym_pusht", "gym-pusht"),
    Package(r"(gym_xarm/|XarmLift-)", "gym_xarm", "gym-xarm"),
    Package(r"(gym_aloha/|Aloha(Insertion|TransferCube)-)", "gym_aloha", "gym-aloha"),
    Package(r"gym_hil/", "gym_hil", "gym-hil"),
    Package(r"popgym-", "popgym", "popgym"),
    Package(r"Vizdoom", "vizdoom.gymnasium_wrapper", "vizdoom"),
    Package(r"MinAtar/", "minatar.gym", "minatar", "register_envs"),
    Package(r"tetris_gymnasium/", "tetris_gymnasium.envs", "tetris-gymnasium"),
    Package(r"gymnasium_2048/", "gymnasium_2048", ""),
    Package(r"(forex|stocks)-", "gym_anytrading", "gym-anytrading"),
    Package(r"(MultiDataset)?TradingEnv", "gym_trading_env", "gym-trading-env"),
    Package(r"MiniWorld-", "miniworld", "miniworld"),
    Package(r"Meta-World/", "metaworld", "metaworld"),
    Package(
        r"(mo-|deep-sea-treasure|fruit-tree-|minecart-|resource-gathering-|four-room-|fishwood-|breakable-bottles-|"
        r"water-reservoir-)",
        "mo_gymnasium",
        "mo-gymnasium",
    ),
    Package(r"PyFlyt/", "PyFlyt.gym_envs", "pyflyt"),
    Package(r"\w+BulletEnv-", "pybullet_envs_gymnasium", "pybullet-envs-gymnasium"),
    Package(r"NetHack", "nle", ""),
    Package(r"MiniHack-", "minihack", ""),
    Package(r"Safety\w*", "safety_gymnasium", ""),
    Package(r"Crafter(Reward|NoReward)-", "crafter", ""),
    Package(r"(EvoGym/|(Bridge)?Walker-v0|UpStepper-|DownStepper-|CaveCrawler-|PlatformJumper-)", "evogym", "evogym"),
    Package(r"(myo|motor)\w*-v", "myosuite", ""),
    Package(r"seals/", "seals", "seals"),
    Package(r"(Endless-)?(SearingSpotlights|MortarMayhemB?|MysteryPath)-", "memory_gym", ""),
    Package(r"Eplus-", "sinergym", ""),
    Package(r"(Finite|Cont)-(CC|SC|TC)-", "gym_electric_motor", "gym-electric-motor"),
    Package(r"sumo-rl-", "sumo_rl", "sumo-rl"),
    Package(r"donkey-", "gym_donkeycar", ""),
    Package(r"(Descent|PlanWaypoint|HorizontalCR|VerticalCR|SectorCR|StaticObstacle|Merge)Env-", "bluesky_gym",
            ""),
    Package(r"rware", "rware", "rware"),
    Package(r"Foraging-", "lbforaging", "lbforaging"),
    Package(r"SuperMarioBros", "gym_super_mario_bros", ""),
)  # fmt: skip
"""In this order; the first whose pattern fits is taken."""

GROUP = "gymnasium.envs"
"""The entry points by which packages announce ids; gymnasium itself no longer reads them."""


def package_of(env_id: str) -> Package | None:
    """Return the well-known package that an id belongs to; None: to none, or the id names a module itself."""
    if ":" in env_id:
        return None
    return next((package for package in PACKAGES if re.match(package.pattern, env_id)), None)


def is_name(value: str) -> bool:
    """Return whether a word is the name of an environment without its version."""
    known = package_of(value) is not None
    return known or any(one.rpartition("-v")[0] == value for one in gymnasium.registry)


def installed(module: str) -> bool:
    """Return whether a module can be found, without importing more than what it lies in."""
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def import_for(env_id: str) -> None:
    """Import the installed package that registers an id, where gymnasium does not know the id yet.

    An id that no package of the table has is looked for in the packages that announce themselves by entry points.

    Raises:
        ConfigError: the package is there, but its import fails.
    """
    if ":" in env_id or env_id in gymnasium.registry:
        return
    package = package_of(env_id)
    if package is None:
        _load_entry_points(env_id)
    elif installed(package.module):
        try:
            module = importlib.import_module(package.module)
            if package.register and env_id not in gymnasium.registry:
                getattr(module, package.register)()
        except Exception as error:
            raise ConfigError(_broken(env_id, package.module, error)) from error


def _load_entry_points(env_id: str) -> None:
    """Register what installed packages announce for the namespace of an id."""
    if find_highest_version(*_parts(env_id)) is not None:
        return  # gymnasium has this name, in another version
    wanted = _parts(env_id)[0]
    for point in importlib.metadata.entry_points(group=GROUP):
        root = point.name == "__root__"
        if not (root if wanted is None else point.name == wanted):
            continue
        try:
            with namespace(wanted) if wanted else contextlib.nullcontext():
                register = point.load()
                if callable(register):
                    register()
        except Exception as error:
            if not root:  # a package that nobody asked for may be broken
                raise ConfigError(_broken(env_id, point.value, error)) from error
        if env_id in gymnasium.registry:
            return


def _parts(env_id: str) -> tuple[str | None, str]:
    """Return namespace and name of an id."""
    space, _, name = env_id.rpartition("/")
    return space or None, re.sub(r"-v\d+$", "", name)


def _broken(env_id: str, module: str, error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"env.id={env_id}: the import of {module} fails: {type(error).__name__}: {reason}"
