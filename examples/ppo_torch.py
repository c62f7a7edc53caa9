"""Proximal Policy Optimization in one file of plain PyTorch, on one process or many.

    python examples/ppo_torch.py
    torchrun --nproc_per_node=2 --standalone examples/ppo_torch.py

This is what rlexp does with its defaults, without rlexp: no Hydra, no Fabric, nothing to look up in another file. It is
meant to be read from top to bottom. It is also an independent check of the framework: from the same seed the losses of
both are equal (tests/test_example.py).

PPO is arXiv:1707.06347, GAE is arXiv:1506.02438; "detail n" is a core one of The 37 Implementation Details of PPO
(https://iclr-blog-track.github.io/2022/03/25/ppo-implementation-details/). Shapes: T steps of N environments, B rows of
them, D numbers in an observation, K actions.
"""

import argparse
import math
import os
import time
from argparse import BooleanOptionalAction as OnOff
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import gymnasium
import numpy as np
import torch
import torch.distributed as dist
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation, RecordVideo
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.utils.tensorboard import SummaryWriter

# torchrun starts the same program once per rank and tells each who it is. Every rank owns environments and a copy of
# the weights; ranks exchange nothing but gradients (and the numbers that are logged).
RANK, WORLD_SIZE = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--env-id", default="CartPole-v1", help="a gymnasium id with Box observations and Discrete actions")
    add("--seed", type=int, default=42)
    add("--total-timesteps", type=int, default=100_000, help="environment steps over all ranks")
    add("--num-envs", type=int, default=4, help="N, environments of each rank")
    add("--num-steps", type=int, default=128, help="T, steps of each environment between two updates")
    add("--per-rank-batch-size", type=int, default=128, help="transitions in a minibatch, at most")
    add("--update-epochs", type=int, default=4, help="K, passes over each rollout")
    add("--learning-rate", type=float, default=2.5e-4)
    add("--anneal-lr", action=OnOff, default=True, help="anneal the learning rate linearly to 0")
    add("--gamma", type=float, default=0.99, help="discount factor")
    add("--gae-lambda", type=float, default=0.95, help="lambda of GAE")
    add("--normalize-advantages", action=OnOff, default=True)
    add("--clip-coef", type=float, default=0.2, help="epsilon, clip range of the probability ratio")
    add("--clip-vloss", action=OnOff, default=True, help="clip the value loss too")
    add("--ent-coef", type=float, default=0.01, help="weight of the entropy bonus")
    add("--vf-coef", type=float, default=0.5, help="weight of the value loss")
    add("--max-grad-norm", type=float, default=0.5, help="gradients with a larger norm are scaled down to it; 0: off")
    add("--hidden-sizes", type=int, nargs="+", default=[64, 64], help="widths of the hidden layers")
    add("--run-dir", type=Path, default=None, help="where TensorBoard files and the video go")
    add("--video", action=OnOff, default=True, help="record a video of a test episode after training")
    args = parser.parse_args()
    args.run_dir = args.run_dir or Path("outputs/ppo_torch") / f"{args.env_id}-seed{args.seed}-{int(time.time())}"
    if args.total_timesteps < args.num_steps * args.num_envs * WORLD_SIZE:
        parser.error(f"--total-timesteps={args.total_timesteps} is less than one rollout of all ranks")
    return args


# Randomness. Four things are random, and each has a source of its own, so that none disturbs another: initial weights
# (torch's global generator, equal on all ranks), environments, sampled actions and the order of minibatches (each
# different on every rank: ranks that collected the same data would learn nothing from each other).


def make_generator(seed: int, purpose: str) -> torch.Generator:
    """Return a generator for one purpose on this rank. SeedSequence mixes the key, so near seeds are not alike."""
    state = np.random.SeedSequence([seed, RANK, *purpose.encode()]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))  # 63 bits: torch's seeds are signed


# Networks. Actor and critic share nothing (detail 13): each is a small tanh network.


def initialize(layer: nn.Linear, gain: float) -> nn.Linear:
    """Make a layer's weights orthogonal (arXiv:1312.6120, detail 2) and its biases 0."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Agent(nn.Module):
    def __init__(self, observation_size: int, actions: int, hidden_sizes: list[int]) -> None:
        super().__init__()
        widths = [observation_size, *hidden_sizes]

        def torso() -> list[nn.Module]:
            layers = [initialize(nn.Linear(*pair), math.sqrt(2)) for pair in pairwise(widths)]
            return [module for layer in layers for module in (layer, nn.Tanh())]

        # The order in which layers draw from the generator decides which weights a seed gives.
        actor_torso, critic_torso = torso(), torso()
        actor_head, critic_head = nn.Linear(widths[-1], actions), nn.Linear(widths[-1], 1)
        initialize(actor_head, 0.01)  # almost 0, so that the first policy is almost uniform
        initialize(critic_head, 1.0)
        self.actor = nn.Sequential(*actor_torso, actor_head)  # [*, D] -> logits [*, K]
        self.critic = nn.Sequential(*critic_torso, critic_head, nn.Flatten(-2))  # [*, D] -> values [*]


# Collecting


def make_env(env_id: str, **kwargs: str) -> gymnasium.Env:
    return FlattenObservation(gymnasium.make(env_id, **kwargs))


def make_envs(args: argparse.Namespace) -> RecordEpisodeStatistics:
    """Return N environments. SAME_STEP: one whose episode ends is reset in that step, so every row is a transition."""
    envs = SyncVectorEnv([lambda: make_env(args.env_id)] * args.num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    spaces = envs.single_observation_space, envs.single_action_space
    if not isinstance(spaces[0], gymnasium.spaces.Box) or not isinstance(spaces[1], gymnasium.spaces.Discrete):
        raise SystemExit(f"--env-id={args.env_id}: Box observations and Discrete actions are needed, not {spaces}")
    return RecordEpisodeStatistics(envs, buffer_length=args.num_envs * args.num_steps)


class Rollout(NamedTuple):
    obs: Tensor  # [T, N, D], what the agent saw
    next_obs: Tensor  # [T, N, D], what the action led to, even where the episode ended with it
    actions: Tensor  # [T, N]
    rewards: Tensor  # [T, N]
    terminated: Tensor  # [T, N] bool, the task itself ended: nothing follows
    done: Tensor  # [T, N] bool, terminated or truncated: the episode was ended, perhaps only by a time limit


@torch.no_grad()
def collect(
    envs: RecordEpisodeStatistics, obs: np.ndarray, actor: nn.Module, num_steps: int, generator: torch.Generator
) -> tuple[Rollout, np.ndarray]:
    """Step every environment T times from `obs` on; return the rollout and the observations to go on from."""
    count, options = envs.num_envs, int(envs.single_action_space.n)
    # The Gumbel-max trick (arXiv:1411.0030): argmax(logits + g) with g = -log(e), e ~ Exp(1), is a sample of
    # softmax(logits). The noise of a whole rollout is drawn at once: one large draw is cheaper than T small ones.
    noise = -torch.empty(num_steps, count, options).exponential_(generator=generator).log()
    steps = []
    for step in range(num_steps):
        seen = torch.as_tensor(obs, dtype=torch.float32)
        action = (actor(seen) + noise[step]).argmax(-1)
        obs, reward, terminated, truncated, info = envs.step(action.numpy() + envs.single_action_space.start)
        reached = torch.as_tensor(obs, dtype=torch.float32).clone()
        done = terminated | truncated
        for i in np.flatnonzero(done):
            reached[i] = torch.as_tensor(info["final_obs"][i], dtype=torch.float32)
        reward, terminated, done = (torch.as_tensor(values) for values in (reward, terminated, done))
        steps.append((seen, reached, action, reward.float(), terminated, done))
    return Rollout(*(torch.stack(column) for column in zip(*steps, strict=True))), obs


# Learning


class Batch(NamedTuple):
    obs: Tensor  # [B, D]
    actions: Tensor  # [B]
    log_prob: Tensor  # [B], log pi_old(a|s), of the policy that acted
    advantages: Tensor  # [B]
    returns: Tensor  # [B], what the critic should have said
    values: Tensor  # [B], what it said


@torch.no_grad()
def make_batch(agent: Agent, rollout: Rollout, gamma: float, lam: float) -> Batch:
    """Return a rollout's B = T * N transitions with their GAE advantages (equations 11 and 12 of PPO, 16 of GAE).

    delta_t = r_t + gamma * V(s_{t+1}) - V(s_t), where V(s_{t+1}) = 0 if s_{t+1} is terminal. A time limit is not: the
    pole would have stood longer, so a truncated step is worth the value of the observation it ended with.
    A_t = delta_t + gamma * lambda * A_{t+1} within an episode; A_T = 0.
    """
    log_prob = Categorical(logits=agent.actor(rollout.obs)).log_prob(rollout.actions)
    values, next_values = agent.critic(rollout.obs), agent.critic(rollout.next_obs)  # [T, N]
    deltas = rollout.rewards + gamma * next_values * ~rollout.terminated - values
    advantages, following = torch.empty_like(deltas), torch.zeros_like(deltas[0])
    for step in reversed(range(len(deltas))):
        following = deltas[step] + gamma * lam * following * ~rollout.done[step]
        advantages[step] = following
    columns = (rollout.obs, rollout.actions, log_prob, advantages, advantages + values, values)
    return Batch(*(column.flatten(0, 1) for column in columns))  # from here on the order in time does not matter


TERMS = ("policy_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")


def losses(agent: Agent, batch: Batch, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return the loss of a minibatch, and TERMS for the log."""
    advantages = batch.advantages
    if args.normalize_advantages and len(advantages) > 1:  # over the minibatch, not the rollout (detail 7)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy = Categorical(logits=agent.actor(batch.obs))
    # The clipped surrogate objective, equation 7 of PPO: once the ratio has left [1 - epsilon, 1 + epsilon] in the
    # direction that its advantage asks for, there is nothing more to gain. The optimizer minimises, hence the minus.
    log_ratio = policy.log_prob(batch.actions) - batch.log_prob
    ratio = log_ratio.exp()
    clipped_ratio = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
    policy_loss = -torch.min(ratio * advantages, clipped_ratio * advantages).mean()
    # Squared error, by default of values clipped around the old ones too, the larger error counting (detail 9).
    values = agent.critic(batch.obs)
    errors = (values - batch.returns) ** 2
    if args.clip_vloss:
        clipped_values = batch.values + (values - batch.values).clamp(-args.clip_coef, args.clip_coef)
        errors = torch.max(errors, (clipped_values - batch.returns) ** 2)
    value_loss = errors.mean()
    entropy_loss = -policy.entropy().mean()  # keeps the policy from settling on one action too early
    loss = policy_loss + args.vf_coef * value_loss + args.ent_coef * entropy_loss  # equation 9 of PPO, negated
    # E[(r - 1) - log r] estimates KL(old || new) and is never negative (http://joschu.net/blog/kl-approx.html).
    approx_kl = (ratio - 1 - log_ratio).mean()
    clip_fraction = ((ratio - 1).abs() > args.clip_coef).float().mean()
    return loss, torch.stack([policy_loss, value_loss, entropy_loss, approx_kl, clip_fraction]).detach()


def average_over_ranks(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their means over ranks; all in one message, since one costs far more than its bytes here."""
    if WORLD_SIZE == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)  # the sum
    means = (flat / WORLD_SIZE).split([tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, means, strict=True):
        tensor.copy_(mean.view_as(tensor))


def update(
    agent: Agent, optimizer: torch.optim.Optimizer, batch: Batch, order: torch.Generator, args: argparse.Namespace
) -> dict[str, float]:
    """Take K epochs of minibatch steps; return what is logged of them, as means over steps and ranks."""
    rows = len(batch.returns)
    minibatches = math.ceil(rows / args.per_rank_batch_size)
    logged = []
    for _ in range(args.update_epochs):
        for chosen in torch.randperm(rows, generator=order).tensor_split(minibatches):
            loss, terms = losses(agent, Batch(*(column[chosen] for column in batch)), args)
            optimizer.zero_grad()
            loss.backward()
            # Ranks hold equally large minibatches, so this is the gradient of all their rows together, and equal
            # gradients keep the weights equal. It comes before clipping, which is not linear (detail 11).
            average_over_ranks([parameter.grad for parameter in agent.parameters()])
            norm = nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm or math.inf)
            optimizer.step()
            logged.append(torch.cat([terms, norm.view(1)]))
    scalars = torch.stack(logged).mean(0)
    # 1: the critic foresaw the returns; 0: it did no better than a constant.
    explained = 1 - (batch.returns - batch.values).var() / batch.returns.var()
    scalars = torch.cat([scalars, torch.stack([explained, batch.values.mean()])])
    average_over_ranks([scalars])
    names = [f"Loss/{name}" for name in TERMS] + ["Info/grad_norm", "Info/explained_variance", "Info/value_mean"]
    return dict(zip(names, scalars.tolist(), strict=True))


# The run


def episode_means(envs: RecordEpisodeStatistics) -> dict[str, float]:
    """Return the mean return and length of the episodes that ended since the last call, on all ranks."""
    totals = torch.tensor([len(envs.return_queue), sum(envs.return_queue), sum(envs.length_queue)], dtype=torch.float64)
    envs.return_queue.clear()
    envs.length_queue.clear()
    average_over_ranks([totals])
    episodes, returns, lengths = totals.tolist()
    return {"Rewards/rew_avg": returns / episodes, "Game/ep_len_avg": lengths / episodes} if episodes else {}


@torch.no_grad()
def play_test_episode(args: argparse.Namespace, actor: nn.Module) -> float:
    """Record an episode of the most probable actions, from a seed that training never uses; return its return."""
    env = make_env(args.env_id, render_mode="rgb_array")
    env = RecordVideo(env, str(args.run_dir / "videos"), lambda episode: True, name_prefix="test", disable_logger=True)
    obs, _ = env.reset(seed=2**31 + args.seed)
    total, done = 0.0, False
    while not done:
        action = actor(torch.as_tensor(obs, dtype=torch.float32)).argmax().item()
        obs, reward, terminated, truncated, _ = env.step(action + env.action_space.start)
        total, done = total + float(reward), terminated or truncated
    env.close()
    return total


def train(args: argparse.Namespace) -> None:
    envs = make_envs(args)
    torch.manual_seed(args.seed)
    agent = Agent(envs.single_observation_space.shape[0], int(envs.single_action_space.n), args.hidden_sizes)
    optimizer = torch.optim.Adam(agent.parameters(), args.learning_rate, eps=1e-5)  # eps: detail 3
    sampling, order = make_generator(args.seed, "sampling"), make_generator(args.seed, "minibatches")
    first_seed = args.seed + RANK * args.num_envs
    obs, _ = envs.reset(seed=list(range(first_seed, first_seed + args.num_envs)))
    writer = SummaryWriter(str(args.run_dir)) if RANK == 0 else None  # one process writes
    steps_per_update = args.num_steps * args.num_envs * WORLD_SIZE
    updates = args.total_timesteps // steps_per_update
    for number in range(updates):
        begin = time.perf_counter()
        learning_rate = args.learning_rate * (1 - number / updates if args.anneal_lr else 1.0)  # detail 4
        optimizer.param_groups[0]["lr"] = learning_rate
        rollout, obs = collect(envs, obs, agent.actor, args.num_steps, sampling)
        collected = time.perf_counter()
        batch = make_batch(agent, rollout, args.gamma, args.gae_lambda)
        scalars = update(agent, optimizer, batch, order, args)
        done = time.perf_counter()
        scalars |= {"Info/learning_rate": learning_rate, "Time/step_per_second": steps_per_update / (done - begin)}
        scalars |= {"Time/collect_seconds": collected - begin, "Time/update_seconds": done - collected}
        scalars |= episode_means(envs)
        if writer is not None:
            for name, value in scalars.items():
                writer.add_scalar(name, value, (number + 1) * steps_per_update)
            if (number + 1) % 10 == 0 or number + 1 == updates:
                mean = scalars.get("Rewards/rew_avg", math.nan)
                print(f"{(number + 1) * steps_per_update:>9} steps, mean return {mean:.1f}", flush=True)
    envs.close()
    if writer is not None:
        if args.video:
            test_return = play_test_episode(args, agent.actor)
            writer.add_scalar("Test/cumulative_reward", test_return, updates * steps_per_update)
            print(f"test episode: return {test_return:.1f}, video in {args.run_dir / 'videos'}")
        writer.close()


if __name__ == "__main__":
    arguments = parse_arguments()
    torch.set_num_threads(1)  # a second thread gains nothing on layers this small, and ranks would fight for the cores
    if WORLD_SIZE > 1:
        dist.init_process_group("gloo")  # who and where the others are stands in environment variables
    try:
        train(arguments)
    finally:
        if WORLD_SIZE > 1:
            dist.destroy_process_group()
