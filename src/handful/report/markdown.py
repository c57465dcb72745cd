"""Tables and facts as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MOST = 8  # items of a list


def markdown_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], rule: str = "---"
) -> list[str]:
    r"""Lines of a table.

    Args:
        headers: one a column.
        rows: cells, as many as headers.
        rule: below every header but the first: `---`, or `---:` for numbers set right.

    >>> markdown_table(["", "a|b"], [["x", "1"]])
    ['| | a\\|b |', '|---|---|', '| x | 1 |']
    """
    head = "|" + "".join(f" {_escape(header)} |" if header else " |" for header in headers)
    body = [f"| {' | '.join(map(_escape, cells))} |" for cells in rows]
    return [head, "|---" + f"|{rule}" * (len(headers) - 1) + "|", *body]


def fact_lines(facts: Mapping[str, Any]) -> list[str]:
    """A line `name: value.` for every fact that is not empty."""
    texts = {name: plain(value) for name, value in facts.items()}
    return [f"{name}: {text.removesuffix('.')}.  " for name, text in texts.items() if text]


def plain(value: Any) -> str:
    """A fact in words: the first items of a list, counts as `3 .heic`, others as `name: value`.

    >>> plain({".heic": 3, "hidden": 1}), plain({"Tip": "alpha=2"}), plain(["a", "b"])
    ('3 .heic, 1 hidden', 'Tip: alpha=2', 'a, b')
    """
    if isinstance(value, Mapping):
        if all(isinstance(count, int) for count in value.values()):
            return ", ".join(f"{count} {what}" for what, count in value.items())
        return "; ".join(f"{what}: {how}" for what, how in value.items())
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:_MOST]))
        return shown + (f" and {len(value) - _MOST} more" if len(value) > _MOST else "")
    return str(value)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
