"""Proximal Policy Optimization in one file of plain PyTorch, on one process or many.

    python examples/ppo_torch.py
    torchrun --nproc_per_node=2 --standalone examples/ppo_torch.py

This is what rlexp does with its defaults, without rlexp: no Hydra, no Fabric, nothing to look up in another file. It is
meant to be read from top to bottom. It is also an independent check of the framework: from the same seed the losses of
both are equal (tests/test_example.py).

Papers: PPO is arXiv:1707.06347, GAE is arXiv:1506.02438; "details" are The 37 Implementation Details of PPO
(https://iclr-blog-track.github.io/2022/03/25/ppo-implementation-details/). Shapes: T steps of N environments, B rows.
"""

import argparse
import math
import os
import time
from argparse import BooleanOptionalAction as OnOff
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

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
    add("--max-grad-norm", type=float, default=0.5, help="gradients with a larger norm are scaled down to it")
    add("--hidden-sizes", type=int, nargs="+", default=[64, 64], help="widths of the hidden layers")
    add("--run-dir", type=Path, default=None, help="where TensorBoard files and the video go")
    add("--video", action=OnOff, default=True, help="film a test episode after training")
    args = parser.parse_args()
    if args.total_timesteps < args.num_steps * args.num_envs * WORLD_SIZE:
        parser.error(f"--total-timesteps={args.total_timesteps} is less than one rollout of all ranks")
    args.run_dir = args.run_dir or Path("outputs/ppo_torch") / f"{args.env_id}-seed{args.seed}-{int(time.time())}"
    return args


# Randomness. Four things are random, and each has a source of its own, so that none disturbs another: initial weights
# (torch's global generator, equal on all ranks), environments, sampled actions and the order of minibatches (each
# different on every rank: ranks that collected the same data would learn nothing from each other).


def make_generator(seed: int, purpose: str) -> torch.Generator:
    """Return a generator for one purpose on this rank. SeedSequence mixes the key, so near seeds are not alike."""
    state = np.random.SeedSequence([seed, RANK, *purpose.encode()]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))  # 63 bits: torch's seeds are signed


# Networks. Actor and critic share nothing (detail 13 of the core ones): each is a small tanh network.


def linear(inputs: int, outputs: int) -> nn.Linear:
    return initialize(nn.Linear(inputs, outputs), math.sqrt(2))


def initialize(layer: nn.Linear, gain: float) -> nn.Linear:
    """Make the weights orthogonal (arXiv:1312.6120, detail 2) and the bias 0."""
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class Agent(nn.Module):
    def __init__(self, observation_size: int, actions: int, hidden_sizes: list[int]) -> None:
        super().__init__()
        # The order in which layers draw from the generator decides which weights a seed gives: hidden layers of the
        # actor, hidden layers of the critic, then the two heads.
        widths = [observation_size, *hidden_sizes]
        actor_torso, critic_torso = (
            [module for sizes in zip(widths, widths[1:], strict=False) for module in (linear(*sizes), nn.Tanh())]
            for _ in range(2)
        )
        actor_head, critic_head = nn.Linear(widths[-1], actions), nn.Linear(widths[-1], 1)
        initialize(actor_head, 0.01)  # almost 0, so that the first policy is almost uniform
        initialize(critic_head, 1.0)
        self.actor = nn.Sequential(*actor_torso, actor_head)  # [B, D] -> logits [B, K]
        self.critic = nn.Sequential(*critic_torso, critic_head, nn.Flatten(0))  # [B, D] -> values [B]


# Collecting


def make_env(env_id: str, **kwargs: str) -> gymnasium.Env:
    return FlattenObservation(gymnasium.make(env_id, **kwargs))


def make_envs(args: argparse.Namespace) -> RecordEpisodeStatistics:
    """Return N environments. SAME_STEP: one whose episode ends is reset in that step, so every row is a transition."""
    makers = [lambda: make_env(args.env_id)] * args.num_envs
    envs = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
    return RecordEpisodeStatistics(envs, buffer_length=args.num_envs * args.num_steps)


@dataclass(frozen=True)
class Rollout:
    obs: Tensor  # [T, N, D], what the agent saw
    next_obs: (
        Tensor  # [T, N, D], what its action led to: at the end of an episode its last observation, not the reset's
    )
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
    # Gumbel-max (arXiv:1411.0030): argmax(logits + g) is a sample of softmax(logits) where g = -log(e), e ~ Exp(1).
    # The noise of a whole rollout is drawn at once, because one large draw is much cheaper than T small ones.
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


@torch.no_grad()
def estimate_advantages(rollout: Rollout, critic: nn.Module, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Return GAE advantages and the values they rest on, [T, N] each (equations 12 and 16 of the GAE paper).

    delta_t = r_t + gamma * V(s_{t+1}) - V(s_t), where V(s_{t+1}) = 0 if s_{t+1} is terminal. A time limit is not: the
    pole would have stood longer, so a truncated step is worth the value of the observation it ended with.
    A_t = delta_t + gamma * lambda * A_{t+1}, within an episode.
    """
    shape = rollout.rewards.shape
    values = critic(rollout.obs.flatten(0, 1)).view(shape)
    next_values = critic(rollout.next_obs.flatten(0, 1)).view(shape)
    deltas = rollout.rewards + gamma * next_values * ~rollout.terminated - values
    advantages, following = torch.empty(shape), torch.zeros(shape[1])
    for step in reversed(range(shape[0])):
        following = deltas[step] + gamma * lam * following * ~rollout.done[step]
        advantages[step] = following
    return advantages, values


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their mean over ranks: with equally large minibatches, the gradient of all their rows.

    All gradients travel as one vector, because a message costs far more than its bytes at this size.
    """
    gradients = [parameter.grad for parameter in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= WORLD_SIZE
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def update(
    agent: Agent,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    generator: torch.Generator,
    args: argparse.Namespace,
) -> dict[str, float]:
    """Take K epochs of minibatch steps on a rollout; return what is logged of them."""
    advantages, values = estimate_advantages(rollout, agent.critic, args.gamma, args.gae_lambda)
    returns = advantages + values
    with torch.no_grad():  # log pi_old(a|s), before any weight changes
        log_prob = Categorical(logits=agent.actor(rollout.obs)).log_prob(rollout.actions)
    # From here on time does not matter: [T, N, *] -> [T * N, *].
    everything = [x.flatten(0, 1) for x in (rollout.obs, rollout.actions, log_prob, advantages, returns, values)]
    rows = returns.numel()
    minibatches = math.ceil(rows / args.per_rank_batch_size)
    terms = []
    for _ in range(args.update_epochs):
        for chosen in torch.randperm(rows, generator=generator).tensor_split(minibatches):
            obs, actions, old_log_prob, advantage, target, old_value = (x[chosen] for x in everything)
            if args.normalize_advantages:  # of the minibatch (detail 7)
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            policy = Categorical(logits=agent.actor(obs))
            # Clipped surrogate objective, equation 7 of PPO; its negative is minimised.
            log_ratio = policy.log_prob(actions) - old_log_prob
            ratio = log_ratio.exp()
            clipped_ratio = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
            policy_loss = -torch.min(ratio * advantage, clipped_ratio * advantage).mean()
            # Value loss, by default with steps clipped around the old value, the larger error counting (detail 9).
            value = agent.critic(obs)
            value_error = (value - target) ** 2
            if args.clip_vloss:
                clipped_value = old_value + (value - old_value).clamp(-args.clip_coef, args.clip_coef)
                value_error = torch.max(value_error, (clipped_value - target) ** 2)
            value_loss = value_error.mean()
            entropy_loss = -policy.entropy().mean()
            loss = policy_loss + args.vf_coef * value_loss + args.ent_coef * entropy_loss  # equation 9 of PPO

            optimizer.zero_grad()
            loss.backward()
            if WORLD_SIZE > 1:
                average_gradients(agent.parameters())  # before clipping, which is not linear
            norm = nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)  # detail 11
            optimizer.step()
            with torch.no_grad():
                # E[(r - 1) - log r] estimates KL(old || new), never negative (http://joschu.net/blog/kl-approx.html).
                approx_kl = (ratio - 1 - log_ratio).mean()
                clip_fraction = ((ratio - 1).abs() > args.clip_coef).float().mean()
            terms.append(torch.stack([policy_loss, value_loss, entropy_loss, approx_kl, clip_fraction, norm]).detach())
    # 1 where the critic foresaw the returns, 0 where it did no better than a constant.
    explained = 1 - (returns - values).var() / returns.var()
    scalars = torch.cat([torch.stack(terms).mean(0), torch.stack([explained, values.mean()])])
    if WORLD_SIZE > 1:
        dist.all_reduce(scalars)
        scalars /= WORLD_SIZE
    losses = [f"Loss/{name}" for name in ("policy_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")]
    return dict(zip([*losses, "Info/grad_norm", "Info/explained_variance", "Info/value_mean"], scalars.tolist()))


# The run


def episode_means(envs: RecordEpisodeStatistics) -> dict[str, float]:
    """Return the mean return and length of the episodes that ended since the last call, on all ranks."""
    totals = torch.tensor([len(envs.return_queue), sum(envs.return_queue), sum(envs.length_queue)], dtype=torch.float64)
    envs.return_queue.clear()
    envs.length_queue.clear()
    if WORLD_SIZE > 1:
        dist.all_reduce(totals)
    episodes, returns, lengths = totals.tolist()
    return {"Rewards/rew_avg": returns / episodes, "Game/ep_len_avg": lengths / episodes} if episodes else {}


@torch.no_grad()
def play_test_episode(args: argparse.Namespace, actor: nn.Module) -> float:
    """Film an episode of the most probable actions, from a seed that training never uses; return its return."""
    env = make_env(args.env_id, render_mode="rgb_array")
    env = RecordVideo(env, str(args.run_dir), lambda episode: True, name_prefix="test", disable_logger=True)
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
        scalars = update(agent, optimizer, rollout, order, args)
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
            print(f"test episode: return {test_return:.1f}, filmed in {args.run_dir}")
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
