"""What observation spaces are taken for. The shapes are those of public environments and their wrappers."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, OneOf, Sequence, Text, Tuple
from gymnasium.wrappers import FrameStackObservation

from rlexp.envs import make_environments
from rlexp.envs.reading import Reading
from rlexp.envs.spaces import Packer, space_spec
from rlexp.envs.text import text_note, without_text
from rlexp.errors import ConfigError
from tests.environments import Mission
from tests.helpers import composed


def read_as(space, **reading):
    return Packer(space, Reading(**reading)).spec.description


def box(shape, high=255, low=0, dtype=np.uint8):
    return Box(low, high, shape, dtype)


AUTO = [
    # MiniGrid: symbols 0 to 10, declared as 0 to 255; whole maps; its pictures
    (box((7, 7, 3)), "grid 7x7x3, symbols 0 to 255 (env.images=pixels reads pixels)"),
    (box((25, 25, 3)), "grid 25x25x3, symbols 0 to 255 (env.images=pixels reads pixels)"),
    (box((11, 6, 3)), "grid 11x6x3, symbols 0 to 255 (env.images=pixels reads pixels)"),
    (box((56, 56, 3)), "image 56x56x3, pixels"),
    # MinAtar, Tetris, small boards
    (box((10, 10, 4), 1, 0, np.bool_), "grid 10x10x4, symbols 0 to 1"),
    (box((10, 10, 10), 1, 0, np.bool_), "grid 10x10x10, symbols 0 to 1"),
    (box((24, 18), 9), "grid 24x18x1, symbols 0 to 9 (env.images=pixels reads pixels)"),
    (box((4, 16), 9), "grid 4x16x1, symbols 0 to 9 (env.images=pixels reads pixels)"),
    (box((6, 6), 1), "grid 6x6x1, symbols 0 to 1"),
    (box((6, 6), 1, dtype=np.int64), "grid 6x6x1, symbols 0 to 1"),
    (box((8, 8), 1, -1, np.int8), "grid 8x8x1, symbols -1 to 1 (env.images=pixels reads pixels)"),
    (box((100, 100), 5, dtype=np.int64), "grid 100x100x1, symbols 0 to 5 (env.images=pixels reads pixels)"),
    (box((21, 79)), "grid 21x79x1, symbols 0 to 255 (env.images=pixels reads pixels)"),
    (MultiDiscrete(np.full((6, 6), 3)), "grid 6x6x1, symbols 0 to 2 (env.images=pixels reads pixels)"),
    (MultiBinary([6, 6]), "grid 6x6x1, symbols 0 to 1"),
    # channels first where these are the shorter, or two equal axes follow
    (box((2, 6, 7), 1, dtype=np.int8), "grid 6x7x2, symbols 0 to 1"),
    (box((17, 8, 8), 1, 0, np.bool_), "grid 8x8x17, symbols 0 to 1"),
    (box((8, 8, 111), 1, 0, np.bool_), "grid 8x8x111, symbols 0 to 1"),
    (box((3, 64, 64)), "image 64x64x3, pixels"),
    (box((3, 210, 160)), "image 210x160x3, pixels"),
    (box((210, 160, 3)), "image 210x160x3, pixels"),
    # grey, and stacked by an environment's own wrappers (Atari, highway-env)
    (box((84, 84)), "image 84x84x1, pixels"),
    (box((84, 84, 1)), "image 84x84x1, pixels"),
    (box((4, 84, 84)), "image 84x84x4, pixels"),
    (box((4, 128, 64)), "image 128x64x4, pixels"),
    (box((4, 84, 84, 3)), "image 84x84x12, pixels"),
    (box((4, 84, 84, 1)), "image 84x84x4, pixels"),
    # floats, and whole numbers that bytes do not hold
    (box((64, 64, 3), 1.0, 0.0, np.float32), "image 64x64x3, pixels"),
    (box((64, 64), 1.0, 0.0, np.float64), "image 64x64x1, pixels"),
    (box((64, 64), 65_535, dtype=np.uint16), "image 64x64x1, pixels"),
    (box((64, 64), np.inf, -np.inf, np.float32), "vector of 4096"),
    (box((7, 11, 11), 1.0, -1.0, np.float32), "vector of 847"),
    (box((5, 5), np.inf, -np.inf, np.float32), "vector of 25"),
    (box((2, 3), 1.0, -1.0, np.float32), "vector of 6"),
    (box((4, 4), 131_072, dtype=np.int64), "vector of 16"),
    (box((4, 4), 2_048, dtype=np.int64), "vector of 16, 0 to 2048 scaled to 0 to 1"),
    # vectors, and stacks of them
    (box((128,)), "vector of 128, 0 to 255 scaled to 0 to 1"),
    (box((4, 128)), "vector of 512, 0 to 255 scaled to 0 to 1"),
    (box((1, 9)), "vector of 9, 0 to 255 scaled to 0 to 1"),
    (box((), 5), "vector of 1, 0 to 5 scaled to 0 to 1"),
    (box((4,), np.inf, -np.inf, np.float32), "vector of 4"),
    (Box(-(2**63), 2**63 - 2, (3, 3), np.int64), "vector of 9"),
    (Discrete(16), "choice of 16"),
    (MultiDiscrete([3, 3]), "2 choices of 3"),
    (MultiDiscrete([3, 5, 2]), "3 choices of 2 to 5"),
    (MultiBinary(4), "vector of 4"),
]  # fmt: skip


@pytest.mark.parametrize(("space", "words"), AUTO, ids=[f"{' '.join(str(space).split())[:60]}" for space, _ in AUTO])
def test_what_a_part_is_follows_from_its_space(space, words):
    assert read_as(space) == words
    assert len("observation: ") + len(words) <= 80


STACKED = [
    (box((128,)), 4, "vector of 512, 0 to 255 scaled to 0 to 1"),
    (box((16, 12)), 20, "grid 16x12x20, symbols 0 to 255 (env.images=pixels reads pixels)"),
    (box((7, 7, 3)), 4, "grid 7x7x12, symbols 0 to 255 (env.images=pixels reads pixels)"),
    (box((84, 84)), 4, "image 84x84x4, pixels"),
    (box((84, 84, 3)), 4, "image 84x84x12, pixels"),
    (box((3, 64, 64)), 2, "image 64x64x6, pixels"),
    (box((4, 84, 84)), 2, "image 84x84x8, pixels"),
    (box((4,), 1.0, -1.0, np.float32), 3, "vector of 12"),
    (Discrete(5, start=1), 3, "3 choices of 5"),
    (MultiBinary(4), 3, "vector of 12"),
    (MultiDiscrete([3, 5]), 3, "vector of 6, 0 to 4 scaled to 0 to 1"),
]


class Shown(gymnasium.Env):
    """Shows samples of a space."""

    action_space = Discrete(2)

    def __init__(self, space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.mark.parametrize(("space", "frames", "words"), STACKED, ids=[f"{s} x {n}" for s, n, _ in STACKED])
def test_stacked_frames_are_read_as_one_frame_is(space, frames, words):
    env = FrameStackObservation(Shown(space), frames)
    assert read_as(env.observation_space, frames=frames) == words
    env = FrameStackObservation(Shown(Tuple([Dict({"a": space}), space])), frames)
    packer = Packer(env.observation_space, Reading(frames=frames))
    assert packer.spec.description == f"0.a: {words}; 1: {words}"
    assert packer.pack_one(env.reset()[0]).shape == (packer.spec.row_size,)


@pytest.mark.parametrize(
    ("space", "reading", "words"),
    [
        (box((7, 7, 3)), {"images": "pixels"}, "image 7x7x3, pixels"),
        (box((4, 128)), {"images": "pixels"}, "image 4x128x1, pixels"),
        (box((20, 20, 3), 1.0, 0.0, np.float32), {"images": "pixels"}, "image 20x20x3, pixels"),
        (box((5, 5), np.inf, -np.inf, np.float32), {"images": "pixels"}, "vector of 25"),
        (box((84, 84)), {"images": "symbols"}, "grid 84x84x1, symbols 0 to 255"),
        (box((20, 16, 12)), {"images": "pixels", "channels": "first"}, "image 16x12x20, pixels"),
        (box((20, 16, 12)), {"images": "pixels", "channels": "last"}, "image 20x16x12, pixels"),
        (box((20, 16, 12)), {"images": "pixels", "frames": 20}, "image 16x12x20, pixels"),
        (box((40, 40, 60)), {"channels": "first"}, "image 40x60x40, pixels"),
    ],
)
def test_two_keys_say_otherwise(space, reading, words):
    assert read_as(space, **reading) == words


def test_the_keys_reach_the_environments():
    overrides = ("id=Picture-v0", "env.num_envs=1")
    for words, description in (
        ((), "grid 8x8x3, symbols 0 to 255 (env.images=pixels reads pixels)"),
        (("env.images=pixels",), "image 8x8x3, pixels"),
        (("env.images=pixels", "env.channels=first"), "image 8x3x8, pixels"),
        (("env.images=pixels", "env.frame_stack=5"), "image 8x8x15, pixels"),
    ):
        config = composed(*overrides, *words)
        envs = make_environments(config.env, 1)
        assert envs.spec.observation.description == description
        envs.close()


# What cannot be read


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Text(5), "^the observation space is Text.*TransformObservation"),
        (Sequence(Discrete(2)), "^the observation space is Sequence.*length varies; .*TransformObservation can pad it"),
        (Graph(Discrete(2), None), "^the observation space is Graph.*size varies; .*TransformObservation"),
        (OneOf([Discrete(2), Discrete(3)]), "^the observation space is OneOf.*FlattenObservation makes a Box of it"),
        (Dict({"a": Discrete(2), "b": Tuple([Sequence(Discrete(2))])}), "^part 'b.0' of the observation space is Seq"),
        (Dict({"a": Text(4), "b": Text(4)}), "^the observation space is Dict.* which holds no numbers"),
        (Dict({}), "which holds no numbers"),
        (Box(-1, 1, (0,), np.float32), "which holds no numbers"),
        (Dict({"a": Box(-1, 1, (0, 3), np.float32)}), "which holds no numbers"),
    ],
)  # fmt: skip
def test_a_space_that_cannot_be_read_is_named_in_one_line(space, message):
    with pytest.raises(ConfigError, match=message) as error:
        space_spec(space, Discrete(2))
    assert "\n" not in str(error.value)
    assert "supported: Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these" in str(error.value)


def test_an_empty_part_is_left_out_beside_others():
    space = Dict({"a": Box(-1, 1, (0,), np.float32), "b": Box(-1, 1, (2,), np.float32)})
    packer = Packer(space)
    assert packer.spec.description == "b: vector of 2"
    row = packer.pack_one({"a": np.zeros(0, np.float32), "b": np.array([0.5, -0.5], np.float32)})
    assert row.tolist() == [0.5, -0.5]


def test_text_beside_other_parts_is_left_out_and_said():
    place = Box(-1, 1, (2,), np.float32)
    env = without_text(Shown(Dict({"a": Mission(), "b": Tuple([Text(5), place]), "c": Dict({"d": Text(3)})})))
    assert env.observation_space == Dict({"b": Tuple([place])})
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    assert text_note(FrameStackObservation(env, 2)) == "a, b.0, c.d are text and left out"
    plain = Shown(Dict({"b": place}))
    assert without_text(plain) is plain
    assert text_note(plain) is None


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("observation", ["worded", "tuple"])
def test_environments_with_tuples_and_texts_are_stepped_in_every_way(observation, vectorization):
    config = composed("id=Silent-v0", f"+env.kwargs.observation={observation}", f"env.vectorization={vectorization}")
    envs = make_environments(config.env, 2)
    rows = np.zeros((2, envs.spec.observation.row_size), envs.row_dtype)
    envs.reset([1, 2], rows)
    envs.step(np.zeros(2, np.int64), rows)
    assert rows.any()
    envs.close()
