"""Mutation testing of the mathematical core: small faults are planted one by one, and the tests must notice.

usage: python -m benchmarks.mutants [--sample 300] [--seed 0] [--module WORD] [--json FILE [--again]]    (make mutants)

The faults are those of cosmic-ray: another operator, number, comparison or condition. A process that has torch and the
other libraries imported, but not rlexp, forks a child for each fault; the child imports the faulty module in place of
the true one and runs the module's own quick tests. A fault is killed where a test fails, or does not end in time.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.mutants_excused import EQUIVALENT

ROOT = Path(__file__).resolve().parent.parent
SLOWER, MORE_SECONDS = 3, 10
"""A fault whose tests take longer than so many times what they take without one, and so many seconds, hangs."""
MATHS = (
    "tests/algos",
    "tests/config/test_reference.py",
    "tests/learn/test_learner.py",
    "tests/learn/test_stepper.py",
    "tests/learn/test_adam.py",
)
MODELS = ("tests/models", "tests/learn/test_learner.py")
PLAYERS = (
    "tests/collect/test_episodes.py",
    "tests/collect/test_player.py", "tests/collect/test_tensor_player.py", "tests/models/test_policy.py",
    "tests/envs/test_next_step.py",
)  # fmt: skip
MEMORIES = (
    "tests/learn/test_ring.py", "tests/learn/test_priorities.py", "tests/learn/test_replay.py",
    "tests/algos/test_q_losses.py", "tests/config/test_replay_rules.py",
)  # fmt: skip
RANKS = ("tests/topology/test_transport.py", "tests/topology/test_ranks.py")
RESUME = ("tests/run/test_resume_point.py", "tests/run/test_merged.py", "tests/run/test_recorder.py", "tests/files")
TESTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("algos/ppo", "algos/a2c", "algos/on_policy", "algos/losses", "algos/returns"), MATHS),
    **dict.fromkeys(
        (
            "models/distributions",
            "models/encoders",
            "models/preprocessor",
            "models/torso",
            "models/normalizer",
            "models/actor",
        ),
        (*MODELS, "tests/learn/test_rewards.py"),
    ),
    **dict.fromkeys(("models/actor_critic", "models/acting", "models/flat", "models/chunks"), (*MODELS, *PLAYERS)),
    **dict.fromkeys(
        ("learn/learner", "learn/fresh", "learn/rewards", "learn/health", "learn/optimizer"),
        (*MATHS, "tests/learn/test_health.py", "tests/envs/test_next_step.py", *RANKS[1:]),
    ),
    **dict.fromkeys(
        ("learn/stepper", "learn/compiled"),
        ("tests/learn/test_joint.py", *MATHS, "tests/learn/test_health.py", RANKS[1], "tests/learn/test_objectives.py"),
    ),
    **dict.fromkeys(("algos/sac", "algos/td3", "algos/dqn", "algos/q_losses", "algos/off_policy"), MEMORIES[2:]),
    **dict.fromkeys(("learn/replay", "learn/ring", "learn/rows", "learn/priorities", "learn/room"), MEMORIES),
    **dict.fromkeys(
        ("learn/joint", "learn/part"), ("tests/learn/test_joint.py", "tests/learn/test_objectives.py", *MATHS)
    ),
    **dict.fromkeys(
        ("models/critics", "models/actor_with_critics", "models/q_network", "models/exploring", "models/renorm"),
        ("tests/models/test_networks.py", "tests/models/test_renorm.py", "tests/algos/test_q_losses.py"),
    ),
    "models/recurrent": ("tests/models/test_recurrent.py",),
    **dict.fromkeys(("collect/player", "collect/tensor_player", "collect/episodes"), PLAYERS),
    "envs/next_step": ("tests/envs/test_next_step.py",),
    **dict.fromkeys(
        (
            "topology/loop",
            "topology/coupled",
            "topology/decoupled",
            "topology/transport",
            "topology/rollouts",
            "topology/group",
        ),
        (*RANKS, "tests/topology/test_evaluator.py", "tests/run/test_resume_point.py"),
    ),
    **dict.fromkeys(("run/resume", "files/rewind", "run/window", "run/schedule"), RESUME),
}
"""The quick tests of each module, below rlexp/; the first that fail end the search."""
SKIPPED = ("BitOr", "BitAnd", "BitXor", "LShift", "RShift", "FloorDiv_Mod", "_Pow", "ExceptionReplacer")
"""Parts of the names of operators that make mostly faults of types."""


@dataclass(frozen=True)
class Fault:
    """A place in a module and an operator that changes it."""

    module: str
    operator: str
    occurrence: int
    line: int


def annotated(source: str) -> set[int]:
    """Return the lines of a module that hold nothing but annotations, texts, imports and the like."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        typing = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        declared = called and node.func.id == "setting"  # defaults and ranges, which docs/reference.md holds
        if text or typing or declared or isinstance(node, ast.Import | ast.ImportFrom | ast.Raise):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif isinstance(node, ast.FunctionDef):
            first = node.body[0].lineno
            lines |= set(range(node.lineno, first))
    return lines


def faults(module: str) -> Iterator[Fault]:
    """Yield every fault of a module that can change a result."""
    from cosmic_ray.ast import ast_nodes, get_ast  # an extra, as below
    from cosmic_ray.plugins import get_operator, operator_names

    path = ROOT / "rlexp" / f"{module}.py"
    source = path.read_text()
    skipped, nodes = annotated(source), list(ast_nodes(get_ast(source)))
    for name in sorted(operator_names()):
        if any(part in name for part in SKIPPED) or "Variable" in name:
            continue
        operator = get_operator(name)()
        positions = [place for node in nodes for place in operator.mutation_positions(node)]
        for occurrence, ((line, _), _) in enumerate(positions):
            if line not in skipped:
                yield Fault(module, name, occurrence, line)


def chosen(modules: Sequence[str], size: int, seed: int) -> list[Fault]:
    """Return a sample of faults, as many of each module as its share of all places that can be changed.

    One operator is drawn for each place first, so that a sum with ten possible faults counts once.
    """
    draw = random.Random(seed)
    places: dict[tuple[str, int, int], list[Fault]] = {}
    for module in modules:
        counted: dict[tuple[int, str], int] = {}
        for fault in faults(module):
            kind = fault.operator.rpartition("_")[0] or fault.operator
            number = counted[fault.line, fault.operator] = counted.get((fault.line, fault.operator), -1) + 1
            places.setdefault((f"{module} {kind}", fault.line, number), []).append(fault)
    drawn = [draw.choice(found) for _, found in sorted(places.items())]
    return sorted(draw.sample(drawn, min(size, len(drawn))), key=lambda fault: (fault.module, fault.line))


class Faulty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves one module from a changed source."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        """Return a spec for that module alone."""
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=str(self._path))

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed source."""
        module.__file__ = str(self._path)
        exec(compile(self._source, str(self._path), "exec"), module.__dict__)


def survives(fault: Fault, limit: float) -> tuple[bool, str]:
    """Run the tests on a fault in a child; return whether they all pass within a time, and the changed line."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = (ROOT / "rlexp" / f"{fault.module}.py").read_text()
    changed = mutate_code(source, get_operator(fault.operator)(), fault.occurrence)
    before, after = source.splitlines(), (changed or source).splitlines()
    line = next((new.strip() for old, new in zip(before, after, strict=False) if old != new), "")
    return passes(fault.module, changed or source, limit), line


def passes(module: str, source: str, limit: float) -> bool:
    """Return whether the tests of a module pass with another source, in a child, within so many seconds."""
    pid = os.fork()
    if not pid:
        child(Faulty(f"rlexp.{module.replace('/', '.')}", ROOT / "rlexp" / f"{module}.py", source), TESTS[module])
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


@functools.cache
def limit_of(module: str) -> float:
    """Return the time for the tests of a fault of a module, from what they take without one."""
    begin = time.monotonic()
    if not passes(module, (ROOT / "rlexp" / f"{module}.py").read_text(), 600.0):
        raise SystemExit(f"the tests of {module} fail without a fault")
    return SLOWER * (time.monotonic() - begin) + MORE_SECONDS


def tried(fault: Fault) -> dict[str, Any]:
    """Try a fault; return what came of it, and print it if it survived."""
    alive, line = survives(fault, limit_of(fault.module))
    excuse = EQUIVALENT.get((fault.module, line.partition("  #")[0]))
    if alive:
        print(f"survived{': ' + excuse if excuse else ''}: {fault.module}.py:{fault.line}: {line}", flush=True)
    return {"module": fault.module, "survived": alive, "excused": excuse, "line": fault.line, "text": line}


def tried_by(jobs: int, faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """Try faults in so many processes at once; return what came of each."""
    with tempfile.TemporaryDirectory() as folder:
        pids = []
        for number in range(jobs):
            pid = os.fork()
            if not pid:
                found = []
                for fault in faults[number::jobs]:
                    found.append(tried(fault))
                    Path(folder, str(number)).write_text(json.dumps(found))
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        parts = [json.loads(Path(folder, str(number)).read_text()) for number in range(min(jobs, len(faults)))]
    return [parts[number % jobs][number // jobs] for number in range(len(faults))]


def child(finder: Faulty, tests: Sequence[str]) -> None:
    """Be the process that runs the tests on a fault; its exit code is pytest's."""
    os.setpgid(0, 0)
    silent = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(silent, number)
    sys.meta_path.insert(0, finder)
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "-W", "ignore"]
    code = 1
    try:
        code = int(pytest.main([*options, *(test for test in tests if (ROOT / test).exists())]))
    finally:
        os._exit(code)


def main() -> None:
    """Plant faults, run tests, and print what was killed and what survived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=300, help="how many faults")
    parser.add_argument("--seed", type=int, default=0, help="which faults")
    parser.add_argument("--module", default="", help="modules whose names hold this")
    parser.add_argument("--json", type=Path, help="file that the results are written to")
    parser.add_argument("--jobs", type=int, default=2, help="processes that try faults at once")
    parser.add_argument("--again", action="store_true", help="try only the survivors in that file again")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    warnings.simplefilter("ignore")
    import gymnasium  # noqa: F401  # once, for all children
    import hydra  # noqa: F401
    import lightning.fabric  # noqa: F401
    import pytest  # noqa: F401
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    faults_drawn = chosen([name for name in TESTS if options.module in name], options.sample, options.seed)
    earlier = json.loads(options.json.read_text()) if options.again else [{"survived": True}] * len(faults_drawn)
    open_ones = [number for number, one in enumerate(earlier) if one["survived"]]
    found = dict(zip(open_ones, tried_by(options.jobs, [faults_drawn[number] for number in open_ones]), strict=True))
    results = [found.get(number, one) for number, one in enumerate(earlier)]
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    for module in TESTS:
        own = [one for one in results if one["module"] == module and not one["excused"]]
        if own:
            print(f"{module}: {sum(not one['survived'] for one in own)} of {len(own)}")
    counted = [one for one in results if not one["excused"]]
    killed = sum(not one["survived"] for one in counted)
    print(f"killed {killed} of {len(counted)} ({killed / len(counted):.1%}); {len(results) - len(counted)} excused")


if __name__ == "__main__":
    main()
