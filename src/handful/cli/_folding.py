"""Long lines on a terminal."""

from __future__ import annotations

import shutil
import textwrap


def fold(message: str) -> str:
    """Lines longer than the terminal is wide, broken between words; a word is never broken."""
    width = max(shutil.get_terminal_size().columns, 20)
    return "\n".join(_fold_line(line, width) for line in message.split("\n"))


def _fold_line(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    return textwrap.fill(
        line, width, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
