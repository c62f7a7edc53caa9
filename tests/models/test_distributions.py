import math

import pytest
import torch
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from rlexp.data.spaces import ActionSpec
from rlexp.models.distributions import Categorical, Gaussian, MultiCategorical, TanhGaussian
from rlexp.models.mixed import build_distribution
from tests.helpers import generator

FAMILIES = [Categorical(4), MultiCategorical((2, 3, 4)), Gaussian(3), TanhGaussian(3)]


def name(family):
    return type(family).__name__


def params_of(family, rows=50, scale=1.0, seed=0):
    return scale * torch.randn(rows, family.num_params, generator=generator(seed))


def draw(family, params, seed=1):
    return family.sample(params, family.noise(params.shape[:1], generator(seed)))


def test_categorical_equals_torchs():
    family = Categorical(4)
    params = params_of(family, scale=3)
    other, actions = TorchCategorical(logits=params), draw(family, params)
    torch.testing.assert_close(family.log_prob(params, actions), other.log_prob(actions))
    torch.testing.assert_close(family.entropy(params), other.entropy())


def test_several_choices_equal_torchs_one_by_one():
    family = MultiCategorical((2, 3, 4))
    params = params_of(family, scale=3)
    others = [TorchCategorical(logits=part) for part in (params[:, :2], params[:, 2:5], params[:, 5:])]
    actions = draw(family, params)
    want = sum(other.log_prob(actions[:, i]) for i, other in enumerate(others))
    torch.testing.assert_close(family.log_prob(params, actions), want)
    torch.testing.assert_close(family.entropy(params), sum(other.entropy() for other in others))


def test_gaussian_equals_torchs():
    family = Gaussian(3)
    params = params_of(family)
    other = Independent(Normal(params[:, :3], params[:, 3:].exp()), 1)
    actions = draw(family, params)
    torch.testing.assert_close(family.log_prob(params, actions), other.log_prob(actions), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(family.entropy(params), other.entropy())


def test_tanh_gaussian_equals_torchs_transformed_distribution():
    family = TanhGaussian(3)
    params = params_of(family, scale=0.5).double()
    other = Independent(
        TransformedDistribution(Normal(params[:, :3], params[:, 3:].exp()), [TanhTransform(cache_size=1)]), 1
    )
    actions = draw(family, params)
    torch.testing.assert_close(family.log_prob(params, actions), other.log_prob(actions.tanh()), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("mean", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("log_std", [-3.0, -1.0, 0.0])
def test_entropy_of_the_tanh_gaussian_equals_monte_carlo(mean, log_std):
    family = TanhGaussian(1)
    params = torch.tensor([[mean, log_std]], dtype=torch.float64)
    noise = torch.randn(200_000, 1, dtype=torch.float64, generator=generator())
    samples = mean + math.exp(log_std) * torch.cat([noise, -noise])
    sampled = -family.log_prob(params, samples).mean()
    assert float(family.entropy(params)) == pytest.approx(float(sampled), abs=0.01)


def numeric_entropy(mean: float, log_std: float) -> float:
    """Return the entropy by the trapezoidal rule over u = mean + std * z, on a grid that is finer around u = 0."""
    std = math.exp(log_std)
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    around = torch.linspace((-mean - 30) / std, (-mean + 30) / std, 200_001, dtype=torch.float64)
    z = torch.cat([z, around[around.abs() < 12]]).sort().values
    slope = -2 * ((mean + std * z).abs() + torch.log1p(torch.exp(-2 * (mean + std * z).abs())) - math.log(2))
    expected = torch.trapezoid(slope * torch.exp(-z * z / 2), z) / math.sqrt(2 * math.pi)
    return log_std + 0.5 * math.log(2 * math.pi * math.e) + float(expected)


@pytest.mark.parametrize("log_std", [-20.0, -5.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 8.0])
def test_entropy_of_the_tanh_gaussian_equals_a_numeric_integral(log_std):
    means = [0.0, 0.3, -2.0, 5.0, -30.0, 1000.0]
    params = torch.tensor([[mean, log_std] for mean in means], dtype=torch.float64)
    want = torch.tensor([numeric_entropy(mean, log_std) for mean in means], dtype=torch.float64)
    torch.testing.assert_close(TanhGaussian(1).entropy(params), want, atol=1e-6, rtol=2e-9)
    torch.testing.assert_close(TanhGaussian(1).entropy(params.float()).double(), want, atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.5), (0.7, -1.0), (-3.0, 1.0), (2.0, 2.0), (40.0, 2.0)])
def test_gradients_of_that_entropy_equal_differences_of_the_integral(mean, log_std):
    params = torch.tensor([[mean, log_std]], dtype=torch.float64, requires_grad=True)
    TanhGaussian(1).entropy(params).sum().backward()
    step = 1e-4
    by_mean = numeric_entropy(mean + step, log_std) - numeric_entropy(mean - step, log_std)
    by_std = numeric_entropy(mean, log_std + step) - numeric_entropy(mean, log_std - step)
    assert params.grad[0].tolist() == pytest.approx([by_mean / (2 * step), by_std / (2 * step)], abs=1e-5)


def integral(function, low, high, points=400_001):
    u = torch.linspace(low, high, points, dtype=torch.float64)
    return float(torch.trapezoid(function(u), u))


def test_density_of_the_tanh_gaussian_integrates_to_one():
    family, params = TanhGaussian(1), torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    # over u with a = tanh(u): density(a) da = density(a) (1 - a^2) du
    total = integral(lambda u: family.log_prob(params, u.unsqueeze(1)).exp() * (1 - u.tanh() ** 2), -8, 8)
    assert total == pytest.approx(1, abs=1e-6)


def test_categorical_sampling_frequencies_follow_softmax():
    family, rows = Categorical(4), 100_000
    params = torch.tensor([0.0, 1.0, -2.0, 0.5]).expand(rows, 4)
    counts = torch.bincount(draw(family, params), minlength=4).double()
    expected = rows * torch.softmax(params[0].double(), 0)
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 16.27  # 99.9% of chi-square with 3 degrees of freedom


def test_choices_are_sampled_independently():
    family, rows = MultiCategorical((2, 3)), 100_000
    params = torch.tensor([0.3, -0.3, 1.0, 0.0, -1.0]).expand(rows, 5)
    actions = draw(family, params)
    counts = torch.bincount(actions[:, 0] * 3 + actions[:, 1], minlength=6).double()
    first, second = torch.softmax(params[0, :2].double(), 0), torch.softmax(params[0, 2:].double(), 0)
    expected = rows * (first[:, None] * second[None]).flatten()
    assert float(((counts - expected) ** 2 / expected).sum()) < 20.52  # 99.9% with 5 degrees of freedom


def test_gaussian_samples_have_the_mean_and_deviation_of_the_parameters():
    family = Gaussian(2)
    samples = draw(family, torch.tensor([1.0, -2.0, math.log(0.5), math.log(3)]).expand(100_000, 4))
    assert samples.mean(0).tolist() == pytest.approx([1, -2], abs=0.04)
    assert samples.std(0).tolist() == pytest.approx([0.5, 3], rel=0.01)


@pytest.mark.parametrize("family", FAMILIES, ids=name)
def test_samples_have_the_declared_shape_and_type(family):
    actions = draw(family, params_of(family, rows=7))
    assert actions.shape == (7, *family.action_shape)
    assert actions.dtype == family.action_dtype
    assert family.mode(params_of(family, rows=7)).shape == actions.shape


@pytest.mark.parametrize("family", FAMILIES, ids=name)
def test_noise_of_a_whole_rollout_serves_step_by_step(family):
    noise = family.noise((5, 7), generator())
    assert noise.shape == (5, 7, family.num_outputs)
    assert not torch.equal(noise[0], noise[1])
    assert torch.equal(noise, family.noise((5, 7), generator()))
    assert family.sample(params_of(family, rows=7), noise[0]).shape == (7, *family.action_shape)


@pytest.mark.parametrize("family", FAMILIES, ids=name)
def test_both_at_once_equal_the_two_separately(family):
    params = params_of(family)
    actions = draw(family, params)
    log_prob, entropy = family.log_prob_and_entropy(params, actions)
    torch.testing.assert_close(log_prob, family.log_prob(params, actions))
    torch.testing.assert_close(entropy, family.entropy(params))
    assert log_prob.shape == entropy.shape == (50,)


@pytest.mark.parametrize("family", FAMILIES, ids=name)
def test_without_noise_to_speak_of_the_sample_is_the_mode(family):
    params = params_of(family, scale=2)
    assert torch.equal(family.sample(params, torch.zeros(50, family.num_outputs)), family.mode(params))


@pytest.mark.parametrize("family", FAMILIES, ids=name)
def test_no_action_is_more_probable_than_the_mode_before_squashing(family):
    params = params_of(family)
    density = Gaussian(3) if isinstance(family, TanhGaussian) else family
    best = density.log_prob(params, family.mode(params))
    assert all(bool((density.log_prob(params, draw(family, params, seed)) <= best).all()) for seed in range(20))


@pytest.mark.parametrize("family", FAMILIES[:2], ids=name)
@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_gradients_of_extreme_logits_are_finite(family, scale):
    params = params_of(family, scale=scale).requires_grad_()
    log_prob, entropy = family.log_prob_and_entropy(params, draw(family, params.detach() * 0))
    (log_prob + entropy).sum().backward()
    assert bool(params.grad.isfinite().all())


@pytest.mark.parametrize("family", FAMILIES[2:], ids=name)
@pytest.mark.parametrize("mean", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("log_std", [-10.0, 2.0])
def test_gradients_of_extreme_gaussians_are_finite(family, mean, log_std):
    params = torch.tensor([[mean] * 3 + [log_std] * 3]).requires_grad_()
    log_prob, entropy = family.log_prob_and_entropy(params, draw(family, params.detach()))
    (log_prob + entropy).sum().backward()
    assert bool(log_prob.isfinite().all())
    assert bool(entropy.isfinite().all())
    assert bool(params.grad.isfinite().all())


@pytest.mark.parametrize(
    ("action", "squash", "kind"),
    [
        (ActionSpec("discrete", (4,), (), (0,), (), ()), True, Categorical),
        (ActionSpec("multidiscrete", (2, 3), (2,), (0, 0), (), ()), False, MultiCategorical),
        (ActionSpec("box", (), (2,), (), (-1.0, -1.0), (1.0, 1.0)), False, Gaussian),
        (ActionSpec("box", (), (2,), (), (-1.0, -1.0), (1.0, 1.0)), True, TanhGaussian),
    ],
)
def test_the_action_space_decides_the_family(action, squash, kind):
    assert type(build_distribution(action, squash)) is kind


def test_a_box_of_any_shape_has_one_number_each_element():
    family = build_distribution(ActionSpec("box", (), (2, 3), (), (-1.0,) * 6, (1.0,) * 6), False)
    assert family.action_shape == (6,)
    assert family.num_params == 12
