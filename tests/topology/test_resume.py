"""A run that resumes from any of its checkpoints ends as the one that was not interrupted, bit for bit."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rlexp.data.replay import ReplayState, Segment
from rlexp.data.state import RankState, Saved
from rlexp.files.checkpoint import load
from rlexp.files.segments import read_rows
from rlexp.learn import replay
from tests.commands import evaluations, events, rows_without_times, summary
from tests.topology.ranks import checkpoint, launched, resumed
from tests.topology.test_equality import TOPOLOGIES, assert_same

UPDATES = 6
NORMALIZED = ("env.normalize_observations=true", "env.normalize_rewards=true")
SAVING = ("checkpoint.every=1", "checkpoint.keep=9")
REPLAY = ("algo.per_rank_batch_size=8", "algo.learning_starts=40", "algo.replay_ratio=0.1", "algo.hidden_sizes=[8]")
CASES = {
    **{name: (*words, *NORMALIZED) for name, words in TOPOLOGIES.items()},
    "a2c": ("algo=a2c", "algo.per_rank_batch_size=null", *NORMALIZED),
    "rmsprop": ("algo.optimizer=rmsprop", "algo.target_kl=0.01", "algo.anneal_clip_coef=true"),
    "pendulum": ("env=pendulum", "env.action_bounds=tanh", "env.max_episode_steps=30"),
    "lunarlander": ("env=lunarlander", "env.max_episode_steps=50"),
    "async": ("env.vectorization=async", "env.frame_stack=3", "env.action_repeat=2"),
    "images": ("env=gym", "env.id=tests.environments:Picture-v0", "env.images=pixels", "algo.hidden_sizes=[8]"),
    "mixed overlap": (
        "env=gym", "env.id=tests.environments:Mixed-v0", *TOPOLOGIES["decoupled 3 overlap"], *NORMALIZED,
    ),
    "compiled": ("compile=true",),
    "own network": (
        "env=gym", "env.id=tests.environments:Mixed-v0", "model=custom", "model.path=tests.own:Sums",
        "model.layer_norm=true", *TOPOLOGIES["decoupled 3 overlap"],
    ),
    "recurrent": (
        "model=lstm", "model.sequence_length=8", "env.max_episode_steps=7", *TOPOLOGIES["decoupled 3 overlap"],
    ),
    "recurrent tensors": ("model=lstm", "model.sequence_length=8", "env.backend=torch", "env.max_episode_steps=9"),
    "recurrent shared": (
        "model=gru", "model.sequence_length=4", "algo=a2c", "algo.per_rank_batch_size=null",
        *TOPOLOGIES["coupled 2 shared"], *NORMALIZED,
    ),
    "masks and choices": ("env=gym", "env.id=tests.environments:Doors-v0", "env.vectorization=async"),
    "actions of parts": (
        "env=gym", "env.id=tests.environments:Orders-v0", *TOPOLOGIES["decoupled 2"], "env.action_bounds=tanh",
    ),
    "dqn": (
        "algo=dqn", *REPLAY, "memory.size=150", "algo.dueling=true", "algo.noisy=true", "algo.atoms=5", "algo.n_step=3",
        "algo.priority_exponent=0.5", "env.max_episode_steps=7",
    ),
    "sac": (
        "algo=sac", "env=pendulum", *REPLAY, "algo.critic_dropout=0.1", "algo.critic_layer_norm=true",
        "algo.num_critics=3", "algo.target_critics=2", "env.max_episode_steps=9", "memory.on_disk=true", *NORMALIZED,
    ),
    "td3": (
        "algo=td3", "env=pendulum", *REPLAY, "env.max_episode_steps=9", *TOPOLOGIES["decoupled 3 overlap"], *NORMALIZED,
    ),
    "sac of choices": ("algo=sac", *REPLAY, "algo.n_step=2", *TOPOLOGIES["coupled 2"]),
    "dqn shared": ("algo=dqn", *REPLAY, "algo.priority_exponent=1.0", *TOPOLOGIES["coupled 2 shared"]),
    "sac tensors": ("algo=sac", *REPLAY, "env.backend=torch", "env.max_episode_steps=9"),
    "sac compiled": ("algo=sac", "env=pendulum", *REPLAY, "compile=true"),
    "wrappers": (
        "env.wrappers=[tests.own:Lives, tests.own:Doubled, {wrapper: 'gymnasium.wrappers:NormalizeObservation'}]",
        "env.vectorization=async",
    ),
}  # fmt: skip
FAST = {
    "coupled 1", "coupled 2", "decoupled 3 overlap", "wrappers", "masks and choices", "recurrent", "dqn", "sac", "td3",
}  # fmt: skip


def rewound(run_dir: Path, updates: int, folder: Path) -> Path:
    """Return a copy of a run as it would be, had it been killed just after the checkpoint after `updates` updates."""
    shutil.copytree(run_dir, folder)
    state = next(
        path for path in sorted((folder / "checkpoints").glob("*.safetensors"))
        if load(path).recorder.updates == updates and path.name != "best.safetensors"
    )  # fmt: skip
    state.replace(folder / "checkpoints" / "last.safetensors")
    return folder


def with_rows(own: RankState, folder: Path) -> RankState:
    """Return the state of a rank with the rows of its replay memory, whatever files they lie in."""
    if not isinstance(own.memory, ReplayState):
        return own
    parts = [read_rows(part, folder) if isinstance(part, Segment) else part for part in own.memory.parts]
    return replace(own, memory=replace(own.memory, parts=parts))


def without_times(state: Saved, folder: Path) -> Saved:
    ranks = [with_rows(own, folder) for own in state.ranks]
    ranks = [
        own if own.collected is None else replace(own, collected=replace(own.collected, seconds=0.0)) for own in ranks
    ]
    window = replace(state.recorder.window, seconds=0.0, collect_seconds=0.0, update_seconds=0.0)
    config = {key: value for key, value in state.config.items() if key != "resume"}
    return replace(state, config=config, ranks=ranks, recorder=replace(state.recorder, seconds=0.0, window=window))


def assert_equal_runs(first: Path, second: Path) -> None:
    """Require equal states of every rank, and equal rows in both logs, except times."""
    whole, again = (without_times(checkpoint(path), path / "checkpoints") for path in (first, second))
    assert_same(whole, again)
    assert rows_without_times(first) == rows_without_times(second)
    assert events(first) == events(second)
    assert evaluations(first) == evaluations(second)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    """Let small replay memories be written in parts too."""
    monkeypatch.setattr(replay, "LEAST_PART_BYTES", 1)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_a_run_that_is_resumed_ends_as_one_that_was_not_interrupted(name, tmp_path):
    whole = tmp_path / "whole"
    launched(whole, *CASES[name], *SAVING, updates=UPDATES)
    assert len(rows_without_times(whole)) == UPDATES
    steps = [step for step, tags in events(whole) if "Info/learning_rate" in tags]
    assert steps == [int(row["env_steps"]) for row in rows_without_times(whole)]
    for updates in (1, 4):
        again = rewound(whole, updates, tmp_path / str(updates))
        resumed(again, *CASES[name], *SAVING, updates=UPDATES)
        assert_equal_runs(whole, again)
        assert "could not be put back" not in (again / "main.log").read_text()


def test_a_run_that_is_resumed_twice_is_equal_too_and_tells_of_its_parts(tmp_path):
    whole = tmp_path / "whole"
    launched(whole, *SAVING, updates=UPDATES)
    again = rewound(whole, 2, tmp_path / "again")
    resumed(again, *SAVING, updates=UPDATES)
    again = rewound(again, 5, tmp_path / "again again")
    values = resumed(again, *SAVING, updates=UPDATES)
    assert_equal_runs(whole, again)
    size = 4 * 16
    assert values["resumes"] == [{"updates": 2, "env_steps": 2 * size}, {"updates": 5, "env_steps": 5 * size}]
    assert (values["state"], values["updates"], values["env_steps"]) == ("completed", UPDATES, UPDATES * size)
    assert values["wall_seconds"] > summary(whole)["wall_seconds"]


def test_an_environment_that_does_not_come_back_begins_a_new_episode_with_one_warning(tmp_path, capfd):
    """Counting shows how many episodes it has seen, which no reset brings back."""
    words = ("env=gym", "env.id=tests.environments:Counting-v0", *SAVING)
    launched(tmp_path / "whole", *words)
    again = rewound(tmp_path / "whole", 2, tmp_path / "again")
    capfd.readouterr()
    assert resumed(again, *words)["state"] == "completed"
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(lines) == 1
    assert lines[0].startswith("warning: environments 0, 1, 2, 3 of rank 0 could not be put back where they were")
    assert len(rows_without_times(again)) == 4
    assert (again / "main.log").read_text().count("could not be put back") == 1


def test_more_updates_than_before_are_done_on_top_of_those_that_are(tmp_path):
    launched(tmp_path / "run", *SAVING, updates=2)
    rows = rows_without_times(tmp_path / "run")
    assert resumed(tmp_path / "run", *SAVING, updates=4)["state"] == "completed"
    assert rows_without_times(tmp_path / "run")[:2] == rows
    assert len(rows_without_times(tmp_path / "run")) == 4


@pytest.mark.parametrize("keep", [0, 3])
def test_the_newest_checkpoints_are_kept(keep, tmp_path):
    launched(tmp_path / "run", "checkpoint.every=1", f"checkpoint.keep={keep}", updates=UPDATES)
    steps = [4 * 16 * update for update in range(UPDATES - keep, UPDATES)]
    names = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert names == {"last.safetensors", "best.safetensors", *(f"step-{step:09d}.safetensors" for step in steps)}
    assert checkpoint(tmp_path / "run").recorder.updates == UPDATES
