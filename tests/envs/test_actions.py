import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, OneOf, Sequence, Text, Tuple

import rlexp
from rlexp.data.spaces import ActionSpec
from rlexp.envs.actions import action_spec, environment_actions
from rlexp.envs.spaces import space_spec
from rlexp.errors import ConfigError
from rlexp.models.distributions import Gaussian, MultiCategorical
from rlexp.models.mixed import build_distribution
from tests.collect.test_tensor_player import player_of
from tests.commands import summary
from tests.envs.test_vector import Stepped
from tests.helpers import agent
from tests.topology.ranks import launched


def spec_of(space):
    return space_spec(Box(-1, 1, (1,), np.float32), space)


@pytest.fixture
def stepped():
    made = []

    def make(*overrides):
        made.append(Stepped(*overrides))
        return made[-1]

    yield make
    for each in made:
        each.envs.close()


def test_what_each_action_space_becomes():
    assert action_spec(Discrete(3, start=2)) == ActionSpec("discrete", (3,), (), (2,), (), ())
    assert action_spec(MultiDiscrete([2, 4], start=[1, 0])) == ActionSpec("multidiscrete", (2, 4), (2,), (1, 0), (), ())
    assert action_spec(MultiBinary(2)) == ActionSpec("multidiscrete", (2, 2), (2,), (0, 0), (), ())
    box = Box(np.array([[-1, -2]], np.float32), np.array([[1, np.inf]], np.float32))
    assert action_spec(box) == ActionSpec("box", (), (1, 2), (), (-1.0, -2.0), (1.0, np.inf))


CHOICES = [
    Discrete(3, start=-5), Discrete(4, dtype=np.int32), MultiDiscrete([2, 4], start=[1, 0]),
    MultiDiscrete([2, 4], dtype=np.int8), MultiDiscrete([[2, 3, 4], [5, 6, 7]]), MultiBinary(3), MultiBinary([2, 3]),
    Box(-2, 3, (2,), np.int64), Box(0, 255, (2, 2), np.uint8), Box(0, 1, (3,), np.bool_),
    Box(np.array([-128, 0], np.int8), np.array([127, 5], np.int8), dtype=np.int8),
    Box(2**31 - 3, 2**31 - 1, (1,), np.int32),
]  # fmt: skip


@pytest.mark.parametrize("space", CHOICES, ids=str)
def test_every_choice_is_in_its_space_and_every_option_can_be_chosen(space):
    spec = spec_of(space)
    distribution = build_distribution(spec.action, False)
    noise = distribution.noise((20_000,), torch.Generator().manual_seed(0))
    sampled = distribution.sample(torch.zeros(20_000, distribution.num_params), noise).numpy()
    actions = environment_actions(sampled, spec, "clip")
    assert all(space.contains(action) for action in actions[:200])
    flat = actions.reshape(len(actions), -1)
    assert [len(np.unique(column)) for column in flat.T] == list(spec.action.sizes)


def random_box(draw, dtype):
    """Return a box with bounds of any size that its type has, some of them open, some of them one value wide."""
    size = int(draw.integers(1, 6))
    largest = {"float16": 4, "float32": 30, "float64": 250, "longdouble": 250}[dtype]
    scale = 10.0 ** draw.uniform(-largest, largest, size)
    low = (draw.normal(size=size) * scale).astype(dtype)
    span = (np.abs(draw.normal(size=size)) * scale).astype(dtype)
    high = low + (span if draw.random() < 0.8 else np.zeros_like(span))
    return low, high


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("bounds", ["clip", "tanh", "scale"])
def test_no_action_leaves_its_space_whatever_the_type_and_the_bounds(dtype, bounds):
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        low, high = random_box(draw, dtype)
        if bounds == "clip" and draw.random() < 0.3:
            low = np.full_like(low, -np.inf)
        space = Box(low, high, dtype=np.dtype(dtype))
        sampled = (draw.normal(size=(1, low.size)) * 10.0 ** draw.uniform(-3, 6)).astype(np.float32)
        (action,) = environment_actions(sampled, spec_of(space), bounds)
        inside += space.contains(action)
    assert inside == 200


def test_bounds_that_float32_cannot_hold_are_kept_in_float64():
    low, high = np.array([0.1, -1 / 3]), np.array([0.1 + 1e-9, 1 / 3])
    spec = spec_of(Box(low, high, dtype=np.float64))
    got = environment_actions(np.array([[-9, -9], [9, 9]], np.float32), spec, "clip")
    assert got.dtype == np.float64
    assert got.tolist() == [low.tolist(), high.tolist()]
    middle = environment_actions(np.zeros((1, 2), np.float32), spec, "tanh")
    np.testing.assert_allclose(middle, [[0.1 + 5e-10, 0]], rtol=1e-12, atol=1e-12)


def test_the_widest_bounds_of_a_type_can_be_squashed_into():
    widest = float(np.finfo(np.float32).max)
    got = environment_actions(np.array([[-50], [0], [50]], np.float32), spec_of(Box(-widest, widest, (1,))), "tanh")
    assert got.flatten().tolist() == [-widest, 0, widest]


@pytest.mark.parametrize("bounds", ["clip", "tanh"])
def test_actions_of_tensor_environments_stay_in_the_space(bounds):
    made = player_of("env=pendulum", "env.backend=torch", f"env.action_bounds={bounds}")
    sampled = torch.linspace(-100, 100, 201).view(-1, 1)
    space = Box(-2.0, 2.0, (1,), np.float32)
    assert all(space.contains(action) for action in made._actor.to_environment(sampled).numpy())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Text(5), "the action space is Text.* supported: Discrete, MultiDiscrete, MultiBinary, Box, and Dict"),
        (Dict({"a": Text(5)}), "part 'a' of the actions: the action space is Text.*TransformAction"),
        (Tuple([]), "an empty tuple, which leaves nothing to choose"),
        (Sequence(Discrete(2)), "the action space is Sequence.*TransformAction"),
        (Graph(Discrete(2), None), "the action space is Graph.*TransformAction"),
        (OneOf([Discrete(2), Discrete(3)]), "the action space is OneOf.*TransformAction"),
        (Box(0, 100_000, (2,), np.int64), "whole numbers of more than 1,024 values; declare a Box of floats"),
        (Box(-(2**63), 2**63 - 2, (2,), np.int64), "whole numbers of more than 1,024 values"),
        (Box(-1, 1, (0,), np.float32), "leaves nothing to choose"),
        (Box(-1, 1, (2, 0), np.int8), "leaves nothing to choose"),
    ],
)  # fmt: skip
def test_an_unsupported_action_space_is_named_in_one_line(space, message):
    with pytest.raises(ConfigError, match=message) as error:
        space_spec(Discrete(2), space)
    assert "\n" not in str(error.value)


def test_choices_are_moved_to_the_start_of_their_space(stepped):
    envs = stepped("id=Mixed-v0", "env.num_envs=2")
    actions = environment_actions(np.array([[1, 0, 2], [0, 1, 1]]), envs.envs.spec, "clip")
    assert actions.tolist() == [[1, 5, 2], [0, 6, 1]]
    envs.step(actions)  # the environment refuses what its space does not contain


def test_clipped_actions_keep_what_is_within_bounds_and_cut_the_rest():
    space = Box(np.array([-2, 0], np.float32), np.array([1, 3], np.float32))
    got = environment_actions(np.array([[-5, 1.5], [0.5, 9]], np.float32), spec_of(space), "clip")
    assert got.tolist() == [[-2, 1.5], [0.5, 3]]


def test_squashed_actions_cover_the_bounds_by_tanh():
    space = Box(np.array([-2, 0], np.float32), np.array([1, 3], np.float32))
    got = environment_actions(np.array([[0, 0], [50, -50], [0.5, 0.5]], np.float32), spec_of(space), "tanh")
    scaled = (np.tanh(0.5) + 1) / 2
    np.testing.assert_allclose(got, [[-0.5, 1.5], [1, 0], [-2 + 3 * scaled, 3 * scaled]], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("bounds", ["clip", "tanh", "scale"])
def test_no_action_leaves_its_bounds_by_rounding(bounds):
    draw = np.random.default_rng(0)
    low = draw.normal(size=1000).astype(np.float32)
    space = Box(low, low + np.abs(draw.normal(size=1000)).astype(np.float32))
    for size in (0.1, 3, 100):
        actions = (size * draw.normal(size=(4, 1000))).astype(np.float32)
        for action in environment_actions(actions, spec_of(space), bounds):
            assert space.contains(action)


def test_an_unbounded_side_is_left_open_by_clipping():
    space = Box(np.array([0], np.float32), np.array([np.inf], np.float32))
    assert environment_actions(np.array([[-1], [1e6]], np.float32), spec_of(space), "clip").tolist() == [[0], [1e6]]


def test_actions_take_the_shape_of_their_space():
    space = Box(-1, 1, (2, 3), np.float32)
    assert environment_actions(np.zeros((4, 6), np.float32), spec_of(space), "clip").shape == (4, 2, 3)
    assert action_spec(space).shape == (2, 3)


@pytest.mark.parametrize("bounds", ["clip", "tanh"])
def test_the_environment_gets_the_action_within_bounds(stepped, bounds):
    envs = stepped("id=Reaching-v0", "env.num_envs=2", f"env.action_bounds={bounds}")
    taken = environment_actions(np.array([[9, -9], [-9, 9]], np.float32), envs.envs.spec, bounds == "tanh")
    envs.step(taken)
    np.testing.assert_allclose(envs.rows, [[1.5, -0.1], [-2, 0.7]], rtol=1e-6)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("action", ["binary", "whole", "double", "grid"])
def test_a_rollout_gives_environments_actions_of_their_space(action, vectorization):
    _, _, _, player = agent(
        "id=Silent-v0", f"+env.kwargs.action={action}", "+env.kwargs.strict=true", "env.num_envs=2",
        "algo.num_steps=20", "algo.per_rank_batch_size=40", f"env.vectorization={vectorization}",
    )  # fmt: skip
    assert player.collect().rollout.rewards.shape == (20, 2)
    player.close()


@pytest.mark.parametrize("bounds", ["clip", pytest.param("tanh", marks=pytest.mark.slow)])
def test_actions_of_parts_are_taken_and_learned(bounds, tmp_path):
    words = ("env=gym", "env.id=tests.environments:Orders-v0", f"env.action_bounds={bounds}", "eval.episodes=8")
    launched(tmp_path / "run", *words, "env.num_envs=8", "algo.log_std_init=-1", "algo.gamma=0.1", updates=60)
    assert summary(tmp_path / "run")["eval"]["mean_return"] > 10  # of 16; below 3 by chance


def test_a_policy_returns_actions_of_parts_as_the_environment_takes_them(tmp_path):
    launched(tmp_path / "run", "env=gym", "env.id=tests.environments:Orders-v0", updates=2)
    policy = rlexp.load(tmp_path / "run", env_id="tests.environments:Orders-v0")
    observation = np.zeros(5, np.float32)
    assert policy.action_space.contains(policy.act(observation)[0])
    many, _ = policy.act(np.zeros((3, 5), np.float32), deterministic=False)
    assert many["speed"].shape == (3, 1, 2) and many["flags"][0].shape == (3, 1) and many["kind"].min() >= 1


def test_a_distribution_of_choices_and_real_numbers_is_the_product_of_both():
    torch.manual_seed(0)
    spec = action_spec(Dict({"a": Discrete(3), "b": Box(-1, 1, (2,)), "c": MultiDiscrete([2, 4])}))
    assert (spec.kind, spec.sizes, spec.width) == ("mixed", (3, 2, 4), 5)
    made, choices, real = build_distribution(spec, False), MultiCategorical((3, 2, 4)), Gaussian(2)
    params = torch.randn(7, made.num_params)
    actions = made.sample(params, made.noise((7,), torch.Generator().manual_seed(1)))
    logits, rest = params[:, :9], params[:, 9:]
    expected = choices.log_prob(logits, actions[:, :3].long()) + real.log_prob(rest, actions[:, 3:])
    assert torch.equal(made.log_prob(params, actions), expected)
    assert torch.equal(made.entropy(params), choices.entropy(logits) + real.entropy(rest))
    assert torch.equal(made.mode(params)[:, 3:], rest[:, :2])
