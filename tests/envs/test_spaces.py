import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from rlexp.envs.spaces import Packer, action_spec, space_spec
from rlexp.settings import ConfigError
from rlexp.types import ActionSpec, ImageSpec


def image_box(*shape):
    return Box(0, 255, shape, np.uint8)


def packed(space, samples):
    """Pack observations as a vector environment hands them over: batched by gymnasium."""
    batched = concatenate(space, samples, create_empty_array(space, len(samples)))
    assert batch_space(space, len(samples)).contains(batched)
    packer = Packer(space)
    out = np.zeros((len(samples), packer.spec.row_size), packer.dtype)
    packer.pack(batched, out)
    return packer, out


def test_a_box_is_flattened():
    space = Box(-1, 1, (2, 3), np.float64)
    samples = [np.arange(6).reshape(2, 3) / 10, -np.arange(6).reshape(2, 3) / 10]
    packer, rows = packed(space, samples)
    assert packer.spec.vector_size == 6
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, np.stack(samples).reshape(2, 6).astype(np.float32))


def test_a_box_without_axes_is_one_number():
    packer, rows = packed(Box(0, 1, (), np.float32), [np.float32(0.25), np.float32(0.5)])
    assert packer.spec.vector_size == 1
    assert rows.tolist() == [[0.25], [0.5]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float64])
def test_a_flat_box_of_any_type_becomes_real_numbers(dtype):
    _, rows = packed(Box(0, 200, (2,), dtype), [np.array([1, 200], dtype)])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[1, 200]]


def test_a_choice_starts_at_zero_wherever_its_space_starts():
    packer, rows = packed(Discrete(4, start=-2), [np.int64(-2), np.int64(1)])
    assert packer.spec.discrete == (4,)
    assert rows.tolist() == [[0], [3]]


# An image whose pixel says where it is: 100 * channel + 10 * row + column (frames: + 7 * frame).
def pixel(c, y, x, frame=0):
    return 100 * c + 10 * y + x + 7 * frame


@pytest.mark.parametrize(
    ("axes", "channels"),
    [("hwc", 2), ("chw", 2), ("hw", 1), ("shwc", 2), ("schw", 2), ("shw", 1)],
)
def test_every_layout_of_an_image_is_stored_channels_first_and_frame_by_frame(axes, channels):
    sizes = {"h": 6, "w": 5, "c": channels, "s": 3}
    space = image_box(*(sizes[axis] for axis in axes))
    value = np.zeros(space.shape, np.uint8)
    for index in np.ndindex(*space.shape):
        at = dict(zip(axes, index, strict=True))
        value[index] = pixel(at.get("c", 0), at["h"], at["w"], at.get("s", 0))
    packer, rows = packed(space, [value, value[::-1]])
    frames = 3 if "s" in axes else 1
    assert packer.spec.images == (ImageSpec("obs", frames * channels, 6, 5),)
    stored = rows[0, : frames * channels * 30].reshape(frames, channels, 6, 5)
    for s, c, y, x in np.ndindex(*stored.shape):
        assert stored[s, c, y, x] == pixel(c, y, x, s)


def test_a_row_of_bytes_is_a_multiple_of_four_long():
    packer, rows = packed(image_box(3, 3), [np.full((3, 3), 7, np.uint8)])
    assert packer.spec.row_size == 12
    assert rows[0, :9].tolist() == [7] * 9


def test_a_dict_has_its_numbers_first_then_choices_then_images():
    space = Dict(
        {
            "b_choice": Discrete(5, start=1),
            "c_image": image_box(4, 4, 3),
            "d_place": Box(-1, 1, (2,), np.float32),
            "a_image": image_box(3, 3),
            "e_time": Box(0, 9, (1,), np.int64),
        }
    )
    space.seed(0)
    samples = [space.sample() for _ in range(3)]
    packer, rows = packed(space, samples)
    spec = packer.spec
    assert (spec.vector_size, spec.discrete, spec.floats) == (3, (5,), 4)
    assert [(image.channels, image.height, image.width) for image in spec.images] == [(1, 3, 3), (3, 4, 4)]
    assert rows.dtype == np.uint8
    assert rows.strides[0] % 4 == 0
    numbers = rows[:, :16].view(np.float32)
    for row, image_bytes, sample in zip(numbers, rows[:, 16:], samples, strict=True):
        assert row.tolist() == [*sample["d_place"].tolist(), *sample["e_time"].tolist(), sample["b_choice"] - 1]
        np.testing.assert_array_equal(image_bytes[:9].reshape(3, 3), sample["a_image"])
        np.testing.assert_array_equal(image_bytes[9:57].reshape(3, 4, 4), np.moveaxis(sample["c_image"], -1, 0))


def test_a_dict_without_images_is_real_numbers():
    space = Dict({"x": Box(-1, 1, (2,), np.float32), "k": Discrete(3)})
    packer, rows = packed(space, [{"x": np.array([0.5, -0.5], np.float32), "k": np.int64(2)}])
    assert packer.dtype == np.float32
    assert rows.tolist() == [[0.5, -0.5, 2]]


@pytest.mark.parametrize(
    "space",
    [
        Box(-1, 1, (2, 3), np.float32), Discrete(4, start=3), image_box(8, 8, 3), image_box(5, 5),
        Dict({"x": Box(-1, 1, (2,), np.float32), "k": Discrete(3, start=1), "i": image_box(6, 6)}),
    ],
    ids=["box", "discrete", "image", "grey", "dict"],
)  # fmt: skip
def test_one_observation_is_packed_as_in_a_batch(space):
    space.seed(1)
    samples = [space.sample(), space.sample()]
    packer, rows = packed(space, samples)
    for sample, row in zip(samples, rows, strict=True):
        one = packer.pack_one(sample)
        assert one.dtype == row.dtype
        np.testing.assert_array_equal(one, row)


def test_what_each_action_space_becomes():
    assert action_spec(Discrete(3, start=2)) == ActionSpec("discrete", (3,), (), (2,), (), ())
    assert action_spec(MultiDiscrete([2, 4], start=[1, 0])) == ActionSpec("multidiscrete", (2, 4), (2,), (1, 0), (), ())
    box = Box(np.array([[-1, -2]], np.float32), np.array([[1, np.inf]], np.float32))
    assert action_spec(box) == ActionSpec("box", (), (1, 2), (), (-1.0, -2.0), (1.0, np.inf))


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (Text(5), "the observation space is Text"),
        (Tuple([Discrete(2)]), "the observation space is Tuple"),
        (MultiBinary(3), "the observation space is MultiBinary"),
        (MultiDiscrete([2, 2]), "the observation space is MultiDiscrete"),
        (Dict({"a": Discrete(2), "b": Text(4)}), "part 'b' of the observation space is Text"),
        (Dict({"a": Dict({"c": Discrete(2)})}), "part 'a' of the observation space is Dict"),
    ],
)
def test_an_unsupported_observation_space_is_named_in_one_line(space, named):
    with pytest.raises(ConfigError, match="which is not supported; supported: Box, Discrete") as error:
        space_spec(space, Discrete(2))
    assert str(error.value).startswith(named)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (Text(5), "Text"),
        (MultiBinary(3), "MultiBinary"),
        (Box(0, 5, (2,), np.int64), "Box"),
        (MultiDiscrete([[2, 3], [4, 5]]), "MultiDiscrete"),
        (Dict({"a": Discrete(2)}), "Dict"),
    ],
)
def test_an_unsupported_action_space_is_named_in_one_line(space, named):
    with pytest.raises(ConfigError, match=f"the action space is {named}") as error:
        space_spec(Discrete(2), space)
    assert "\n" not in str(error.value)
