"""What `pack.json` of format 1 must hold, key by key.

More keys may stand there at any level; additions of later versions are not checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from handful.contracts import class_names
from handful.errors import InputError, PackError

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_METHOD = re.compile(r"[a-z][a-z0-9_]{0,99}")  # becomes a file name when it is looked up

# a mapping holds at least these keys, a list holds one kind, a tuple gives the choice
_KEYS: dict[str, Any] = {
    "handful": str,
    "created": str,
    "license": str,
    "method": str,
    "params": dict,
    "classes": [str],
    "templates": [str],
    "scale": (int, float),
    "encoder": {"name": str, "fingerprint": str, "dim": int, "precision": str},
    "support": {"images": [str]},
    "training": dict,
    "evaluation": (dict, type(None)),
    "tensors": dict,
    "files": dict,
}


_MAY = {  # and if these are there, this is what they hold
    "task": str,
    "tuner": [
        {
            "name": str,
            "tuner": str,
            "params": dict,
            "classes": [str],
            "base": str,
            "parameters": int,
            "bytes": int,
            "share": (int, float),
        }
    ],
}


KEYS = frozenset({"format", "digest", "task", *_KEYS})  # what a pack of this format states
_WRITTEN = ("tensors", "files", "digest")  # derived from the rest each time a pack is written


def without_derived(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without what writing derives from the rest: that of a changed skill is another."""
    return {key: value for key, value in manifest.items() if key not in _WRITTEN}


def check(manifest: Mapping[str, Any], path: Path) -> None:
    """Refuse a manifest with a key missing, of a wrong type or of an impossible value.

    Raises:
        PackError: naming the file, the key, and what was expected and found.
    """
    _check_kind(manifest, _KEYS, path, "")
    for key in _MAY.keys() & manifest.keys():
        _check_kind(manifest[key], _MAY[key], path, key)
    for key in ("method", "task"):
        name = manifest.get(key, "classify")
        if not _METHOD.fullmatch(name):
            raise PackError(f"{path}: {key!r}: {name!r} cannot be a {key}'s name")
    _check_classes(manifest["classes"], path)
    if not (manifest["scale"] > 0 and manifest["encoder"]["dim"] > 0):
        raise PackError(f"{path}: 'scale' and 'encoder.dim' must be greater than zero")
    for name, facts in manifest["files"].items():
        if not _FILE.fullmatch(name) or name == path.name:
            raise PackError(f"{path}: 'files': {name!r} cannot be a file of a pack")
        _check_kind(facts, {"sha256": str, "size": int}, path, f"files.{name}")
        if facts["size"] < 0:
            raise PackError(f"{path}: 'files.{name}.size': is below zero")
    for name, facts in manifest["tensors"].items():
        _check_kind(facts, {"dtype": str, "shape": [int]}, path, f"tensors.{name}")


def _check_classes(classes: list[str], path: Path) -> None:
    try:
        class_names(classes)
        "".join(classes).encode()  # half a surrogate pair would break the first print
    except (InputError, UnicodeEncodeError) as error:
        raise PackError(f"{path}: 'classes': {error}") from error
    if len(classes) < 2:
        raise PackError(f"{path}: 'classes': expected at least two, got {len(classes)}")


def _check_kind(value: Any, kind: Any, path: Path, where: str) -> None:
    if isinstance(kind, dict):
        _check_kind(value, dict, path, where)
        for key, inner in kind.items():
            inside = f"{where}.{key}" if where else key
            if key not in value:
                raise PackError(f"{path}: {inside!r} is missing")
            _check_kind(value[key], inner, path, inside)
    elif isinstance(kind, list):
        _check_kind(value, list, path, where)
        for item in value:
            _check_kind(item, kind[0], path, where)
    else:
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if type(value) not in kinds:  # exact: True is no int here
            names = " or ".join(k.__name__ for k in kinds)
            raise PackError(f"{path}: {where!r}: expected {names}, got {type(value).__name__}")
