"""`--task` and `--multi-label`, which `fit` and `evaluate --cv` take."""

from __future__ import annotations

from handful.errors import InputError

MULTI_LABEL = "multi_label"


def read_task(task: str | None, method: str | None, *, multi_label: bool) -> str | None:
    """`--task`, or the one that `--multi-label` stands for.

    Raises:
        InputError: options that contradict each other.
    """
    if multi_label and task not in (None, MULTI_LABEL):
        raise InputError(f"--task {task} and --multi-label contradict each other; leave one out")
    if multi_label and method not in (None, MULTI_LABEL):
        raise InputError(
            f"--method {method} answers with one class an image; --multi-label has a method of "
            "its own, leave one of the two out"
        )
    return MULTI_LABEL if multi_label else task
