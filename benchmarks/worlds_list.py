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
        note: what a reader should know of it.
    """

    id: str
    package: str
    group: str
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    images: bool = False
    note: str = ""

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
    *worlds("gymnasium[toy-text]", "Toy text", "FrozenLake-v1", "Taxi-v3", "Blackjack-v1"),
    *worlds("gymnasium[toy-text]", "Toy text", "CliffWalking-v1", limit=200),
    *worlds("ale-py", "Atari", "ale_py:ALE/Pong-v5", "ale_py:ALE/Breakout-v5", limit=100, images=True),
    World("ale_py:ALE/Breakout-v5", "ale-py", "Atari", ("+env.kwargs.obs_type=ram",), limit=200),
    *worlds("mujoco", "MuJoCo", "HalfCheetah-v5", "Ant-v5", "Humanoid-v5", "Hopper-v5", limit=200),
    *worlds("minigrid", "MiniGrid", "minigrid:MiniGrid-Empty-5x5-v0", "minigrid:MiniGrid-DoorKey-5x5-v0"),
    *worlds("minigrid", "MiniGrid", "minigrid:BabyAI-GoToRedBall-v0"),
    *worlds("highway-env", "highway-env", "highway_env:highway-fast-v0", "highway_env:parking-v0", limit=30),
    *worlds("gymnasium-robotics", "Robotics", "gymnasium_robotics:FetchReach-v4"),
    *worlds(
        "gymnasium-robotics",
        "Robotics",
        "gymnasium_robotics:PointMaze_UMaze-v3",
        "gymnasium_robotics:AdroitHandDoor-v1",
        limit=100,
    ),
    *worlds("panda-gym", "Robotics", "panda_gym:PandaReach-v3"),
    *worlds("gym-xarm", "Robotics", "gym_xarm:gym_xarm/XarmLift-v0", limit=50),
    World("metaworld:Meta-World/MT1", "metaworld", "Robotics", ("+env.kwargs.env_name=reach-v3",), limit=100),
    *worlds("PyFlyt", "Robotics", "PyFlyt.gym_envs:PyFlyt/QuadX-Hover-v4", limit=100),
    *worlds(
        "shimmy[dm-control]",
        "dm_control",
        "shimmy:dm_control/cartpole-swingup-v0",
        "shimmy:dm_control/walker-walk-v0",
        limit=100,
    ),
    *worlds("shimmy[bsuite]", "bsuite", "shimmy:bsuite/catch-v0"),
    *worlds("shimmy[bsuite]", "bsuite", "shimmy:bsuite/cartpole-v0", limit=200),
    *worlds("flappy-bird-gymnasium", "Games", "flappy_bird_gymnasium:FlappyBird-v0"),
    *worlds("tetris-gymnasium", "Games", "tetris_gymnasium.envs:tetris_gymnasium/Tetris"),
    *worlds("minatar", "Games", "minatar.gym:MinAtar/Breakout-v1", "minatar.gym:MinAtar/SpaceInvaders-v1"),
    *worlds("vizdoom", "Games", "vizdoom.gymnasium_wrapper:VizdoomBasic-v1", limit=50, images=True),
    *worlds("miniworld", "Games", "miniworld:MiniWorld-Hallway-v0", limit=50, images=True),
    *worlds("stable-retro", "Games", "retro:Airstriker-Genesis-v0", limit=50, images=True),
    *worlds("crafter", "Games", "crafter:CrafterReward-v1", limit=50, images=True),
    *worlds("nle", "Games", "nle:NetHackScore-v0", limit=50),
    *worlds("minihack", "Games", "minihack:MiniHack-Room-5x5-v0", limit=50),
    *worlds("gym-pusht", "PushT", "gym_pusht:gym_pusht/PushT-v0", limit=100),
    *worlds(
        "popgym",
        "POPGym",
        "popgym:popgym-RepeatPreviousEasy-v0",
        "popgym:popgym-ConcentrationEasy-v0",
        "popgym:popgym-StatelessCartPoleEasy-v0",
    ),
    *worlds("gym-anytrading", "Trading", "gym_anytrading:stocks-v0", "gym_anytrading:forex-v0", limit=100),
    *worlds("gym-trading-env", "Trading", "gym_trading_env:TradingEnv"),
    *worlds("mo-gymnasium", "Several objectives", "mo_gymnasium:mo-lunar-lander-v3", limit=100),
    *worlds("safety-gymnasium", "Safety", "safety_gymnasium:SafetyPointGoal1-v0", limit=100),
)
