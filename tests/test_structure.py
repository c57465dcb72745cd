"""The house holds: imports point down only, and importing the package costs nothing."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "handful"
# What each room may import besides its own files; stated once, and nowhere a way back up.
ALLOWED = {
    "_version": (),
    "errors": (),
    "contracts": ("errors",),
    "plugins": ("errors",),
    "metrics": ("errors",),
    "selection": ("errors",),
    "data": ("errors", "contracts", "plugins"),
    "encoders": ("errors", "contracts", "plugins"),
    "features": ("errors", "contracts", "data"),
    "adapters": ("errors", "contracts", "plugins", "selection", "features"),
    "tuners": ("errors", "contracts", "plugins", "selection", "data", "encoders", "features"),
    "tasks": ("errors", "contracts", "plugins", "metrics", "selection", "data", "adapters"),
    "report": ("errors", "contracts", "plugins", "metrics", "data"),
    "packs": ("_version", "errors", "contracts", "plugins", "selection", "tasks", "report"),
    "skills": (
        *("_version", "errors", "contracts", "plugins", "metrics", "selection", "data"),
        *("encoders", "features", "adapters", "tuners", "tasks", "report", "packs"),
    ),
    "library": (
        *("_version", "errors", "contracts", "selection", "data", "encoders", "features"),
        *("packs", "skills"),
    ),
    "protocols": (
        *("_version", "errors", "contracts", "plugins", "metrics", "selection", "data", "encoders"),
        *("features", "adapters", "report", "packs", "skills", "library"),
    ),
    "cli": (
        *("_version", "errors", "contracts", "plugins", "data", "encoders", "features", "tuners"),
        *("metrics", "tasks", "report", "packs", "skills", "library", "protocols"),
    ),
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
    return not (source == target or target == "" or target in ALLOWED[source])


def test_every_room_says_what_it_may_import():
    unknown = {ours(f) for f in FILES} - ALLOWED.keys() - {"__init__", "__main__"}
    assert not unknown, f"say what these may import in tests/test_structure.py: {sorted(unknown)}"


def test_no_room_may_import_one_above_it():
    order = list(ALLOWED)
    for room, allowed in ALLOWED.items():
        assert set(allowed) <= set(order[: order.index(room)]), room


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


def test_the_page_states_the_same_rooms_and_imports():
    page = (ROOT.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Rooms")[2].partition("## Where")[0]
    stated = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0].startswith("`"):
            stated[cells[0].strip("`")] = tuple(cells[2].split(", ")) if cells[2] else ()
    assert list(stated) == list(ALLOWED)
    assert {room: set(found) for room, found in stated.items()} == {
        room: set(allowed) for room, allowed in ALLOWED.items()
    }


def modules() -> dict[str, Path]:
    names = (f.relative_to(ROOT.parent).with_suffix("").parts for f in FILES)
    dotted = (".".join(n[:-1] if n[-1] == "__init__" else n) for n in names)
    return dict(zip(dotted, FILES, strict=True))


def imported_files() -> dict[str, set[str]]:
    """File to files, by every import, also those for types alone and inside functions."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found[name] |= {inner if inner in known else node.module} & known.keys()
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names} & known.keys()
        found[name].discard(name)
    return found


def test_no_two_files_import_each_other_in_a_ring():
    graph = imported_files()
    # a ring is what is left once every file without imports inside what is left has gone
    left = set(graph)
    while gone := {name for name in left if not graph[name] & left}:
        left -= gone
    assert not left, sorted(left)


def test_the_package_has_few_doors():
    inside = [p for p in ROOT.iterdir() if p.suffix == ".py" and not p.name.startswith("__")]
    rooms = [p for p in ROOT.iterdir() if p.is_dir() and list(p.glob("*.py"))]
    assert len(inside) <= 4
    assert len(rooms) <= 15


def test_long_files_and_functions_give_their_reason():
    bad = []
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        if source.count("\n") > 250 and not gives_a_reason(ast.get_docstring(tree)):
            bad.append(str(path.relative_to(ROOT)))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                long = (node.end_lineno or 0) - node.lineno >= 60
                # the docstring of a command is its help, so there a comment gives the reason
                comments = re.findall("# .*", ast.get_source_segment(source, node) or "")
                if long and not gives_a_reason(
                    " ".join([ast.get_docstring(node) or "", *comments])
                ):
                    bad.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not bad, bad


def gives_a_reason(text: str | None) -> bool:
    """In the first lines, the text says that it is long, and why."""
    first = " ".join((text or "").split()[:120])
    return bool(re.search(r"\blong(er)?\b|over (60|250) lines|of its \d+ lines", first, re.I))


def test_the_rule_is_able_to_fail():
    assert wrong("adapters", "packs")
    assert wrong("contracts", "data")
    assert wrong("errors", "contracts")
    assert not wrong("cli", "skills")
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
