"""The examples in the docstrings run, and dotted names of the package exist wherever written."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src"
DOTTED = re.compile(r"\bhandful(?:\.[A-Za-z_]\w*)+")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_there_are_some():
    assert "handful.contracts" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0, "see the captured output"


def stated_names() -> dict[str, str]:
    """Dotted names in documents, docstrings, comments and strings, each with one of its places."""
    top = ROOT.parent
    texts = [top / "README.md", top / "CONTRIBUTING.md"]  # a changelog may name what is no more
    for folder in ("docs", "bench", "examples", "scripts", "src", "tests"):
        texts += [p for p in (top / folder).rglob("*") if p.suffix in (".md", ".py")]
    return {
        name: str(path.relative_to(top))
        for path in texts
        for name in DOTTED.findall(path.read_text(encoding="utf-8"))
    }


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute or dataclass field below one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            here = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            fields = getattr(here, "__dataclass_fields__", {})
            if not hasattr(here, attribute):  # a field without a default is no attribute
                return attribute in fields
            here = getattr(here, attribute)
        return True
    return False


def test_dotted_names_exist():
    names = stated_names()
    assert len(names) > 100
    missing = {name: place for name, place in names.items() if not exists(name)}
    assert not missing
    assert not exists("handful.data." + "no_such_name")
    assert not exists("handful." + "no_such_room.load")
