"""The topologies share every line of algorithm code, because they hold none."""

import ast
from pathlib import Path

import rlexp.topology

FOLDER = Path(rlexp.topology.__file__).parent
FORBIDDEN_MODULES = ("rlexp.algos",)
FORBIDDEN_NAMES = {
    "gae", "discounted_return_sums", "loss", "losses", "returns", "backward", "clipped_surrogate", "value_loss", "PPO",
    "A2C", "Adam", "advantages",
}  # fmt: skip


def imported(tree: ast.AST) -> set[str]:
    """Return the dotted names of all that a module imports, wherever in it: modules, and what is taken from them."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what they import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def called(tree: ast.AST) -> set[str]:
    """Return the last name of everything that a module calls."""
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {function.id for function in functions if isinstance(function, ast.Name)}
    return names | {function.attr for function in functions if isinstance(function, ast.Attribute)}


def test_topologies_import_no_algorithm_and_no_loss():
    files = sorted(FOLDER.glob("*.py"))
    assert {"coupled.py", "decoupled.py", "transport.py"} <= {file.name for file in files}
    for file in files:
        names = imported(ast.parse(file.read_text()))
        assert not {name for name in names if name.startswith(FORBIDDEN_MODULES)}, file.name
        assert not {name.rpartition(".")[2] for name in names} & FORBIDDEN_NAMES, file.name


def test_topologies_compute_no_gradient_and_no_advantage():
    for file in FOLDER.glob("*.py"):
        assert not called(ast.parse(file.read_text())) & (FORBIDDEN_NAMES | {"step"}), file.name


def test_neither_topology_imports_hydra_lightning_or_an_environment_library():
    for file in FOLDER.glob("*.py"):
        roots = {name.partition(".")[0] for name in imported(ast.parse(file.read_text()))}
        assert not roots & {"hydra", "omegaconf", "lightning", "gymnasium"}, file.name


def test_the_checks_find_what_they_look_for():
    tree = ast.parse("def f():\n    from rlexp.algos.returns import gae\n    gae(1).backward()")
    assert "rlexp.algos.returns.gae" in imported(tree)
    assert called(tree) == {"gae", "backward"}
