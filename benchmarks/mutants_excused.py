"""Faults of `benchmarks.mutants` that change no result, each with its reason."""

from __future__ import annotations

LAST = "the last axis is the second: parameters are [B, P]"
SPEED = "a size that decides the speed alone"
EQUIVALENT: dict[tuple[str, str], str] = {
    ("algos/dqn", "goal = projected(after.softmax(1), batch.rewards, batch.discounts, actor.support)"): LAST,
    ("algos/ppo", "MAX_LOG_RATIO = 21.0"): "a bound that was chosen, far beyond any ratio",
    ("algos/sac", "rows = self.per_rank_batch_size or -1"): "null is refused before",
    ("learn/compiled", "elif descent.weight_decay > -1:"): "a weight decay of 0 adds 0",
    (
        "learn/compiled",
        "found, nothing = torch.stack([scalars[name].detach() for name in self._objective.scalars]), "
        "loss.new_zeros( 1)",
    ): "errors that nobody asked for are not looked at",
    (
        "learn/fresh",
        "most_at_once = most if self._settings.rows is None else max( 0, self._settings.rows // self._length)",
    ): "less than one sequence is refused before",
    ("learn/fresh", "self._critic = torch.empty( 1) if critic is None else critic"): "nothing reads it without memory",
    ("learn/fresh", "next_values.where(rollout.valid, -1),"): "such a row follows an end, beyond which nothing reaches",
    ("learn/fresh", "return not float(kl) >= limit"): "a KL that is the limit to the last bit",
    ("learn/priorities", "count = uniform.shape[1]"): LAST,
    (
        "learn/replay",
        "chances = torch.from_numpy(self._priorities.of(places) % self._priorities.total)",
    ): "a factor that the maximum takes out",
    ("learn/replay", "weight = (chances / self._ring.transitions) ** -beta"): "a factor that the maximum takes out",
    ("learn/stepper", "due = [rows[:, - 0] != NOT_DUE for rows, _ in self._by_objective(steps)]"): "all columns say it",
    ("models/actor_critic", "return values.squeeze(+1).float()"): "the last axis is the second",
    ("models/distributions", "return (params + noise).argmax(1)"): LAST,
    ("models/distributions", "return log_softmax(params, 1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)"): LAST,
    ("models/distributions", "log_p = log_softmax(params, 1)"): LAST,
    (
        "models/distributions",
        "return log_p.gather(-1, actions.unsqueeze(-1)).squeeze(1), self._entropy(log_p)",
    ): LAST,
    ("models/distributions", "return log_p.gather(1, actions.unsqueeze(-1)).squeeze(-1), self._entropy(log_p)"): LAST,
    ("models/distributions", "mean, log_std = params.chunk(2, 1)"): LAST,
    ("models/distributions", "def mode(self, params: Tensor) -> Tensor:"): "an abstract method",
    ("models/acting", "if not self._arrays is not None:"): "the same condition",
    ("models/encoders", "SYMBOL_FEATURES = 15"): "a size that was chosen",
    ("models/chunks", "size = IMAGE_ROWS_AT_ONCE if rows[ -1].dtype == torch.uint8 else ROWS_AT_ONCE"): SPEED,
    (
        "models/flat",
        "self._sizes = [-(~parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in parameters]",
    ): SPEED,
    (
        "collect/tensor_player",
        "size = max(size for size in range(1, UNROLLED + 2) if self._num_steps % size == 0)",
    ): SPEED,
    ("topology/rollouts", "keys, offset = [], 1"): "the order stays",
    ("files/rewind", "while start + 12 < len(content):"): "what is shorter than a record is cut off anyway",
    ("models/actor", "if self.low.numel() == -1:"): "of no bounds the clamp changes nothing",
    (
        "run/window",
        "columns = zip(*carried, strict=False) if carried else [()] * len(self._infos)",
    ): "all episodes carry as many values",
    (
        "learn/stepper",
        "if not self._precision.scaled:",
    ): "on the CPU unscaling does nothing; 16-mixed needs CUDA",
}
"""Faults that change no result, by file and changed line, with the reason."""
