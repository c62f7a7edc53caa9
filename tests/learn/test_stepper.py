import pytest
import torch

from rlexp.files.checkpoint import load
from rlexp.learn.compiler import compiler_found
from rlexp.models.flat import FlatPart
from tests.commands import command
from tests.helpers import agent, build_policy, composed, learner, state_of

# One vector of parameters


def flat_of(policy):
    return FlatPart(policy.parts()["policy"], policy).weights


def test_flat_parameters_keep_their_values():
    policy = build_policy(composed("env=cartpole"), agent("env=cartpole").envs.spec)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    flat_of(policy)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())


@pytest.mark.parametrize("overrides", [(), ("algo.shared_torso=true",), ("algo.hidden_sizes=[7,3]",)])
def test_parameters_and_gradients_are_views_aligned_to_64_bytes(overrides):
    policy = agent("env=pendulum", *overrides).policy
    flat = flat_of(policy)
    count = 0
    for parameter in policy.parameters():
        for part, whole in ((parameter, flat), (parameter.grad, flat.grad)):
            offset = part.data_ptr() - whole.data_ptr()
            assert 0 <= offset < whole.numel() * 4
            assert offset % 64 == 0
            assert part.data_ptr() % 64 == 0
            assert part.is_contiguous()
        count += parameter.numel()
    with torch.no_grad():
        flat.fill_(3)
        flat.grad.fill_(2)
    assert all(bool((parameter == 3).all()) and bool((parameter.grad == 2).all()) for parameter in policy.parameters())
    assert count <= flat.numel() < count + 16 * len(list(policy.parameters()))


def test_backward_writes_into_the_flat_gradient_and_leaves_the_gaps_at_zero():
    made = agent("env=cartpole", "algo.hidden_sizes=[7,3]")
    flat = flat_of(made.policy)
    made.policy(torch.randn(5, 4), torch.zeros(5, dtype=torch.int64)).log_prob.sum().backward()
    inside = torch.cat([parameter.grad.flatten() for parameter in made.policy.parameters()])
    assert float(inside.abs().sum()) > 0
    assert float(flat.grad.abs().sum()) == pytest.approx(float(inside.abs().sum()), rel=1e-6)


def test_a_state_loads_into_flat_parameters():
    one, other = agent("env=cartpole"), agent("env=cartpole", seed=5)
    flat = flat_of(one.policy)
    one.policy.load_state_dict(other.policy.state_dict())
    first = next(other.policy.parameters()).flatten()
    assert torch.equal(flat[: first.numel()], first)


# Compiled steps


@pytest.mark.slow
@pytest.mark.skipif(not compiler_found(torch.device("cpu")), reason="no C++ compiler")
@pytest.mark.parametrize(
    "overrides",
    [
        ("env=cartpole", "algo.shared_torso=true"),
        ("env=pendulum", "env.action_bounds=tanh"),
        ("id=Mixed-v0", "algo.anneal_clip_coef=true"),
        ("env=cartpole", "algo.optimizer=adamw", "algo.weight_decay=0.1", "algo.learning_rate=1e-2"),
        ("env=cartpole", "algo.weight_decay=0.1", "algo.max_grad_norm=0"),
        ("env=cartpole", "algo.optimizer=sgd", "algo.learning_rate=1e-1"),
        ("env=cartpole", "algo.optimizer=rmsprop"),
    ],
)
def test_compiled_steps_equal_eager_ones(fabric, overrides):
    """In three updates statistics, learning rate, clip range and the size of minibatches change."""
    results = []
    for compiled in (False, True):
        made = agent(
            *overrides, "env.num_envs=3", "algo.num_steps=35", "algo.per_rank_batch_size=32",
            "env.normalize_observations=true", "env.normalize_rewards=true", f"compile={compiled}",
        )  # fmt: skip
        teacher = learner(made.config, made.policy, fabric)
        metrics = [teacher.update(made.player.collect().rollout, 1 - update / 3) for update in range(3)]
        made.player.close()
        results.append((state_of(made.policy), metrics[0]))
    (eager, first), (other, second) = results
    torch.testing.assert_close(other, eager, atol=1e-4, rtol=1e-4)
    assert second.policy_loss == pytest.approx(first.policy_loss, abs=1e-5)
    assert second.grad_norm == pytest.approx(first.grad_norm, rel=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not compiler_found(torch.device("cpu")), reason="no C++ compiler")
def test_a_compiled_adam_counts_beyond_what_half_precision_can(tmp_path):
    shape = ("env.num_envs=4", "algo.num_steps=32", "algo.per_rank_batch_size=32", "total_timesteps=2560")
    done = command("compile=true", "fabric.precision=bf16-true", *shape, "hydra.run.dir=RUN", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    saved = load(tmp_path / "RUN" / "checkpoints" / "last.safetensors")
    state = saved.learner.optimizers["policy"]["state"][0]
    assert state["step"].dtype == torch.float32
    assert int(state["step"]) == 20 * 4 * 4  # updates, epochs, minibatches
