"""Images that failed, as lines: a reason that several share is told once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handful.features import Failure

_MOST_REASONS = 20  # more would hide the rest of the answer
_MOST_NAMES = 3


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """`skipped a.jpg: is empty`, or `skipped 500 (a.dcm, b.dcm, c.dcm, ...): reason`."""
    alike: dict[str, list[Failure]] = {}
    for failure in failures:
        alike.setdefault(failure.reason.removeprefix(f"{failure.name}: "), []).append(failure)
    lines = []
    for reason, some in list(alike.items())[:_MOST_REASONS]:
        if len(some) == 1:
            lines.append(f"skipped {some[0].reason}")
            continue
        names = ", ".join(each.name for each in some[:_MOST_NAMES])
        more = ", ..." * (len(some) > _MOST_NAMES)
        lines.append(f"skipped {len(some)} ({names}{more}): {reason}")
    left = sum(len(some) for some in list(alike.values())[_MOST_REASONS:])
    return [*lines, f"skipped {left} more"] if left else lines
