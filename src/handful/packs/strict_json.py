"""JSON and nothing else: what a manifest may hold, in both directions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from handful.errors import InputError, PackError


def parse(raw: bytes, path: Path) -> dict[str, Any]:
    """A JSON object and no extension of JSON (NaN, Infinity), no key twice.

    Raises:
        PackError: naming the file.
    """
    try:
        value = json.loads(raw, parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, endless digits or nesting
        raise PackError(
            f"{path}: is not valid JSON ({error}); the pack is damaged, copy or make it again"
        ) from error
    if not isinstance(value, dict):
        raise PackError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def plain(value: Any, what: str) -> Any:
    """A copy that is JSON and nothing else: numpy numbers become numbers, tuples lists.

    Raises:
        InputError: NaN, infinity, keys that are not text, or any other object; names the key.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist(), what)
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise InputError(f"{what}: is {value}, which JSON cannot hold")
        return value
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise InputError(f"{what}: expected text as keys, got {odd[0]!r}")
        return {key: plain(item, f"{what}: {key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, what) for item in value]
    raise InputError(
        f"{what}: expected numbers, text, lists and mappings of them, got {type(value).__name__}"
    )
