"""Which episodes are recorded, and the video file that frames are written to."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rlexp.envs.frames import Frame

CLOSE_SECONDS = 10.0
"""Time that the encoder has to finish a file after its last frame; it needs some tenths of a second."""


@dataclass(frozen=True)
class VideoSettings:
    """Which episodes of an environment are recorded, and where.

    Attributes:
        folder: where the files go.
        max_steps: steps after which a video is cut.
        every: environment steps over all ranks; the first episode that begins at or after each multiple is recorded.
            0: the first episode alone.
        stride: environment steps over all ranks that pass while this environment takes one.
        start: environment steps over all ranks before the first episode.
        total: environment steps of the run where its last episode is to be among those recorded.
    """

    folder: Path
    max_steps: int
    every: int = 0
    stride: int = 0
    start: int = 0
    total: int | None = None

    def due(self, begun: int, previous: int) -> bool:
        """Return whether an episode is recorded.

        Args:
            begun: steps that the environment had taken when the episode began.
            previous: the same of the episode before it; -1 if there was none.
        """
        if self.every == 0:
            return begun == 0
        return previous < 0 or begun * self.stride // self.every > previous * self.stride // self.every

    def last(self, begun: int, previous: int) -> bool:
        """Return whether an episode is probably the last one that ends in the run: the one before was half as long."""
        if self.total is None or previous < 0:
            return False
        return self.total // self.stride - begun < 2 * (begun - previous)


class Encoder:
    """An mp4 file that grows frame by frame, by an ffmpeg process of its own.

    ffmpeg ends the file properly when its input ends, so also when this process is killed.
    """

    def __init__(self, path: Path, fps: float, frame: Frame) -> None:
        import imageio_ffmpeg  # only where videos are recorded

        self._path, self._errors = path, tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the process
        height, width = frame.shape[:2]
        try:
            words = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        except RuntimeError as error:
            raise OSError(f"there is no ffmpeg: {error}") from None
        words += ["-s", f"{width}x{height}", "-r", f"{fps:.6g}", "-i", "-", "-an", "-c:v", "libx264"]
        # One thread: the environment's process has no more, and the bytes of a file repeat.
        words += ["-pix_fmt", "yuv420p", "-preset", "veryfast", "-crf", "20", "-threads", "1", "-f", "mp4"]
        self._process = subprocess.Popen(
            [*words, f"file:{path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,  # a Ctrl-C at the terminal is for this process, which then closes the file
        )

    def write(self, frame: Frame) -> None:
        """Encode a frame.

        Raises:
            OSError: ffmpeg has ended; it says why.
        """
        assert self._process.stdin is not None
        left = memoryview(frame.tobytes())
        try:
            while left:
                left = left[self._process.stdin.write(left) :]
        except BrokenPipeError:
            raise OSError(self._reason()) from None

    def close(self) -> None:
        """End the file.

        Raises:
            OSError: it is not whole; ffmpeg says why.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            code = self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise OSError(f"ffmpeg did not end within {CLOSE_SECONDS:g} s") from None
        # ffmpeg may fail without saying so in its exit code; it writes the index, moov, last.
        if code != 0 or not has_index(self._path):
            raise OSError(self._reason())
        self._errors.close()

    def _reason(self) -> str:
        """Return what ffmpeg said."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self._errors.seek(0)
        said = " ".join(self._errors.read()[-1000:].decode(errors="replace").split())
        return f"the video is not whole; is the disk full? ffmpeg says: {said or 'nothing'}"


def has_index(path: Path) -> bool:
    """Return whether an mp4 file has its index: the box `moov`, after the box of the frames, `mdat`."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        place = 0
        while place + 16 <= size:
            file.seek(place)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            length = int.from_bytes(head[8:], "big") if length == 1 else length
            if head[4:8] == b"moov":
                return place + length <= size
            if length < 8:
                return False
            place += length
    return False
