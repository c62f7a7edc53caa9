"""Code of one's own, as users write it and name by its path: wrappers, and what other rooms are tried with."""

import gymnasium
import torch

from rlexp.learn.callbacks import Callback
from rlexp.models.encoders import Encoder


class Doubled(gymnasium.RewardWrapper):
    """Doubles rewards, and adds a little for each that it has seen: it has a state that outlives episodes."""

    def __init__(self, env, factor=2.0):
        super().__init__(env)
        self.factor, self.seen = factor, 0

    def reward(self, reward):
        self.seen += 1
        return self.factor * float(reward) + 1e-3 * self.seen


class Lives(gymnasium.Wrapper):
    """Ends an episode every `steps` steps, as the loss of a life does; the game itself goes on."""

    def __init__(self, env, steps=7):
        super().__init__(env)
        self.steps, self.taken, self.over, self.last = steps, 0, True, None

    def reset(self, *, seed=None, options=None):
        if self.over or seed is not None:
            self.last, info = self.env.reset(seed=seed, options=options)
            self.taken, self.over = 0, False
            return self.last, info
        return self.last, {}

    def step(self, action):
        self.last, reward, terminated, truncated, info = self.env.step(action)
        self.taken += 1
        self.over = terminated or truncated
        return self.last, reward, terminated or self.taken % self.steps == 0, truncated, info


class Sums(Encoder):
    """An encoder: sums of the vector in groups, a linear layer of each image, side by side."""

    def __init__(self, spec, vector_features, width=6):
        super().__init__(spec, vector_features)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(image.size, width) for image in spec.images)
        self.first = torch.nn.Linear(vector_features, width) if vector_features else None
        self.features = width * (len(spec.images) + (self.first is not None))

    def forward(self, vector, images):
        maps = [layer(image.flatten(1).float()) for layer, image in zip(self.layers, images, strict=True)]
        return torch.cat([*([self.first(vector)] if self.first is not None else []), *maps], -1).tanh()


class Unfit(Encoder):
    """An encoder that forgets the batch."""

    def __init__(self, spec, vector_features):
        super().__init__(spec, vector_features)
        self.features = 3

    def forward(self, vector, images):
        return vector.new_zeros(3)


class Counts(Callback):
    """Counts what it is called for, and logs and notes it."""

    all_ranks = True
    scalars = ("Custom/rollouts",)

    def __init__(self, stop_at=None):
        self.calls = dict.fromkeys(("rollout", "update", "evaluation", "checkpoint", "episodes"), 0)
        self.stop_at = stop_at

    def on_start(self, run):
        self.note(run, f"start {run.updates}")

    def on_rollout(self, run, collected):
        self.calls["rollout"] += 1
        run.log("Custom/rollouts", self.calls["rollout"])

    def on_update(self, run, update, episodes):
        self.calls["update"] += 1
        self.calls["episodes"] += len(episodes)
        if self.stop_at is not None and run.updates >= self.stop_at:
            run.stop("enough")

    def on_evaluation(self, run, result):
        self.calls["evaluation"] += 1

    def on_checkpoint(self, run, path):
        self.calls["checkpoint"] += 1
        assert path.is_file()

    def on_end(self, run):
        self.note(run, f"end {run.updates} {self.calls}")

    def note(self, run, text):
        with (run.run_dir / f"notes{run.rank}.txt").open("a") as file:
            file.write(text + "\n")

    def state(self):
        return {"calls": {name: count for name, count in self.calls.items() if name != "checkpoint"}}

    def load_state(self, state):
        self.calls |= state["calls"]


class Breaks(Callback):
    """Raises in its second update."""

    def on_update(self, run, update, episodes):
        if run.updates == 2:
            raise KeyError("lost")


class Undeclared(Callback):
    """Logs what it does not declare."""

    def on_update(self, run, update, episodes):
        run.log("Custom/x", 1.0)


def halved(progress):
    """Half of a setting, always."""
    return 0.5


class Sink:
    """A logger: one line of text for each call, in the run's directory; it fails from step `fails_at` on."""

    def __init__(self, save_dir, version=None, fails_at=None):
        self.file, self.fails_at = f"{save_dir}/sink.txt", fails_at
        self.version = version or "first"

    def log_hyperparams(self, params):
        self.write(f"algo {params['algo']} seed {params['seed']}")

    def log_metrics(self, metrics, step):
        if self.fails_at is not None and step >= self.fails_at:
            raise ConnectionError("no network")
        self.write(f"{self.version} {step} {' '.join(sorted(metrics))}")

    def finalize(self, status):
        self.write(status)

    def write(self, line):
        with open(self.file, "a") as file:
            file.write(line + "\n")


def cartpoles(num_envs):
    """A vector environment that resets in the same step."""
    makers = [lambda: gymnasium.make("CartPole-v1")] * num_envs
    return gymnasium.vector.SyncVectorEnv(makers, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)


def native_cartpoles(num_envs, env_id):
    """One that resets on the next step."""
    return gymnasium.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point")


class Pole(gymnasium.vector.VectorEnv):
    """Two numbers and a mission, from simulators that hand over lists and dicts; `broken` says what it does wrong."""

    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012
    single_observation_space = gymnasium.spaces.Dict({
        "at": gymnasium.spaces.Box(-9, 9, (2,)), "goal": gymnasium.spaces.Discrete(3),
    })  # fmt: skip
    single_action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, num_envs, broken=""):
        self.num_envs, self.broken = num_envs + (broken == "count"), broken
        if broken == "mode":
            self.metadata = {}

    def shown(self):
        at = torch.tensor([[float(step), float(number)] for number, step in enumerate(self.steps)])
        return {"at": at, "goal": [number % 3 for number in range(self.num_envs)]}

    def reset(self, *, seed=None, options=None):
        assert isinstance(seed, int)
        self.steps = [0] * self.num_envs
        return self.shown(), {}

    def step(self, actions):
        if self.broken == "raises":
            raise ValueError("the cable is gone")
        self.steps = [step + 1 for step in self.steps]
        ended = [step == 4 + number for number, step in enumerate(self.steps)]
        last = self.shown()
        self.steps = [0 if over else step for over, step in zip(ended, self.steps, strict=True)]
        rewards = [1.0] * (self.num_envs + (self.broken == "rewards"))
        return self.shown(), rewards, [False] * self.num_envs, ended, {"final_obs": last}


def poles(num_envs, broken=""):
    """As `Pole`."""
    return {} if broken == "kind" else Pole(num_envs, broken)
