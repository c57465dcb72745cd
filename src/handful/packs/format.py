"""Format 1 of a skill pack: what stands in `pack.json` and how it vouches for the other files.

JSON and safetensors only: reading a pack runs none of its bytes. `docs/packs.md` is the same in
prose. Keys and tensors that this version does not know are kept and otherwise ignored, so that
later versions can add some without a new format number.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from handful.errors import InputError, PackError
from handful.packs import disk, schema

FORMAT = 1
MANIFEST, WEIGHTS, CARD = "pack.json", "weights.safetensors", "README.md"

Tensors = Mapping[str, NDArray[Any]]

_WRITTEN = ("tensors", "files", "digest")  # derived from the rest each time a pack is written
_MANIFEST_BYTES = 64 << 20  # 16 digests a class for 40 000 classes; JSON beyond that is an attack
_BLANK = "0" * 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DTYPES = frozenset({"float64", "float32", "float16", "int64", "int32", "uint8", "bool"})


def to_files(manifest: Mapping[str, Any], tensors: Tensors, card: str) -> dict[str, bytes]:
    """The files of a pack, the manifest last; the same skill always gives the same bytes.

    Raises:
        InputError: a value that JSON or safetensors cannot hold.
    """
    arrays = {name: _storable(name, tensors[name]) for name in sorted(tensors)}
    files = {WEIGHTS: safetensors.numpy.save(arrays), CARD: _utf8(card, "the card")}
    whole = {key: value for key, value in manifest.items() if key not in _WRITTEN}
    whole["tensors"] = {n: {"dtype": str(a.dtype), "shape": [*a.shape]} for n, a in arrays.items()}
    whole["files"] = {
        n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in files.items()
    }
    whole["digest"] = _BLANK
    text = json.dumps(plain(whole, "the manifest"), indent=1, ensure_ascii=False)
    blank = _utf8(text + "\n", "the manifest")
    head, _, tail = blank.rpartition(_BLANK.encode())  # the last one: `digest` stands last
    return {**files, MANIFEST: head + hashlib.sha256(blank).hexdigest().encode() + tail}


def read(folder: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read and verify a pack: its manifest and its tensors.

    Raises:
        PackError: anything that is missing, changed, too new, of a wrong type, or not a pack.
    """
    _check_folder(folder)
    path = folder / MANIFEST
    raw = disk.read_file(path, _MANIFEST_BYTES)
    manifest = _parse(raw, path)
    _check_format(manifest, path)
    _check_digest(manifest, raw, path)
    schema.check(manifest, path)
    for name in (WEIGHTS, CARD):
        if name not in manifest["files"]:
            raise PackError(f"{path}: 'files': {name} is missing")
    contents = _read_files(folder, manifest["files"], path)
    return manifest, _read_tensors(contents[WEIGHTS], manifest["tensors"], folder / WEIGHTS)


def plain(value: Any, what: str) -> Any:
    """A copy that is JSON and nothing else: numpy numbers become numbers, tuples lists.

    Raises:
        InputError: NaN, infinity, keys that are not text, or any other object; says where.
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


def _storable(name: str, values: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(values, order="C")
    if str(array.dtype) not in _DTYPES:
        raise InputError(f"tensor {name}: expected {', '.join(sorted(_DTYPES))}, got {array.dtype}")
    if not np.isfinite(array).all():
        raise InputError(f"tensor {name}: contains NaN or infinity; the skill was not fitted well")
    return array


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what}: {text[max(error.start - 20, 0) : error.end]!r} cannot be written as UTF-8; "
            "rename the class or the file that is called so"
        ) from error


def _check_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if disk.aside(folder).is_dir():
        raise PackError(
            f"{folder}: replacing it was interrupted; the former skill is whole, in "
            f"{disk.aside(folder)}. Rename it back, or save the new one again"
        )
    if folder.exists():
        inside = folder.name in (MANIFEST, WEIGHTS, CARD)
        hint = f"give its folder, {folder.parent}" if inside else "expected a skill's folder"
        raise PackError(f"{folder}: is a file; {hint}")
    raise PackError(f"{folder}: does not exist; expected the folder of a skill")


def _parse(raw: bytes, path: Path) -> dict[str, Any]:
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


def _check_format(manifest: Mapping[str, Any], path: Path) -> None:
    version = manifest.get("format")
    if type(version) is not int or version < 1:
        raise PackError(f"{path}: expected a format number under 'format', got {version!r}")
    if version > FORMAT:
        raise PackError(
            f"{path}: made by a newer Handful (format {version}, this one reads up to {FORMAT}); "
            "upgrade with: pip install --upgrade handful"
        )


def _check_digest(manifest: Mapping[str, Any], raw: bytes, path: Path) -> None:
    stated = manifest.get("digest")
    if not isinstance(stated, str) or not _SHA256.fullmatch(stated):
        raise PackError(f"{path}: expected 64 hexadecimal digits under 'digest', got {stated!r}")
    head, _, tail = raw.rpartition(stated.encode())
    if hashlib.sha256(head + _BLANK.encode() + tail).hexdigest() != stated:
        raise PackError(_changed(path))


def _changed(path: Path) -> str:
    return (
        f"{path}: was changed after the skill was saved (its digest differs); copy or make the "
        "skill again"
    )


def _read_files(folder: Path, listed: Mapping[str, Any], path: Path) -> dict[str, bytes]:
    contents = {}
    for name, facts in listed.items():
        if facts["size"] < 0:
            raise PackError(f"{path}: 'files.{name}': a size below zero")
        content = disk.read_file(folder / name, facts["size"])
        if len(content) < facts["size"]:
            raise PackError(
                f"{folder / name}: is cut short ({len(content)} of {facts['size']} bytes); copy or "
                "make the skill again"
            )
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise PackError(_changed(folder / name))
        contents[name] = content
    return contents


def _read_tensors(content: bytes, listed: Mapping[str, Any], path: Path) -> dict[str, NDArray[Any]]:
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise PackError(f"{path}: is not a valid safetensors file ({error})") from error
    found = {n: {"dtype": str(a.dtype), "shape": [*a.shape]} for n, a in tensors.items()}
    for name in sorted(found.keys() | listed.keys()):
        expected, got = _told(listed.get(name)), _told(found.get(name))
        if expected != got:
            raise PackError(f"{path}: tensor {name}: expected {expected}, got {got}")
        if found[name]["dtype"] not in _DTYPES:
            raise PackError(f"{path}: tensor {name}: unexpected type {found[name]['dtype']}")
        if not np.isfinite(tensors[name]).all():
            raise PackError(f"{path}: tensor {name}: contains NaN or infinity")
    return tensors


def _told(facts: Mapping[str, Any] | None) -> str:
    return f"{facts['dtype']} {facts['shape']}" if facts else "none"
