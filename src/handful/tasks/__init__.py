"""What is asked of a skill, one task a file; `handful.plugins.names("tasks")` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handful import plugins
from handful.data import Source
from handful.errors import InputError
from handful.tasks._base import Table, Task

__all__ = ["DEFAULT", "Source", "Table", "Task", "choose", "get", "of_manifest"]

DEFAULT = "classify"


def get(name: str) -> Task:
    """The task that the file `tasks/name.py` defines.

    Raises:
        UnknownNameError: no such task; says which there are.
    """
    task: Task = plugins.get("tasks", name)()
    return task


def name_of(task: Task) -> str:
    """The name by which `get` finds a task: its file's.

    Raises:
        InputError: no plug-in, so no skill could name it.
    """
    name = plugins.name_of("tasks", type(task))
    if name is None:
        raise InputError(f"{type(task).__name__} is no plug-in; put it into a file in 'tasks'")
    return name


def choose(name: str | None, source: Source) -> Task:
    """The task that was named, else the one that the data show by themselves, else `classify`."""
    if name is not None:
        return get(name)
    others = (get(other) for other in plugins.names("tasks") if other != DEFAULT)
    return next((task for task in others if task.suits(source)), get(DEFAULT))


def of_manifest(manifest: Mapping[str, Any]) -> str:
    """The name of the task that a skill answers, by its `pack.json`.

    Skills made before tasks had names state several labels an image by the key `multi_label`.
    """
    named = manifest.get("task")
    if named is not None:
        return str(named)
    return "multi_label" if manifest.get("multi_label") else DEFAULT
