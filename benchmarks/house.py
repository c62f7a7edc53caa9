"""How simple the package is to read: one script, so that two commits can be compared.

usage: python -m benchmarks.house [TREE ...]    (make house)

For each tree (default: this one) it prints, of the folder rlexp/: its modules, those loose at the top, lines, circles
of imports (those for types alone included), functions over 50 lines, modules over 250, public functions and classes
with a docstring, functions whose every argument and result has a type, and the files that one PPO update runs through.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FUNCTION, LONGEST_MODULE = 50, 250
TRACE = """
import sys
from lightning.fabric import Fabric
from tests.helpers import agent, learner
made = agent("env=cartpole")
teacher = learner(made.config, made.policy, Fabric(accelerator="cpu", devices=1))
collected = made.player.collect()
rollout = getattr(collected, "rollout", collected)
seen = set()
def note(frame, event, argument):
    if event == "call" and "/rlexp/" in frame.f_code.co_filename:
        seen.add(frame.f_code.co_filename)
sys.setprofile(note)
teacher.update(rollout, 1.0)
sys.setprofile(None)
print(len(seen))
"""
"""Counts the files of rlexp whose functions run in one eager update of PPO on CartPole, helpers included."""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function below a node."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def is_typed(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether every argument but self and the result are annotated."""
    taken = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    arguments = [one for one in taken if one.arg not in ("self", "cls")]
    return function.returns is not None and all(one.annotation is not None for one in arguments)


def imports(module: str, tree: ast.AST, known: set[str]) -> set[str]:
    """Return the modules of the package that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    inside = {name for name in found if name in known}
    return {name for name in inside if not any(other.startswith(f"{name}.") for other in inside)} - {module}


def circles(graph: dict[str, set[str]]) -> int:
    """Return the number of groups of modules that import one another (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    count = 0

    def visit(node: str) -> None:
        nonlocal count
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            place = stack.index(node)
            count += len(stack) - place > 1
            del stack[place:]

    for node in graph:
        if node not in index:
            visit(node)
    return count


def measured(tree: Path) -> dict[str, object]:
    """Return the figures of one tree."""
    package = tree / "rlexp"
    files = sorted(package.rglob("*.py"))
    texts = {file: file.read_text() for file in files}
    parsed = {file: ast.parse(text) for file, text in texts.items()}
    names = {file: ".".join(file.relative_to(tree).with_suffix("").parts).removesuffix(".__init__") for file in files}
    graph = {names[file]: imports(names[file], parsed[file], set(names.values())) for file in files}
    defined = [(file, function) for file in files for function in functions(parsed[file])]
    public = [node for file in files for node in ast.walk(parsed[file])
              if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")]  # fmt: skip
    long = [f"{names[file]}.{function.name} {length}" for file, function in defined
            if (length := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION]  # fmt: skip
    large = [f"{names[file]} {lines}" for file, text in texts.items()
             if (lines := len(text.splitlines())) > LONGEST_MODULE]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", TRACE], cwd=tree, env={"PYTHONPATH": str(tree)}, capture_output=True,
                          text=True, check=False)  # fmt: skip
    typed = sum(is_typed(function) for _, function in defined)
    with_text = sum(ast.get_docstring(node) is not None for node in public)
    return {
        "modules": len(files),
        "loose at the top": len(list(package.glob("*.py"))),
        "lines": sum(len(text.splitlines()) for text in texts.values()),
        "circles": circles(graph),
        f"functions over {LONGEST_FUNCTION} lines": f"{len(long)} {'; '.join(long)}",
        f"modules over {LONGEST_MODULE} lines": f"{len(large)} {'; '.join(large)}",
        "public with docstring": f"{with_text / len(public):.1%} of {len(public)}",
        "fully typed functions": f"{typed / len(defined):.1%} of {len(defined)}",
        "files that one PPO update runs through": done.stdout.strip() or done.stderr.strip().splitlines()[-1],
    }


def main() -> None:
    """Print the figures of each tree."""
    for tree in [Path(argument).resolve() for argument in sys.argv[1:]] or [ROOT]:
        print(tree.name)
        for name, value in measured(tree).items():
            print(f"  {name}: {value}")


if __name__ == "__main__":
    main()
