"""Shares between 0 and 1 on the command line, refused in words that say what was meant."""

from __future__ import annotations

import typer


def read_share(text: str | float) -> float:
    """`0.05` to a number.

    Raises:
        typer.BadParameter: `5%`, `5` and what is no number, with what to say instead.
    """
    plain = str(text).strip().removesuffix("%").strip()
    try:
        value = float(plain.replace(",", "."))
    except ValueError:
        raise typer.BadParameter(f"{text}: expected a share from 0 to 1, such as 0.05") from None
    if "%" not in str(text) and "," not in str(text) and 0 < value < 1:
        return value
    meant = value / 100 if "%" in str(text) or value >= 1 else value
    cure = f"; for {100 * meant:g} % say {meant:g}" if 0 < meant < 1 else ", such as 0.05"
    raise typer.BadParameter(f"{text}: expected a share from 0 to 1{cure}")
