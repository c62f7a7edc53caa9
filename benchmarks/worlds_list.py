"""The public environments that `benchmarks.worlds` tries, by the ids that a user types."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """One public environment.

    Attributes:
        id: what follows `env.id=`.
        package: the package to install, as pip names it.
        group: its family, one heading of the page.
        overrides: what its command needs beside the id.
        limit: time limit of its episodes in steps, short enough that several end before the checkpoint from which the
            run is resumed; None: its own.
        images: whether its observations are images: fewer steps, since each costs more.
        variables: environment variables before its command, NAME=VALUE.
    """

    id: str
    package: str
    group: str
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    images: bool = False
    variables: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The key of its row: the id without the module that is imported for it."""
        extra = "".join(f" {word.removeprefix('+').removeprefix('env.')}" for word in self.overrides)
        return self.id.partition(":")[2] + extra if ":" in self.id else self.id + extra

    @property
    def words(self) -> tuple[str, ...]:
        """Its own part of the command line."""
        limit = () if self.limit is None else (f"env.max_episode_steps={self.limit}",)
        return (f"env.id={self.id}", *self.overrides, *limit)


def worlds(package: str, group: str, *ids: str, limit: int | None = None, images: bool = False) -> tuple[World, ...]:
    """Return several environments of one package that need nothing beside their id."""
    return tuple(World(id, package, group, limit=limit, images=images) for id in ids)


WORLDS: tuple[World, ...] = (
    *worlds("gymnasium[classic-control]", "Classic control", "CartPole-v1"),
    *worlds("gymnasium[classic-control]", "Classic control", "Acrobot-v1", "Pendulum-v1", limit=100),
    *worlds("gymnasium[box2d]", "Box2D", "LunarLander-v3", "BipedalWalker-v3", limit=200),
    *worlds("gymnasium[box2d]", "Box2D", "CarRacing-v3", limit=50, images=True),
    *worlds("gymnasium[toy-text]", "Toy text", "FrozenLake-v1", "Taxi-v4", "Blackjack-v1"),
    *worlds("gymnasium[toy-text]", "Toy text", "CliffWalking-v1", limit=200),
    *worlds("ale-py", "Atari", "ALE/Pong-v5", "ALE/Breakout-v5", limit=100, images=True),
    World("ALE/Breakout-v5", "ale-py", "Atari", ("+env.kwargs.obs_type=ram",), limit=200),
    *worlds("mujoco", "MuJoCo", "HalfCheetah-v5", "Ant-v5", "Humanoid-v5", "Hopper-v5", limit=200),
    *worlds("minigrid", "MiniGrid", "MiniGrid-Empty-5x5-v0", "MiniGrid-DoorKey-5x5-v0"),
    *worlds("minigrid", "MiniGrid", "BabyAI-GoToRedBall-v0"),
    *worlds("highway-env", "highway-env", "highway-fast-v0", "parking-v0", limit=30),
    *worlds("gymnasium-robotics", "Robotics", "FetchReach-v4"),
    *worlds(
        "gymnasium-robotics",
        "Robotics",
        "PointMaze_UMaze-v3",
        "AdroitHandDoor-v1",
        limit=100,
    ),
    *worlds("panda-gym", "Robotics", "PandaReach-v3"),
    *worlds("gym-xarm", "Robotics", "gym_xarm/XarmLift-v0", limit=50),
    # Its observations leave their own bounds, which the trial before the start refuses.
    World("Meta-World/MT1", "metaworld", "Robotics", ("+env.kwargs.env_name=reach-v3", "env.check=false"), limit=100),
    *worlds("PyFlyt", "Robotics", "PyFlyt/QuadX-Hover-v1", limit=100),
    *worlds(
        "shimmy[dm-control]",
        "dm_control",
        "dm_control/cartpole-swingup-v0",
        "dm_control/walker-walk-v0",
        limit=100,
    ),
    *worlds("shimmy[bsuite]", "bsuite", "bsuite/catch-v0"),
    *worlds("shimmy[bsuite]", "bsuite", "bsuite/cartpole-v0", limit=200),
    *worlds("flappy-bird-gymnasium", "Games", "FlappyBird-v0"),
    *worlds("tetris-gymnasium", "Games", "tetris_gymnasium/Tetris"),
    *worlds("minatar", "Games", "MinAtar/Breakout-v1", "MinAtar/SpaceInvaders-v1"),
    *worlds("vizdoom", "Games", "VizdoomBasic-v1", limit=50, images=True),
    World("MiniWorld-Hallway-v0", "miniworld", "Games", limit=50, images=True, variables=("PYGLET_HEADLESS=1",)),
    *worlds("stable-retro", "Games", "retro:Airstriker-Genesis-v0", limit=50, images=True),
    *worlds("crafter", "Games", "CrafterReward-v1", limit=50, images=True),
    *worlds("nle", "Games", "NetHackScore-v0", limit=50),
    *worlds("minihack", "Games", "MiniHack-Room-5x5-v0", limit=50),
    *worlds("gym-pusht", "PushT", "gym_pusht/PushT-v0", limit=100),
    *worlds(
        "popgym",
        "POPGym",
        "popgym-RepeatPreviousEasy-v0",
        "popgym-ConcentrationEasy-v0",
        "popgym-PositionOnlyCartPoleEasy-v0",
    ),
    *worlds("gym-anytrading", "Trading", "stocks-v0", "forex-v0", limit=100),
    *worlds("gym-trading-env", "Trading", "TradingEnv"),
    *worlds("mo-gymnasium", "Several objectives", "mo-lunar-lander-v3", limit=100),
    *worlds("safety-gymnasium", "Safety", "SafetyPointGoal1-v0", limit=100),
)
