"""One thing varied, everything else as it is: an argument, the views, or the templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from handful import plugins
from handful.adapters import create_adapter
from handful.errors import InputError
from handful.features import Progress
from handful.protocols import sources
from handful.protocols.encode import Eye, Need, Source
from handful.protocols.runner import Arm, arms_of
from handful.protocols.task import Lesson, Task

# What the field varies, on which method, over which values.
VARIED: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    "ratio": ("clip_adapter", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    "reduction": ("clip_adapter", (1, 2, 4, 8, 16)),
    "branch": ("clip_adapter", ("image", "text", "both")),
    "alpha": ("tip", (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)),
    "beta": ("tip", (1.0, 2.5, 5.5, 10.0, 20.0)),
    "views": ("tip", (1, 2, 5, 10)),
    "templates": ("tip", ("photo", "imagenet")),
}
_ENCODED = ("views", "templates")  # these change the features, not the method


@dataclass(frozen=True, eq=False)
class Ablation:
    """What is varied, over what, on which methods."""

    vary: str
    values: tuple[Any, ...]
    methods: tuple[str, ...]

    @classmethod
    def of(
        cls, vary: str, values: Sequence[Any] | None = None, methods: Sequence[str] | None = None
    ) -> Ablation:
        """With the field's method and values where none are given.

        Raises:
            InputError: something we have no values or no method for; a value given twice.
        """
        usual = VARIED.get(vary)
        if usual is None and not (values and methods):
            raise InputError(
                f"to vary {vary!r}, say of which method and over which values "
                f"(--methods, --value); known by themselves: {', '.join(VARIED)}"
            )
        method, known = usual or ("", ())
        chosen = tuple(values or known)
        twice = [v for i, v in enumerate(chosen) if v in chosen[:i]]
        if twice:
            raise InputError(f"the value {twice[0]!r} of {vary} is given twice")
        if vary == "views" and any(type(v) is not int or v < 1 for v in chosen):
            raise InputError(f"expected views as whole numbers from 1, got {list(chosen)}")
        return cls(vary, chosen, tuple(methods or (method,)))

    def check(self, opened: Sequence[Source | Task]) -> None:
        """Refuse early what could not be varied.

        Raises:
            InputError: features cannot be encoded anew; a method lacks the argument.
        """
        if self.vary in _ENCODED:
            fixed = [s.name for s in opened if isinstance(s, Task)]
            if fixed:
                raise InputError(
                    f"{self.vary} can be varied only where images are encoded anew; "
                    f"{fixed[0]} holds features"
                )
            return
        for method in self.methods:
            create_adapter(method, 0, {self.vary: self.values[0]})


def arms(
    ablation: Ablation,
    opened: Sequence[Source | Task],
    tasks: Sequence[Task],
    needs: Sequence[Need],
    eye: Eye,
    lessons: Callable[[Sequence[Task]], list[Lesson]],
    encoding: Progress | None = None,
) -> list[Arm]:
    """Zero-shot, then each method at each value, all on the same draws."""
    if ablation.vary not in _ENCODED:
        plain = lessons(tasks)
        result = arms_of([], plain)
        for method in ablation.methods:
            usual = create_adapter(method, 0).get_params()[ablation.vary]
            for value in ablation.values:
                mark = " (default)" if value == usual else ""
                label = f"{_title(method)}, {ablation.vary} {value}{mark}"
                result.append(Arm(label, method, plain, {ablation.vary: value}))
        return result
    result = []
    for value in ablation.values:
        of_value = lessons(_encoded(ablation.vary, value, opened, needs, eye, encoding))
        label = " + ".join(value) if isinstance(value, list | tuple) else value
        methods = ablation.methods
        if ablation.vary == "templates" or not result:  # views do not touch zero-shot
            methods = ("zero_shot", *methods)
        for method in dict.fromkeys(methods):
            told = "" if method == "zero_shot" and ablation.vary == "views" else f", {label}"
            told = told.replace(", ", f", {ablation.vary} ", 1)
            result.append(Arm(_title(method) + told, method, of_value))
    return sorted(result, key=lambda arm: arm.method != "zero_shot")


def _encoded(
    vary: str,
    value: Any,
    opened: Sequence[Source | Task],
    needs: Sequence[Need],
    eye: Eye,
    encoding: Progress | None,
) -> list[Task]:
    if vary == "templates":
        chosen = [value] if isinstance(value, str) else list(value)
        eye = replace(eye, templates=chosen)
    else:
        needs = [replace(need, views=value) for need in needs]
    pairs = zip(opened, needs, strict=True)
    return [sources.load(source, eye, need, encoding).task for source, need in pairs]


def _title(method: str) -> str:
    return str(plugins.get("adapters", method).title)
