"""A peer: PPO on CartPole as one compiled JAX program, at the published settings of PureJaxRL, in a process of its own.

usage: python -m benchmarks.peer_purejax NUM_ENVS NUM_STEPS UPDATES FOLDER

Environments, rollouts and training are one `jax.jit`, as in PureJaxRL (Lu et al. 2022): that is what makes it fast. The
script is our own and needs the package jax alone. Its settings are those of PureJaxRL's ppo.py: 4 environments x 128
steps, 4 epochs of 4 minibatches, rate 2.5e-4 annealed, gamma 0.99, lambda 0.95, clip range 0.2 for policy and value,
entropy 0.01, value 0.5, gradient norm 0.5, Adam with epsilon 1e-5, two networks of 64-64 tanh units. NUM_ENVS is 4
there; more environments make larger minibatches. A time limit counts as an end there, and so it does here.

It trains twice the same: the first time compiles, the second is timed. It writes peer.json into FOLDER: steps a second,
seconds to compile, and the mean return of the episodes that ended in the last tenth of the updates.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

RATE, EPOCHS, MINIBATCHES, GAMMA, LAMBDA = 2.5e-4, 4, 4, 0.99, 0.95
CLIP, ENTROPY, VALUE, NORM, EPSILON, BETAS = 0.2, 0.01, 0.5, 0.5, 1e-5, (0.9, 0.999)
UNITS, LIMIT = 64, 500
Array = jax.Array


class Steps(NamedTuple):
    """Transitions, [T, N] or [T, N, *]; `returned` is the return of an episode that ended, else NaN."""

    obs: Array
    action: Array
    log_prob: Array
    value: Array
    reward: Array
    done: Array
    returned: Array


class Envs(NamedTuple):
    """N CartPoles: states [N, 4] and steps so far [N]."""

    state: Array
    elapsed: Array


# CartPole (Barto, Sutton & Anderson 1983) with gymnasium's constants and Euler's method


def start(key: Array, count: int) -> Array:
    return jax.random.uniform(key, (count, 4), minval=-0.05, maxval=0.05)


def step_envs(envs: Envs, action: Array, key: Array) -> tuple[Envs, Array]:
    """Step every environment, and start ended ones anew; return them and what has ended, [N] bool."""
    _, speed, angle, spin = envs.state.T
    force = jnp.where(action == 1, 10.0, -10.0)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    push = (force + 0.05 * spin**2 * sine) / 1.1
    turn = (9.8 * sine - cosine * push) / (0.5 * (4 / 3 - 0.1 * cosine**2 / 1.1))
    slide = push - 0.05 * turn * cosine / 1.1
    state = envs.state + 0.02 * jnp.stack([speed, slide, spin, turn], -1)
    elapsed = envs.elapsed + 1
    fallen = (jnp.abs(state[:, 0]) > 2.4) | (jnp.abs(state[:, 2]) > 12 * math.pi / 180)
    done = fallen | (elapsed >= LIMIT)
    state = jnp.where(done[:, None], start(key, len(done)), state)
    return Envs(state, jnp.where(done, 0, elapsed)), done


# Networks and Adam


def layers(key: Array, last: int, gain: float) -> list[tuple[Array, Array]]:
    sizes, gains = [(4, UNITS), (UNITS, UNITS), (UNITS, last)], [math.sqrt(2), math.sqrt(2), gain]
    keys = jax.random.split(key, 3)
    made = [jax.nn.initializers.orthogonal(g)(k, size) for k, size, g in zip(keys, sizes, gains, strict=True)]
    return [(weight, jnp.zeros(weight.shape[1])) for weight in made]


def network(weights: list[tuple[Array, Array]], rows: Array) -> Array:
    for weight, bias in weights[:-1]:
        rows = jnp.tanh(rows @ weight + bias)
    return rows @ weights[-1][0] + weights[-1][1]


def adam(weights: Any, gradient: Any, first: Any, second: Any, count: Array, rate: Array) -> tuple[Any, Any, Any]:
    """Take a step of Adam on the gradient, clipped by its norm; return weights and both moments."""
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    gradient = jax.tree.map(lambda leaf: leaf * jnp.minimum(1.0, NORM / norm), gradient)
    first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, gradient)
    second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g**2, second, gradient)
    mean, square = 1 - BETAS[0] ** count, 1 - BETAS[1] ** count
    moved = jax.tree.map(
        lambda w, m, v: w - rate * (m / mean) / (jnp.sqrt(v / square) + EPSILON), weights, first, second
    )
    return moved, first, second


# PPO


def loss(weights: Any, rows: Steps, advantages: Array, targets: Array) -> Array:
    """Return the loss of a minibatch, [B] each."""
    log_p = jax.nn.log_softmax(network(weights["actor"], rows.obs))
    value = network(weights["critic"], rows.obs)[:, 0]
    ratio = jnp.exp(jnp.take_along_axis(log_p, rows.action[:, None], 1)[:, 0] - rows.log_prob)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    surrogate = jnp.minimum(ratio * advantages, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantages).mean()
    clipped = rows.value + jnp.clip(value - rows.value, -CLIP, CLIP)
    error = 0.5 * jnp.maximum((value - targets) ** 2, (clipped - targets) ** 2).mean()
    entropy = -(jnp.exp(log_p) * log_p).sum(-1).mean()
    return -surrogate + VALUE * error - ENTROPY * entropy


def advantages_of(steps: Steps, last: Array) -> Array:
    """Return generalised advantage estimates, [T, N]; `last` is the value of what follows, [N]."""

    def back(carried: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        (advantage, following), (reward, value, done) = carried, row
        delta = reward + GAMMA * following * (1 - done) - value
        advantage = delta + GAMMA * LAMBDA * (1 - done) * advantage
        return (advantage, value), advantage

    rows = (steps.reward, steps.value, steps.done.astype(jnp.float32))
    return jax.lax.scan(back, (jnp.zeros_like(last), last), rows, reverse=True, unroll=16)[1]


def trainer(num_envs: int, num_steps: int, updates: int) -> Any:
    """Return a function of a random key that trains, to weights and returns of ended episodes, [updates, T, N]."""
    batch = num_envs * num_steps

    def act(carried: Any, _: None) -> tuple[Any, Steps]:
        weights, envs, totals, key = carried
        key, draw, again = jax.random.split(key, 3)
        logits = network(weights["actor"], envs.state)
        value = network(weights["critic"], envs.state)[:, 0]
        action = jax.random.categorical(draw, logits)
        log_prob = jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], 1)[:, 0]
        after, done = step_envs(envs, action, again)
        totals = totals + 1
        row = Steps(envs.state, action, log_prob, value, jnp.ones(num_envs), done, jnp.where(done, totals, jnp.nan))
        return (weights, after, jnp.where(done, 0, totals), key), row

    def minibatch(carried: Any, rows: Any) -> tuple[Any, None]:
        weights, first, second, count = carried
        gradient = jax.grad(loss)(weights, *rows)
        left = 1 - ((count // (EPOCHS * MINIBATCHES)) / updates)
        return (*adam(weights, gradient, first, second, count + 1, RATE * left), count + 1), None

    def update(carried: Any, _: None) -> tuple[Any, Array]:
        learned, envs, totals, key = carried
        (_, envs, totals, key), steps = jax.lax.scan(act, (learned[0], envs, totals, key), None, num_steps)
        advantages = advantages_of(steps, network(learned[0]["critic"], envs.state)[:, 0])
        whole = (steps, advantages, advantages + steps.value)
        flat = jax.tree.map(lambda leaf: leaf.reshape(batch, *leaf.shape[2:]), whole)

        def epoch(carried: Any, key: Array) -> tuple[Any, None]:
            order = jax.random.permutation(key, batch)
            parts = jax.tree.map(lambda leaf: leaf[order].reshape(MINIBATCHES, -1, *leaf.shape[1:]), flat)
            return jax.lax.scan(minibatch, carried, parts)[0], None

        key, shuffle = jax.random.split(key)
        learned = jax.lax.scan(epoch, learned, jax.random.split(shuffle, EPOCHS))[0]
        return (learned, envs, totals, key), steps.returned

    def train(key: Array) -> tuple[Any, Array]:
        keys = jax.random.split(key, 4)
        weights = {"actor": layers(keys[0], 2, 0.01), "critic": layers(keys[1], 1, 1.0)}
        zeros = jax.tree.map(jnp.zeros_like, weights)
        envs = Envs(start(keys[2], num_envs), jnp.zeros(num_envs, jnp.int32))
        begun = ((weights, zeros, zeros, jnp.zeros((), jnp.int32)), envs, jnp.zeros(num_envs), keys[3])
        (learned, *_), returned = jax.lax.scan(update, begun, None, updates)
        return learned[0], returned

    return train


def main() -> None:
    num_envs, num_steps, updates = map(int, sys.argv[1:4])
    begin = time.perf_counter()
    train = jax.jit(trainer(num_envs, num_steps, updates)).lower(jax.random.key(0)).compile()
    compiled = time.perf_counter() - begin
    jax.block_until_ready(train(jax.random.key(0)))
    begin = time.perf_counter()
    _, returned = jax.block_until_ready(train(jax.random.key(1)))
    seconds = time.perf_counter() - begin
    values = {
        "steps_per_second": num_envs * num_steps * updates / seconds,
        "compile_seconds": compiled,
        "mean_return": float(jnp.nanmean(returned[-max(1, updates // 10) :])),
        "jax": jax.__version__,
    }
    Path(sys.argv[4], "peer.json").write_text(json.dumps(values))


if __name__ == "__main__":
    main()
