"""The table of public environments, and the page that is made of what came of them."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import worlds
from benchmarks.limited import Limits, Outcome, run_limited
from benchmarks.worlds_list import WORLDS
from rlexp.config.places import conf_dir

ROOT = Path(worlds.__file__).parent.parent


def test_the_table_has_at_least_forty_environments_and_no_name_twice():
    names = [world.name for world in WORLDS]
    assert len(names) >= 40
    assert len(set(names)) == len(names)


def test_every_package_of_the_table_is_in_the_requirements_or_an_extra_of_gymnasium():
    text = (ROOT / "benchmarks" / "worlds.txt").read_text()
    pinned = {line.partition("==")[0].lower() for line in text.splitlines() if not line.startswith("#")}
    left_out = {line.split()[1].rstrip(":").lower() for line in text.splitlines() if line.startswith("# - ")}
    packages = {world.package.partition("[")[0].lower() for world in WORLDS}
    assert packages - pinned - {"gymnasium"} <= left_out


def test_episodes_end_before_the_checkpoint_where_a_limit_is_given():
    for world in WORLDS:
        steps_of_one = (worlds.IMAGE_STEPS if world.images else worlds.STEPS) // 4  # half the run, two environments
        assert world.limit is None or world.limit <= steps_of_one, world.name


def test_the_commands_compose():
    from hydra import compose, initialize_config_dir

    from rlexp.config.compose import register

    register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for world in WORLDS:
            composed = compose("config", [*world.words, *worlds.base_words(world)])
            assert composed.env.id == world.id


def test_the_page_is_written_from_stored_rows(tmp_path):
    row = worlds.Row("A-v0", "Games", "a 1.0", "env.id=A-v0", "yes", "no", "yes", "black | white", "today")
    other = worlds.Row("B-v0", "Games", "b 1.0", "env.id=B-v0", "no", "", "", "env.id=B-v0: not there", "today")
    (tmp_path / "worlds.json").write_text(json.dumps({"rows": [vars(row), vars(other)]}))
    page = worlds.compose(tmp_path)
    assert "2 environments: 1 train, 0 record a video, 1 resume exactly" in page
    assert "| A-v0 | a 1.0 | `env.id=A-v0` | yes | no | yes | black \\| white |" in page
    assert "\ntoday\n" in page


def test_the_stored_page_is_that_of_the_stored_rows():
    assert (ROOT / "docs" / "worlds.md").read_text() == worlds.compose(ROOT / "docs" / "benchmarks")


def film(path: Path, frames: np.ndarray) -> None:
    from moviepy import ImageSequenceClip

    path.parent.mkdir(parents=True, exist_ok=True)
    ImageSequenceClip(list(frames), fps=10).write_videofile(str(path), logger=None)


@pytest.mark.parametrize(
    ("value", "spot", "expected"),
    [(0, 0, ("no", "black")), (200, 200, ("no", "one colour")), (0, 200, ("yes", None))],
)
def test_a_video_that_shows_nothing_does_not_count(tmp_path, value, spot, expected):
    frames = np.full((4, 64, 64, 3), value, np.uint8)
    frames[:, 16:48, 16:48] = spot
    film(tmp_path / "a.mp4", frames)
    shown, remarks = worlds.seen(tmp_path)
    assert shown == expected[0]
    assert (remarks == []) if expected[1] is None else (expected[1] in remarks[0])


def test_what_is_no_video_is_said(tmp_path):
    assert worlds.seen(tmp_path) == ("no", ["no video was written"])
    (tmp_path / "a.mp4").write_bytes(b"no video")
    shown, remarks = worlds.seen(tmp_path)
    assert shown == "no" and "cannot be decoded" in remarks[0]


def test_a_command_that_takes_too_long_or_too_much_memory_is_ended(tmp_path):
    began = time.monotonic()
    words = [sys.executable, "-c", "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"]
    assert run_limited(words, tmp_path, ROOT, Limits(1.0, 4.0)).reason == "did not end within 1 s"
    if Path("/proc/self/stat").exists():
        words = [sys.executable, "-c", "x = b'1' * 300_000_000; import time; time.sleep(60)"]
        outcome = run_limited(words, tmp_path, ROOT, Limits(30.0, 0.2))
        assert outcome.reason == "took more than 0.2 GiB of memory"
    assert time.monotonic() - began < 20


def test_the_reason_is_the_line_that_rlexp_said():
    assert Outcome(1, ["x", "error: env.id=A is not registered", "later"], "").reason == "env.id=A is not registered"
    assert Outcome(-11, ["a crash"], "").reason == "a crash (exit code -11)"
