"""The house holds: imports point down only, and importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "handful"
LEVELS = {
    "cli": 6,
    "server": 5,
    "demo": 4.5,  # the whole road once more; it may use all of what ties the wings
    "comparison": 4.2,
    "growth": 4.1,  # a skill's encoder is found as Predictor finds it
    "library": 4.1,  # many skills, each found as Predictor finds it
    "multilabel": 4.1,  # the road of pipeline, for several labels an image
    "meta_training": 4,
    "trials": 4,
    "protocols": 4.3,  # the field's experiments, each a loop over trials
    "pipeline": 4,
    "evaluation": 4.05,  # a skill is measured as Predictor answers
    "predictor": 4,
    "export": 4,
    "report": 4,
    "doctor": 4,
    "verification": 4.1,  # a skill's encoder is found as Predictor finds it
    "reasons": 4.1,  # answers one image by the predictor
    "pictures": 4,
    "album": 3.8,  # finds pictures by their content
    "joined": 3.8,  # a pack and its encoder; attaches what a tuner learned
    "inputs": 3.7,  # reads Failure, which extract makes
    "tuning": 3.75,  # the tuners of a command line, read and trained
    "tuners": 3.6,  # they see images as extract and data prepare them
    "stream": 3.6,  # runs of images for extract
    "extract": 3.5,
    "data": 3,
    "encoders": 3,
    "prompts": 3,
    "store": 3,
    "adapters": 3,
    "tasks": 3,
    "selection": 3,
    "metrics": 3,
    "multimetrics": 3,
    "packs": 3,
    "towers": 2.1,
    "contracts": 2,
    "plugins": 2,
    "errors": 1,
}
ALLOWED = {
    ("selection", "metrics"),
    ("adapters", "selection"),  # pure functions of arrays: leave-one-out, exact alpha, blends
    ("tasks", "selection"),  # for the same
    ("tasks", "adapters"),  # what a head is
    ("adapters", "store"),  # the folder where weights that were learned here are kept
    ("packs", "selection"),  # what a skill states of itself comes from its support set
    ("packs", "report"),  # the figure beside the card; report imports no wing
}
FILES = sorted(ROOT.rglob("*.py"))


def part(dotted: str) -> str:
    """`handful.data.splits` belongs to `data`, `handful` itself to ``."""
    pieces = dotted.split(".")
    return pieces[1] if len(pieces) > 1 else ""


def imports(path: Path, *, top_only: bool = False) -> set[tuple[str, int]]:
    """Modules that a file imports at run time, with the line; type-checking blocks do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ["handful", *path.relative_to(ROOT).parts[:-1]]
    found: set[tuple[str, int]] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if top_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            found.update((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            found.add((module, node.lineno))
            if module == "handful":
                found.update((f"handful.{alias.name}", node.lineno) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return found


def ours(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


def wrong(source: str, target: str) -> bool:
    if source == target or target in ("", "__version__") or (source, target) in ALLOWED:
        return False
    return LEVELS[target] >= LEVELS[source]


def test_every_part_has_a_level():
    unknown = {ours(f) for f in FILES} - LEVELS.keys() - {"__init__", "__main__"}
    assert not unknown, f"give these a level in tests/test_structure.py: {sorted(unknown)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    if ours(path) in ("__init__", "__main__"):
        pytest.skip("the front door, loaded lazily")
    bad = [
        f"line {line}: {ours(path)} imports {module}"
        for module, line in sorted(imports(path))
        if module.split(".")[0] == "handful" and wrong(ours(path), part(module))
    ]
    assert not bad, "; ".join(bad)


def test_the_rule_is_able_to_fail():
    assert wrong("adapters", "packs")
    assert wrong("contracts", "data")
    assert wrong("errors", "contracts")
    assert not wrong("cli", "pipeline")
    assert not wrong("packs", "plugins")


def test_wings_reach_other_wings_through_their_front_door():
    # handful.data, not handful.data._rows: what has an underscore is one folder's own business
    bad = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in FILES
        for module, line in imports(path)
        if module.startswith("handful.")
        and any(piece.startswith("_") for piece in module.split(".")[2:])
        and part(module) != ours(path)
    ]
    assert not bad, bad


@pytest.mark.parametrize(
    "name", ["handful", "handful.errors", "handful.plugins", "handful.contracts"]
)
def test_no_heavy_import(name):
    heavy = ["torch", "transformers", "sklearn", "scipy", "matplotlib", "PIL", "typer"]
    code = f"import sys, {name}; print(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_metrics_need_no_torch():
    code = "import sys, handful.metrics; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_forbidden():
    """No print outside the command line, no assert on input, no device by hand."""
    bad = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if (
                isinstance(node, ast.Assert)
                or called.endswith(".cuda")
                or (called == "print" and ours(path) != "cli")
            ):
                bad.append(f"{path.relative_to(ROOT)}:{node.lineno} {called or 'assert'}")
    assert not bad, bad
