"""Facts about a method for the tables: its title, and what its answers depend on."""

from __future__ import annotations

from handful import plugins

SEMANTICS = {
    "inductive": "",
    "batch": "saw all test images at once (without labels): not comparable with the methods that "
    "see one image at a time",
    "stream": "saw the test images in order (without labels) and learned on the way: not "
    "comparable with the methods that see one image at a time",
}


def title(method: str) -> str:
    """The name a method has in tables, such as `Tip-Adapter-F`."""
    return str(plugins.get("adapters", method).title)


def semantics(method: str) -> str:
    """`inductive`, `batch` or `stream`: what an answer of the method depends on."""
    return str(getattr(plugins.get("adapters", method), "semantics", "inductive"))


def inductive_methods() -> list[str]:
    """Names of the methods whose numbers may stand side by side."""
    return [name for name in plugins.names("adapters") if semantics(name) == "inductive"]
