"""What a person sees on a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

from tests.commands import TINY, environment, summary


def on_a_terminal(*arguments, cwd):
    """Run the training command on a terminal of 30 lines of 160 characters; return its exit code and what it showed."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 160, 0, 0))
    variables = {key: value for key, value in environment().items() if key not in ("COLUMNS", "NO_COLOR")}
    variables["TERM"] = "xterm-256color"
    words = [sys.executable, "-m", "rlexp.main", *arguments]
    process = subprocess.Popen(words, cwd=cwd, env=variables, stdin=child, stdout=child, stderr=child)
    os.close(child)
    shown = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(parent)
    return process.wait(), shown.decode()


def test_a_terminal_shows_a_live_bar_and_at_the_end_where_everything_is(tmp_path):
    code, shown = on_a_terminal(*TINY, "total_timesteps=2048", "hydra.run.dir=RUN", cwd=tmp_path)
    assert code == 0, shown
    assert "\x1b[?25l" in shown  # the cursor is hidden for the bar
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # and comes back
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    bars = [line for line in re.split(r"[\r\n]+", text) if line.startswith("training")]
    assert "━" in bars[-1]
    assert re.search(r"2,048/2,048 +[\d,]+ steps/s +return [\d.]+ +length [\d.]+ +left", bars[-1])
    table = text[text.rindex("2,048/2,048") :]
    result = summary(tmp_path / "RUN")["eval"]
    assert f"{result['mean_return']:,.1f} +- {result['std_return']:,.1f} (3 greedy episodes)" in table
    lines = table.splitlines()
    assert lines[lines.index("directory:") + 1] == "RUN"
    assert "tensorboard --logdir RUN" in lines
    assert any(line.endswith("python -m rlexp.evaluate checkpoint=RUN/checkpoints/last.safetensors") for line in lines)
