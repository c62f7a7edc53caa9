"""What an environment shows and takes, as networks and buffers need it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ImageSpec:
    """One image, or one grid of symbols, of an observation, stored channels first.

    Attributes:
        name: of the part of the observation.
        channels: channels of one frame, times the number of frames.
        height: rows.
        width: columns.
        levels: values that an element can take, stored as a byte from 0 to levels - 1; 0: a float32 from 0 to 1.
        symbols: whether a value is a symbol, which says nothing of its neighbours, rather than a brightness.
    """

    name: str
    channels: int
    height: int
    width: int
    levels: int = 256
    symbols: bool = False

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.channels * self.height * self.width

    @property
    def embedded(self) -> bool:
        """Whether a network looks each symbol up in a table; of two symbols, 0 and 1, it needs none."""
        return self.symbols and self.levels > 2


@dataclass(frozen=True)
class ObservationSpec:
    """How an observation lies in one flat row.

    A row holds the real numbers first (`vector_size` float32), then the discrete values (one float32 each), then
    images of real numbers (float32), then the action mask (one float32, 0 or 1, for each option of each choice), then
    images of bytes (uint8). Without images a row is float32 of shape
    [vector_size + len(discrete) + mask]; with images it is uint8, and the float32 part takes four bytes a number. One
    tensor holds any observation, so rollouts, minibatches and transport need not know what it is made of.

    Attributes:
        vector_size: real numbers.
        discrete: number of options of each discrete value.
        images: those of real numbers first.
        description: what was made of each part of the observation, in words.
        note: what was left out, in words; None: nothing.
        number_parts: name and count of the real numbers of each part of the observation that has some.
        choice_parts: name and count of the discrete values of each part of the observation that has some.
        mask: elements of the action mask; 0: all actions are always allowed.
    """

    vector_size: int
    discrete: tuple[int, ...]
    images: tuple[ImageSpec, ...]
    description: str = field(default="", compare=False)
    note: str | None = field(default=None, compare=False)
    number_parts: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    choice_parts: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    mask: int = 0

    @property
    def floats(self) -> int:
        """Number of float32 in a row."""
        real = sum(image.size for image in self.images if image.levels == 0)
        return self.vector_size + len(self.discrete) + real + self.mask

    @property
    def row_size(self) -> int:
        """Number of elements in a row; a multiple of four where a row is bytes, so that floats stay aligned."""
        if not self.images:
            return self.floats
        pixels = sum(image.size for image in self.images if image.levels > 0)
        return 4 * self.floats + -(-pixels // 4) * 4


@dataclass(frozen=True)
class ActionSpec:
    """What an action is.

    Attributes:
        kind: 'discrete' (one choice), 'multidiscrete' (several choices), 'box' (real numbers) or 'mixed' (both).
        sizes: number of options of each choice; empty for 'box'.
        shape: shape of one action in the environment.
        start: first value of each choice.
        low: lower bounds, flat; empty for choices.
        high: upper bounds, flat; empty for choices.
        dtype: numpy's name of the type that the environment takes; '' for the type that a network gives.
        container: 'dict' or 'tuple' where an action is one of those; else empty.
        parts: what it holds, by key or index; the sizes and bounds of all of them, in order, are those above.
    """

    kind: str
    sizes: tuple[int, ...]
    shape: tuple[int, ...]
    start: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    dtype: str = field(default="", compare=False)
    container: str = ""
    parts: tuple[tuple[str | int, ActionSpec], ...] = ()

    @property
    def width(self) -> int:
        """Numbers in the flat row of an action."""
        return len(self.sizes) + len(self.low)


@dataclass(frozen=True)
class SpaceSpec:
    """The spaces of an environment, as networks and buffers need them."""

    observation: ObservationSpec
    action: ActionSpec
