import itertools
import math
from dataclasses import fields

import pytest
import torch

from rlexp.algos import PPO
from rlexp.algos.base import Inputs
from rlexp.data.spaces import ActionSpec, ImageSpec, ObservationSpec, SpaceSpec
from rlexp.models.acting import FastActor, fast_forward
from rlexp.models.encoders import Symbols
from rlexp.models.normalizer import moments_of
from rlexp.models.preprocessor import ACTIVATIONS, Preprocessor
from tests.helpers import build_policy, composed, generator

ACTIONS = {
    "discrete": ActionSpec("discrete", (4,), (), (0,), (), ()),
    "multidiscrete": ActionSpec("multidiscrete", (2, 3), (2,), (0, 0), (), ()),
    "box": ActionSpec("box", (), (2,), (), (-1.0, -1.0), (1.0, 1.0)),
}
VECTOR = ObservationSpec(5, (), ())
VECTOR_AND_CHOICES = ObservationSpec(2, (3, 2), ())
MIXED = ObservationSpec(2, (3,), (ImageSpec("a", 3, 8, 8), ImageSpec("b", 1, 5, 5)))
IMAGE = ObservationSpec(0, (), (ImageSpec("obs", 3, 40, 36),))
GRID = ObservationSpec(0, (4,), (ImageSpec("obs", 3, 7, 6, 11, True),))
BINARY = ObservationSpec(0, (), (ImageSpec("obs", 4, 10, 10, 2, True),))
EVERYTHING = ObservationSpec(
    2, (3, 4), (ImageSpec("r", 2, 5, 4, 0), ImageSpec("g", 2, 3, 5, 9, True), ImageSpec("b", 1, 4, 4, 2, True))
)


def build(observation=VECTOR, action="discrete", seed=0, **changes):
    settings = {
        "hidden_sizes": [16, 8], "activation_function": "tanh", "ortho_init": True, "shared_torso": False,
        "log_std_init": 0.0,
    } | {name: value for name, value in changes.items() if name in {item.name for item in fields(PPO)}}  # fmt: skip
    given = {"normalize": False, "clip": None, "bounds": "clip"} | {
        name: value for name, value in changes.items() if name not in settings
    }
    torch.manual_seed(seed)
    return PPO(**settings).build(SpaceSpec(observation, ACTIONS[action]), Inputs(**given))


def rows_of(spec, count=6, seed=0):
    """Return random rows as a packer would write them."""
    draw = generator(seed)
    vector = torch.randn(count, spec.vector_size, generator=draw)
    choices = [torch.randint(n, (count, 1), generator=draw).float() for n in spec.discrete]
    real = [torch.rand(count, image.size, generator=draw) for image in spec.images if image.levels == 0]
    floats = torch.cat([vector, *choices, *real], 1)
    if not spec.images:
        return floats
    row = torch.zeros(count, spec.row_size, dtype=torch.uint8)
    if spec.floats:
        row[:, : 4 * spec.floats] = floats.view(torch.uint8)
    start = 4 * spec.floats
    for image in (image for image in spec.images if image.levels):
        drawn = torch.randint(image.levels, (count, image.size), generator=draw, dtype=torch.uint8)
        row[:, start : start + image.size] = drawn
        start += image.size
    return row


def perturb(policy, seed=1):
    """Move the weights away from their initial values, so that heads matter."""
    draw = generator(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=draw)
    return policy


@pytest.mark.parametrize(
    ("action", "bounds"), [("discrete", "clip"), ("multidiscrete", "clip"), ("box", "clip"), ("box", "tanh")]
)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("normalize", [False, True])
def test_the_fast_actor_equals_act(action, bounds, activation, normalize):
    clip = 1.0 if normalize else None
    policy = perturb(
        build(action=action, bounds=bounds, activation_function=activation, normalize=normalize, clip=clip)
    )
    rows = rows_of(VECTOR)
    if normalize:
        policy.actor.preprocessor.normalizer.merge(moments_of(3 * rows + 1).unsqueeze(0))
    with torch.no_grad():
        torch.testing.assert_close(fast_forward(policy.actor)(rows), policy.actor(rows), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("action", "bounds"), [("discrete", "clip"), ("multidiscrete", "clip"), ("box", "clip"), ("box", "tanh")]
)
@pytest.mark.parametrize("activation", ["tanh", "relu", "elu"])
@pytest.mark.parametrize(
    "observation", [VECTOR, VECTOR_AND_CHOICES, IMAGE, GRID], ids=["vector", "choices", "image", "grid"]
)
def test_the_sampler_samples_what_the_distribution_does(action, bounds, activation, observation):
    """By numpy for small networks of tanh or relu, in torch for others: 4 rows are few, 40,000 are many."""
    policy = perturb(build(observation, action=action, bounds=bounds, activation_function=activation, normalize=True))
    few = rows_of(observation)
    for rows in (few, few.repeat(10_000, 1)) if observation is VECTOR else (few,):
        noise = policy.actor.distribution.noise((2, rows.shape[0]), torch.Generator().manual_seed(3))
        with torch.no_grad():
            sample = FastActor(policy.actor, rows.shape[0]).sampler(noise)
            for step in range(2):
                expected = policy.actor.distribution.sample(policy.actor(rows), noise[step])
                torch.testing.assert_close(torch.from_numpy(sample(step, rows.numpy())), expected)


@pytest.mark.parametrize(
    "observation", [VECTOR_AND_CHOICES, MIXED, IMAGE, EVERYTHING], ids=["choices", "mixed", "image", "everything"]
)
@pytest.mark.parametrize("shared", [False, True])
def test_the_fast_actor_equals_act_for_other_observations(observation, shared):
    policy = perturb(build(observation, shared_torso=shared))
    with torch.no_grad():
        rows = rows_of(observation)
        torch.testing.assert_close(fast_forward(policy.actor)(rows), policy.actor(rows), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "observation",
    [VECTOR, VECTOR_AND_CHOICES, MIXED, IMAGE, EVERYTHING],
    ids=["vector", "choices", "mixed", "image", "everything"],
)
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("shared", [False, True])
def test_forward_equals_log_prob_entropy_and_values_separately(observation, action, shared):
    policy = perturb(build(observation, action, shared_torso=shared))
    rows = rows_of(observation)
    with torch.no_grad():
        params = policy.actor(rows)
        actions = policy.actor.distribution.sample(params, policy.actor.distribution.noise((6,), generator()))
        got = policy(rows, actions)
        torch.testing.assert_close(got.log_prob, policy.actor.log_prob(rows, actions))
        torch.testing.assert_close(got.entropy, policy.actor.distribution.entropy(params))
        torch.testing.assert_close(got.values, policy.values(rows))
    assert got.log_prob.shape == got.entropy.shape == got.values.shape == (6,)


def test_a_shared_torso_is_one_set_of_parameters():
    def count(policy):
        return sum(parameter.numel() for parameter in policy.parameters())

    shared, separate = build(shared_torso=True), build()
    torso = sum(parameter.numel() for parameter in separate.actor.torso.parameters())
    assert count(separate) - count(shared) == torso
    assert shared.critic.torso is shared.actor.torso


@pytest.mark.parametrize("shared", [False, True])
def test_the_value_trains_the_torso_of_the_actor_only_where_it_is_shared(shared):
    policy = perturb(build(shared_torso=shared))
    policy(rows_of(VECTOR), torch.zeros(6, dtype=torch.int64)).values.sum().backward()
    assert (policy.actor.torso.layers[0].weight.grad is not None) == shared


def test_orthogonal_initialisation_has_the_gains_of_the_example():
    policy = build(MIXED, hidden_sizes=[64, 64])
    layers = [(layer, math.sqrt(2)) for layer in (*policy.actor.torso.layers, *policy.critic.torso.layers)]
    layers += [(layer, math.sqrt(2)) for layer in policy.modules() if isinstance(layer, torch.nn.Conv2d)]
    for layer, gain in [*layers, (policy.actor.head, 0.01), (policy.critic.head, 1.0)]:
        singular = torch.linalg.svdvals(layer.weight.detach().flatten(1))
        torch.testing.assert_close(singular, torch.full_like(singular, gain), atol=1e-4, rtol=1e-4)
        assert not layer.bias.any()


def test_without_orthogonal_initialisation_torchs_own_is_kept():
    singular = torch.linalg.svdvals(build(ortho_init=False).actor.torso.layers[0].weight.detach())
    assert float(singular.max() - singular.min()) > 0.05


def test_a_gaussian_begins_with_the_deviation_of_the_settings():
    policy = build(action="box", log_std_init=-1.5)
    assert policy.actor(rows_of(VECTOR))[:, 2:].unique().tolist() == [-1.5]
    assert build(action="discrete").actor.log_std is None


def test_images_stay_bytes_until_the_network_and_come_out_in_0_to_1():
    rows = rows_of(MIXED)
    assert rows.dtype == torch.uint8
    vector, images = Preprocessor(MIXED, False, None)(rows)
    assert [tuple(image.shape) for image in images] == [(6, 3, 8, 8), (6, 1, 5, 5)]
    assert all(image.dtype == torch.float32 and image.min() >= 0 and image.max() <= 1 for image in images)
    first = rows[:, 12 : 12 + 192].view(6, 3, 8, 8).float() / 255
    assert torch.equal(images[0], first)
    assert vector.shape == (6, 5)


def test_every_part_of_a_row_comes_out_where_it_went_in():
    rows = rows_of(EVERYTHING)
    vector, (real, grid, binary) = Preprocessor(EVERYTHING, False, None)(rows)
    floats = rows[:, : 4 * EVERYTHING.floats].contiguous().view(torch.float32)
    assert torch.equal(vector[:, :2], floats[:, :2])
    assert torch.equal(vector[:, 2:5].argmax(1), floats[:, 2].long())
    assert torch.equal(vector[:, 5:].argmax(1), floats[:, 3].long())
    assert vector[:, 2:].sum(1).tolist() == [2] * 6
    assert torch.equal(real, floats[:, 4:].view(6, 2, 5, 4))
    start = 4 * EVERYTHING.floats
    assert torch.equal(grid, rows[:, start : start + 30].view(6, 2, 3, 5).int())
    assert torch.equal(binary, rows[:, start + 30 : start + 46].view(6, 1, 4, 4).float())


@pytest.mark.parametrize(("levels", "pixels"), [(256, [0, 1]), (101, [0, 2.55]), (2, [0, 255]), (1, [0, 255])])
def test_pixels_are_divided_by_the_largest_that_their_space_has(levels, pixels):
    spec = ObservationSpec(0, (), (ImageSpec("obs", 1, 1, 4, levels),))
    _, (image,) = Preprocessor(spec, False, None)(torch.tensor([[0, 255, 0, 255]], dtype=torch.uint8))
    assert image.flatten().unique().tolist() == pytest.approx(pixels)


def test_a_symbol_is_looked_up_in_the_table_of_its_channel_and_channels_are_added():
    lookup = Symbols(channels=2, symbols=5, features=3)
    grid = torch.randint(5, (4, 2, 6, 7), generator=generator(), dtype=torch.int32)
    one_hot = [torch.nn.functional.one_hot(grid[:, c].long(), 5).float() for c in range(2)]
    expected = one_hot[0] @ lookup.table[:5] + one_hot[1] @ lookup.table[5:]  # [B, H, W, F]
    got = lookup(grid)
    torch.testing.assert_close(got[:, :3], expected.permute(0, 3, 1, 2))
    torch.testing.assert_close(got[:, 3:], grid.float() / 4)


def test_a_grid_of_two_symbols_needs_no_table():
    assert not any(isinstance(module, Symbols) for module in build(BINARY).modules())
    assert sum(isinstance(module, Symbols) for module in build(GRID).modules()) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_grids_are_read_in_every_precision(dtype, autocast):
    policy = build(EVERYTHING, bfloat16=dtype == torch.bfloat16)
    rows = rows_of(EVERYTHING)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got = policy(rows, torch.zeros(6, dtype=torch.int64))
    (got.log_prob.sum() + got.values.sum()).backward()
    assert all(parameter.grad.isfinite().all() and parameter.grad.any() for parameter in policy.parameters())
    torch.testing.assert_close(got.values, build(EVERYTHING).values(rows), atol=0.1, rtol=0.1)


def test_choices_become_one_hot_after_the_numbers():
    rows = torch.tensor([[0.5, -0.5, 2.0, 0.0], [1.5, 2.5, 0.0, 1.0]])
    vector, _ = Preprocessor(VECTOR_AND_CHOICES, False, None)(rows)
    assert vector.tolist() == [[0.5, -0.5, 0, 0, 1, 1, 0], [1.5, 2.5, 1, 0, 0, 0, 1]]


def test_numbers_are_clipped_after_normalising_and_choices_are_not():
    preprocessor = Preprocessor(VECTOR_AND_CHOICES, True, 0.5)
    preprocessor.normalizer.merge(moments_of(torch.tensor([[0.0, 0.0], [2.0, 200.0]])).unsqueeze(0))
    vector, _ = preprocessor(torch.tensor([[1.2, 50.0, 2.0, 0.0]]))
    assert vector[0].tolist() == pytest.approx([0.2, -0.5, 0, 0, 1, 1, 0], abs=1e-6)


def test_raw_numbers_of_a_row_of_bytes_are_not_normalised():
    preprocessor = Preprocessor(MIXED, True, None)
    preprocessor.normalizer.merge(moments_of(torch.tensor([[5.0, 5.0], [9.0, 7.0]])).unsqueeze(0))
    rows = rows_of(MIXED)
    assert torch.equal(preprocessor.raw_vector(rows), rows[:, :8].contiguous().view(torch.float32))
    assert torch.equal(preprocessor.raw_vector(rows.view(2, 3, -1))[1, 2], preprocessor.raw_vector(rows)[5])


def test_images_alone_need_no_normaliser():
    assert build(IMAGE, normalize=True).actor.preprocessor.normalizer is None


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (7, 7), (35, 35), (36, 36), (84, 84), (100, 36)])
def test_an_image_of_any_size_gets_a_network(height, width):
    observation = ObservationSpec(0, (), (ImageSpec("obs", 1, height, width),))
    assert build(observation).values(rows_of(observation)).shape == (6,)


@pytest.mark.parametrize("observation", [VECTOR, MIXED], ids=["vector", "mixed"])
def test_the_state_of_one_policy_makes_another_act_the_same(observation):
    first, second = perturb(build(observation, "box", normalize=True)), build(observation, "box", 9, normalize=True)
    first.actor.preprocessor.normalizer.merge(moments_of(torch.randn(9, observation.vector_size) * 3).unsqueeze(0))
    second.load_state_dict(first.state_dict())
    rows = rows_of(observation)
    assert torch.equal(first.actor(rows), second.actor(rows))
    assert torch.equal(first.values(rows), second.values(rows))


def test_the_same_seed_gives_the_same_weights():
    pairs = list(itertools.zip_longest(build(seed=3).parameters(), build(seed=3).parameters()))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(build(seed=4).actor.torso.layers[0].weight, build(seed=3).actor.torso.layers[0].weight)


def test_a_policy_follows_its_config():
    config = composed(
        "env=pendulum", "env.action_bounds=tanh", "algo.hidden_sizes=[7,5]", "algo.activation_function=relu",
        "algo.shared_torso=true", "algo.log_std_init=-1", "env.normalize_observations=true", "env.clip_observations=4",
    )  # fmt: skip
    policy = build_policy(config, SpaceSpec(VECTOR, ACTIONS["box"]))
    assert [layer.out_features for layer in policy.actor.torso.layers] == [7, 5]
    assert policy.shared_torso
    assert policy.actor.log_std.tolist() == [-1, -1]
    assert type(policy.actor.distribution).__name__ == "TanhGaussian"
    assert policy.actor.preprocessor.normalizer is not None
    assert policy.actor.preprocessor.clip == 4
    assert policy.actor.torso.activation is torch.relu
