"""Frames of any environment as an encoder takes them: uint8 RGB, one size, even height and width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]  # [H, W, 3]

SMALL_SIDE, ENLARGED_SIDE = 32, 160
"""A frame whose sides are all below the first (a grid with a pixel for each cell) is enlarged to about the second."""
CHANNELS = (1, 2, 3, 4)
"""Grey, grey with alpha, RGB, RGB with alpha."""


class Frames:
    """Turns what `render` returns into frames of the size of the first one.

    Floats are taken for values in [0, 1] until one above 1 is seen, then for values in [0, 255].

    Attributes:
        plain: whether every frame so far was of one colour.
        resized: whether a frame had another size than the first one.
    """

    def __init__(self) -> None:
        self.plain, self.resized = True, False
        self._size: tuple[int, int] | None = None  # height and width of the first frame
        self._bright = False  # floats above 1 were seen

    def read(self, rendered: Any) -> list[Frame]:
        """Return the frames, [H, W, 3] uint8 with even H and W, in what `render` returned; none for None.

        Raises:
            ValueError: it is no picture; the message says what it is.
        """
        if rendered is None:
            return []
        if isinstance(rendered, list | tuple) and (not rendered or np.ndim(rendered[0]) >= 2):  # render_mode *_list
            return [frame for each in rendered for frame in self.read(each)]
        array = np.asarray(rendered)
        if array.ndim == 4:  # a batch of frames
            return [frame for each in array for frame in self.read(each)]
        return [self._fitted(_coloured(self._bytes(_channels_last(array))))]

    def _bytes(self, array: NDArray[Any]) -> Frame:
        """Return values of any type as bytes."""
        if array.dtype == np.uint8:
            return array
        if array.dtype == np.bool_:
            return array.astype(np.uint8) * np.uint8(255)
        if array.dtype == np.uint16 and array.max() > 255:
            return (array >> 8).astype(np.uint8)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"its type is {array.dtype}")
        values = array.astype(np.float32)
        if array.dtype.kind == "f":
            values = np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0)
            self._bright = self._bright or bool(values.max() > 1)
            values = values if self._bright else values * 255
        frame: Frame = np.rint(values.clip(0, 255)).astype(np.uint8)
        return frame

    def _fitted(self, frame: Frame) -> Frame:
        """Return a frame in the size of the first one, with even sides."""
        height, width = frame.shape[:2]
        if self._size is None:
            self._size = height, width
        if self._size != (height, width):
            self.resized = True
            rows, columns = np.arange(self._size[0]), np.arange(self._size[1])
            frame = frame[rows * height // self._size[0]][:, columns * width // self._size[1]]  # nearest neighbours
            height, width = self._size
        if self.plain:
            self.plain = int(np.ptp(frame.reshape(-1, 3), axis=0).max()) <= 2
        if max(height, width) < SMALL_SIDE:
            times = -(-ENLARGED_SIDE // max(height, width))
            frame = frame.repeat(times, 0).repeat(times, 1)
        bottom, right = frame.shape[0] % 2, frame.shape[1] % 2
        if bottom or right:  # H.264 in yuv420p holds a colour for two by two pixels
            frame = np.pad(frame, ((0, bottom), (0, right), (0, 0)), "edge")
        return np.ascontiguousarray(frame)


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """Return a picture as [H, W, C].

    Raises:
        ValueError: it is none.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[2] not in CHANNELS and array.shape[0] in CHANNELS:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in CHANNELS or 0 in array.shape:
        raise ValueError(f"its shape is {list(array.shape)}")
    return array


def _coloured(array: Frame) -> Frame:
    """Return [H, W, C] bytes as RGB, without alpha."""
    return array[..., :3] if array.shape[2] >= 3 else array[..., :1].repeat(3, 2)
