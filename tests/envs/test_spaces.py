import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array

from rlexp.data.spaces import ImageSpec
from rlexp.envs.reading import Reading
from rlexp.envs.spaces import DEFAULT, Packer
from rlexp.errors import Fault


def image_box(*shape):
    return Box(0, 255, shape, np.uint8)


PIXELS = Reading(images="pixels")


def packed(space, samples, reading=DEFAULT):
    """Pack observations as a vector environment hands them over: batched by gymnasium."""
    batched = concatenate(space, samples, create_empty_array(space, len(samples)))
    assert batch_space(space, len(samples)).contains(batched)
    packer = Packer(space, reading)
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


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint16])
def test_whole_numbers_are_scaled_by_their_bounds(dtype):
    _, rows = packed(Box(100, 200, (2,), dtype), [np.array([100, 150], dtype), np.array([200, 125], dtype)])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 0.5], [1, 0.25]]


def test_each_whole_number_is_scaled_by_its_own_bounds_if_they_say_anything():
    low = np.array([-8, 0, -1, 0, -(2**62)], np.int64)
    high = np.array([8, 4, 1, 2**40, 2**62], np.int64)
    _, rows = packed(Box(low, high, dtype=np.int64), [np.array([4, 1, -1, 1000, 7])])
    assert rows.tolist() == [[0.75, 0.25, -1, 1000, 7]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_taken_as_they_are(dtype):
    _, rows = packed(Box(0, 200, (2,), dtype), [np.array([1, 200], dtype)])
    assert rows.tolist() == [[1, 200]]


@pytest.mark.parametrize("space", [MultiBinary(3), Box(0, 1, (3,), np.bool_), Box(-1, 1, (3,), np.int8)])
def test_whole_numbers_within_1_are_taken_as_they_are(space):
    packer, rows = packed(space, [np.array([0, 1, 1], space.dtype)])
    assert packer.spec.vector_size == 3
    assert rows.tolist() == [[0, 1, 1]]


def test_choices_side_by_side_start_at_zero_each():
    space = MultiDiscrete([3, 5], start=[-1, 10])
    packer, rows = packed(space, [np.array([-1, 14]), np.array([1, 10])])
    assert packer.spec.discrete == (3, 5)
    assert rows.tolist() == [[0, 4], [2, 0]]


@pytest.mark.parametrize(
    ("space", "wrong"),
    [
        (Discrete(4, start=1), np.int64(5)), (Discrete(4, start=1), np.int64(0)),
        (MultiDiscrete([2, 5]), np.array([2, 0])), (Box(0, 9, (3, 3), np.uint8), np.full((3, 3), 10, np.uint8)),
        (Box(-5, 5, (3, 3), np.int8), np.full((3, 3), -6, np.int8)),
    ],
)  # fmt: skip
def test_a_value_that_its_space_does_not_have_is_named(space, wrong):
    with pytest.raises(Fault, match=r"^observation obs holds -?\d+ to -?\d+, but its space says: .*; mend the environ"):
        Packer(space).pack_one(wrong)


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
    frames = 3 if "s" in axes else 1
    packer, rows = packed(space, [value, value[::-1]], Reading("pixels", frames=frames))
    assert packer.spec.images == (ImageSpec("obs", frames * channels, 6, 5),)
    stored = rows[0, : frames * channels * 30].reshape(frames, channels, 6, 5)
    for s, c, y, x in np.ndindex(*stored.shape):
        assert stored[s, c, y, x] == pixel(c, y, x, s)


def test_a_grid_is_stored_from_0_on_whatever_its_type_and_its_first_symbol():
    values = np.arange(-8, 8).reshape(4, 4)
    for space in (Box(-8, 7, (4, 4), np.int8), Box(-8, 7, (4, 4), np.int64), Box(-8, 300, (4, 4), np.int32)):
        packer, rows = packed(space, [values.astype(space.dtype)])
        if packer.spec.images:
            assert rows[0].tolist() == list(range(16))
    assert packer.spec.vector_size == 16  # more symbols than a byte holds
    space = MultiDiscrete(np.full((4, 4), 20), start=np.full((4, 4), -8))
    assert packed(space, [values])[1][0].tolist() == list(range(16))


def test_a_grid_whose_channels_start_separately_keeps_each_separately():
    start = np.stack([np.zeros((3, 4)), np.full((3, 4), 50)], -1).astype(np.int64)
    space = MultiDiscrete(np.full((3, 4, 2), 9), start=start)
    _, rows = packed(space, [start + np.array([2, 5])])
    assert rows[0].tolist() == [2] * 12 + [5] * 12


@pytest.mark.parametrize(
    ("space", "value", "stored"),
    [
        (Box(0, 1, (40, 40), np.float64), 0.25, 0.25),
        (Box(-1, 1, (40, 40, 3), np.float32), 0.5, 0.75),
        (Box(0, 65_535, (40, 40), np.uint16), 13_107, 0.2),
    ],
)
def test_images_that_no_byte_holds_are_float32_from_0_to_1(space, value, stored):
    packer, rows = packed(
        Dict({"a": Discrete(3), "b": space}), [{"a": 2, "b": np.full(space.shape, value, space.dtype)}]
    )
    assert packer.dtype == np.uint8
    assert packer.spec.floats == 1 + int(np.prod(space.shape))
    np.testing.assert_allclose(rows.view(np.float32)[0], [2, *[stored] * int(np.prod(space.shape))], rtol=1e-6)


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
        assert row.tolist() == [
            *sample["d_place"].tolist(),
            np.float32(sample["e_time"][0]) * np.float32(1 / 9),
            sample["b_choice"] - 1,
        ]
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
        Tuple([Dict({"x": Box(0, 9, (2,), np.int64)}), Tuple([MultiDiscrete([3, 2]), MultiBinary(4)])]),
    ],
    ids=["box", "discrete", "image", "grey", "dict", "nested"],
)  # fmt: skip
def test_one_observation_is_packed_as_in_a_batch(space):
    space.seed(1)
    samples = [space.sample(), space.sample()]
    packer, rows = packed(space, samples)
    for sample, row in zip(samples, rows, strict=True):
        one = packer.pack_one(sample)
        assert one.dtype == row.dtype
        np.testing.assert_array_equal(one, row)


def test_nested_dicts_and_tuples_are_packed_as_flat_ones():
    place, choice, grid = Box(-1, 1, (2,), np.float32), Discrete(5, start=1), Box(0, 9, (3, 3), np.uint8)
    flat = Dict({"a": place, "b": choice, "c": grid})
    nested = Tuple([Dict({"x": place, "y": Tuple([choice])}), grid])
    flat.seed(0)
    samples = [flat.sample() for _ in range(3)]
    packer, rows = packed(nested, [({"x": one["a"], "y": (one["b"],)}, one["c"]) for one in samples])
    np.testing.assert_array_equal(rows, packed(flat, samples)[1])
    assert packer.spec.description.startswith("0.x: vector of 2; 0.y.0: choice of 5; 1: grid 3x3x1, symbols 0 to 9")


def test_the_room_up_to_a_multiple_of_four_bytes_is_written_too():
    space = image_box(7, 7, 3)
    packer, picture = Packer(space), np.full((1, 7, 7, 3), 9, np.uint8)
    row = np.full((1, packer.spec.row_size), 77, np.uint8)
    packer.pack(picture, row)
    assert row.tobytes() == packer.pack_one(picture[0]).tobytes()
