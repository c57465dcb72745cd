"""Ablations: one thing varied, everything else as it is (an argument, views, templates)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from handful.adapters import create_adapter
from handful.errors import InputError
from handful.protocols import sources
from handful.protocols.encoding import Encoding, ImageSource, SupportDraws
from handful.protocols.episodes import Episode
from handful.protocols.methods import title
from handful.protocols.runner import Configuration, configurations_of
from handful.protocols.task import Task

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

    def check(self, opened: Sequence[ImageSource | Task]) -> None:
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


def configurations(
    ablation: Ablation,
    opened: Sequence[ImageSource | Task],
    tasks: Sequence[Task],
    needed: Sequence[SupportDraws],
    encoding: Encoding,
    episodes: Callable[[Sequence[Task]], list[Episode]],
) -> list[Configuration]:
    """Zero-shot, then each method at each value, all on the same draws.

    Args:
        ablation: what is varied.
        opened: the data sets before they are encoded, one for each of `tasks` and `needed`.
        tasks: the same, encoded.
        needed: the support sets that are drawn from each.
        encoding: for features that have to be made anew.
        episodes: of tasks.
    """
    vary, methods = ablation.vary, ablation.methods
    if vary not in _ENCODED:
        plain = episodes(tasks)
        result = configurations_of([], plain)
        for method in methods:
            default = create_adapter(method, 0).get_params()[vary]
            for value in ablation.values:
                mark = " (default)" if value == default else ""
                label = f"{title(method)}, {vary} {value}{mark}"
                result.append(Configuration(label, method, plain, {vary: value}))
        return result
    result = []
    for value in ablation.values:
        of_value = episodes(_encoded(vary, value, opened, needed, encoding))
        label = f"{vary} {' + '.join(value) if isinstance(value, list | tuple) else value}"
        if vary == "templates":
            result.append(Configuration(f"{title('zero_shot')}, {label}", "zero_shot", of_value))
        elif not result:  # views do not touch zero-shot: once is enough
            result.append(Configuration(title("zero_shot"), "zero_shot", of_value))
        result += [
            Configuration(f"{title(method)}, {label}", method, of_value)
            for method in dict.fromkeys(methods)
            if method != "zero_shot"
        ]
    return sorted(result, key=lambda c: c.method != "zero_shot")


def _encoded(
    vary: str,
    value: Any,
    opened: Sequence[ImageSource | Task],
    needed: Sequence[SupportDraws],
    encoding: Encoding,
) -> list[Task]:
    if vary == "templates":
        templates = [value] if isinstance(value, str) else list(value)
        encoding = replace(encoding, model=encoding.encoder, templates=templates)
    else:
        needed = [replace(draws, views=value) for draws in needed]
    pairs = zip(opened, needed, strict=True)
    return [sources.load(source, encoding, draws) for source, draws in pairs]
