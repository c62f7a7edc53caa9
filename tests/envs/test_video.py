"""Videos: what environments draw, which episodes are recorded, and that nothing of it ends training."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from rlexp.envs import VideoSettings, make_environments
from rlexp.envs.encoder import Encoder
from rlexp.envs.frames import Frames
from tests.commands import only, video, wait_for
from tests.environments import Drawing
from tests.helpers import composed


def play(folder, *overrides, episodes=1, every=0, stride=1, max_steps=1000, **settings):
    """Play whole episodes of one environment that is recorded."""
    config = composed(*overrides)
    envs = make_environments(config.env, 1, VideoSettings(folder, max_steps, every, stride, **settings))
    try:
        rows = np.zeros((1, envs.spec.observation.row_size), envs.row_dtype)
        envs.reset([3], rows)
        while episodes:
            result = envs.step(np.zeros(1, np.int64), rows)
            episodes -= int((result.terminated | result.truncated)[0])
    finally:
        envs.close()


def streams(path):
    """Return what ffmpeg says of a file's only stream: (codec, pixel format, width, height, frame rate)."""
    import imageio_ffmpeg

    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True, check=False
    )
    found = re.search(r"Video: (\w+).*?, (yuv\w+).*?, (\d+)x(\d+).*?, ([\d.]+) fps", done.stderr)
    assert found, done.stderr
    return found.groups()


@pytest.mark.parametrize(
    ("what", "size", "times"),
    [
        ("rgb", (64, 96), 1), ("grey", (64, 96), 1), ("grey1", (64, 96), 1), ("rgba", (64, 96), 1),
        ("unit", (64, 96), 1), ("floats", (64, 96), 1), ("int64", (64, 96), 1), ("uint16", (64, 96), 1),
        ("channels_first", (64, 96), 1), ("list", (64, 96), 2), ("odd", (64, 66), 1), ("tiny", (144, 160), 1),
    ],
)  # fmt: skip
def test_frames_of_every_kind_become_the_same(what, size, times):
    env, frames = Drawing(what), Frames()
    env.reset(seed=0)
    for step in range(4):
        shown = frames.read(env.render())
        assert len(shown) == times
        assert (shown[0].shape, shown[0].dtype, shown[0].flags.c_contiguous) == ((*size, 3), np.uint8, True)
        left, right = shown[0][:, : size[1] // 2 - 1], shown[0][:, size[1] // 2 :]
        assert (left.min(), left.max(), right.max()) == (100 + step, 100 + step, 0)
        env.step(0)
    assert not (frames.plain or frames.resized)


def test_a_picture_of_yes_and_no_is_white_and_black():
    assert Frames().read(Drawing("bool").render())[0][0, ::48, 0].tolist() == [255, 0]


def test_floats_are_values_in_0_to_1_until_one_above_1_is_seen():
    frames = Frames()
    assert frames.read(np.full((40, 40, 3), 0.5))[0][0, 0].tolist() == [128] * 3
    assert frames.read(np.array([[0.0, np.nan], [np.inf, -np.inf]]).repeat(20, 0).repeat(20, 1))[0].max() == 255
    assert frames.read(np.full((40, 40, 3), 200.4))[0][0, 0].tolist() == [200] * 3
    assert frames.read(np.full((40, 40, 3), 1.0))[0][0, 0].tolist() == [1] * 3
    assert frames.read(None) == frames.read([]) == []
    assert len(frames.read(np.zeros((5, 40, 40, 3), np.uint8))) == 5
    with pytest.raises(ValueError, match=r"its shape is \[0, 40, 3\]"):
        frames.read(np.zeros((0, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ("what", "size", "frames"), [("odd", (64, 66), 13), ("none", (64, 96), 9), ("changes", (64, 96), 13)]
)
def test_a_video_shows_what_the_environment_drew(what, size, frames, tmp_path, capsys):
    play(tmp_path, "id=Drawing-v0", f"+env.kwargs.what={what}")
    shown = video(tmp_path / "step-0-return-15.mp4")
    assert abs(len(shown) - frames) <= 1  # readers of videos drop the last frame at times
    assert all(frame.shape == (*size, 3) for frame in shown)
    for number, frame in enumerate(shown if what != "none" else shown[:2]):
        assert np.abs(frame[32, 20].astype(int) - (100 + number)).max() <= 6
        assert frame[32, 60].max() <= 6
    assert streams(tmp_path / "step-0-return-15.mp4") == ("h264", "yuv420p", str(size[1]), str(size[0]), "20")
    assert len(capsys.readouterr().err.splitlines()) == (what in ("none", "changes"))


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("always_none", "render() returned None: that frame is left out"),
        ("text", "render() returned no picture (its shape is []): that frame is left out"),
        ("flat", "render() returned no picture (its shape is [6144]): that frame is left out"),
    ],
)
def test_what_is_no_picture_is_said_once_and_leaves_no_file(what, line, tmp_path, capsys):
    play(tmp_path / "videos", "id=Drawing-v0", f"+env.kwargs.what={what}", episodes=3, every=1)
    assert capsys.readouterr().err == f"warning: {line}\n"
    assert not (tmp_path / "videos").exists()


def test_an_environment_whose_window_is_closed_is_played_on(tmp_path, capsys):
    play(tmp_path, "id=Drawing-v0", "+env.kwargs.what=raises", episodes=3, every=1)
    assert capsys.readouterr().err == (
        "warning: render() raised RuntimeError: the window is closed; no more videos are recorded\n"
    )
    assert len(video(only(tmp_path, "step-0-return-6*-cut.mp4"))) >= 4


@pytest.mark.parametrize(
    ("driver", "why"),
    [("dummy", "unset it or give SDL_VIDEODRIVER=offscreen"), ("offscreen", "the environment draws nothing")],
)
def test_a_video_of_one_colour_is_said(driver, why, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", driver)
    play(tmp_path, "id=Drawing-v0", "+env.kwargs.what=black", episodes=3, every=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: every frame of {tmp_path}/step-0-return-15.mp4 is of one colour: ")
    assert why in line


def test_a_video_is_cut_at_its_longest_and_the_episode_is_played_on(tmp_path, capsys):
    play(tmp_path, "id=Drawing-v0", "+env.kwargs.length=30", episodes=2, every=1, max_steps=10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-0-return-12-cut.mp4",
        "step-30-return-12-cut.mp4",
    ]
    assert abs(len(video(tmp_path / "step-0-return-12-cut.mp4")) - 11) <= 1
    assert capsys.readouterr().err == "warning: a video was cut at video.max_steps=10; the episode is played on\n"


def begun(folder):
    return sorted(int(path.name.split("-")[1]) for path in folder.iterdir())


def test_the_first_episode_that_begins_at_or_after_each_multiple_is_recorded(tmp_path):
    """Episodes of 12 steps; with a stride of 8 they begin after 0, 96, 192, ... steps."""
    play(tmp_path, "id=Drawing-v0", episodes=11, every=200, stride=8)
    assert begun(tmp_path) == [0, 288, 480, 672, 864]
    expected = [next(start for start in range(0, 10**4, 96) if start >= 200 * k) for k in range(5)]
    assert begun(tmp_path) == expected


def test_the_last_whole_episode_of_a_run_is_recorded_once(tmp_path):
    play(tmp_path, "id=Drawing-v0", episodes=10, every=10**6, stride=2, total=2 * 125)
    assert begun(tmp_path) == [0, 2 * 108]  # the tenth begins after 108 steps and ends after 120 of 125


def test_repeated_actions_make_a_frame_each_and_keep_the_speed(tmp_path):
    play(tmp_path, "id=Drawing-v0", "env.action_repeat=4", "env.frame_stack=2", episodes=2, every=1, stride=3)
    assert begun(tmp_path) == [0, 9]  # 3 steps of 4
    assert abs(len(video(tmp_path / "step-0-return-15.mp4")) - 4) <= 1
    assert float(streams(tmp_path / "step-0-return-15.mp4")[4]) == 20 / 4


def test_a_video_never_replaces_another_one_but_an_equal_one(tmp_path):
    play(tmp_path, "id=Drawing-v0")
    play(tmp_path, "id=Drawing-v0")
    before = only(tmp_path).read_bytes()
    play(tmp_path, "id=Drawing-v0", "+env.kwargs.what=odd")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0-return-15-2.mp4", "step-0-return-15.mp4"]
    assert (tmp_path / "step-0-return-15.mp4").read_bytes() == before


def test_a_video_whose_process_is_killed_is_playable(tmp_path):
    """ffmpeg ends the file when its input ends."""
    code = (
        "import os, signal, numpy as np, pathlib;"
        "from rlexp.envs.video import Encoder;"
        f"path = pathlib.Path({json.dumps(str(tmp_path / 'step-0.mp4'))});"
        "frames = np.zeros((20, 64, 64, 3), np.uint8); frames[:, :, :32] = 200;"
        "encoder = Encoder(path, 30, frames[0]);"
        "[encoder.write(frame) for frame in frames];"
        "encoder._process.stdin.write(frames[0].tobytes()[:1000]);"  # in the middle of a frame
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    wait_for(lambda: b"moov" in (tmp_path / "step-0.mp4").read_bytes(), "ffmpeg", 10)
    assert len(video(tmp_path / "step-0.mp4")) >= 18


def test_a_file_that_cannot_be_written_is_said_with_what_ffmpeg_says(tmp_path):
    encoder = Encoder(tmp_path / "nowhere" / "a.mp4", 30, np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(OSError, match=r"ffmpeg says: .*No such file or directory"):
        for _ in range(1000):
            encoder.write(np.zeros((64, 64, 3), np.uint8))
