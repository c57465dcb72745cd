"""Format 1 of a skill pack: the keys of `pack.json`, and its digests of the other files.

JSON and safetensors only: reading a pack runs none of its bytes. `docs/packs.md` is the same in
prose. Keys and tensors unknown to this version are kept and otherwise ignored, so that
later versions can add some without a new format number. Where the files lie, in a folder, in one
`.skill` file or elsewhere, is decided in `handful.packs.storage`.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from handful.errors import InputError, PackError
from handful.packs import schema
from handful.packs.storage import FileSource, open_source
from handful.packs.strict_json import (
    parse,  # also by this name
    plain,
)

FORMAT = 1
MANIFEST, WEIGHTS, CARD = "pack.json", "weights.safetensors", "README.md"
LIBRARY = "library.json"  # stands in a folder of skills
CONFUSION = "confusion.png"  # beside the card, where the skill was measured
NAMES = (MANIFEST, WEIGHTS, CARD, CONFUSION)

Tensors = Mapping[str, NDArray[Any]]
Statements = tuple[
    dict[str, Any], dict[str, NDArray[Any]]
]  # entries of a manifest, and tensors beside them

_MANIFEST_BYTES = 64 << 20  # 16 digests a class for 40 000 classes; JSON beyond that is an attack
_LOOKED_AT = 1000  # entries of a folder without a manifest, in search of an image
_BLANK = "0" * 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DTYPES = frozenset({"float64", "float32", "float16", "int64", "int32", "uint8", "bool"})


def to_files(
    manifest: Mapping[str, Any],
    tensors: Tensors,
    card: str,
    figures: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The files of a pack, the manifest last; the same skill always gives the same bytes.

    Args:
        manifest: the content of `pack.json`.
        tensors: what `weights.safetensors` is to hold.
        card: the text of `README.md`.
        figures: pictures that the card shows, name to content.

    Raises:
        InputError: a value that JSON or safetensors cannot hold.
    """
    arrays = {name: _storable(name, tensors[name]) for name in sorted(tensors)}
    files = {WEIGHTS: safetensors.numpy.save(arrays), CARD: _utf8(card, "the card")}
    files |= figures or {}
    whole = schema.without_derived(manifest)
    whole["tensors"] = {n: {"dtype": str(a.dtype), "shape": [*a.shape]} for n, a in arrays.items()}
    whole["files"] = {
        n: {"sha256": hashlib.sha256(b).hexdigest(), "size": len(b)} for n, b in files.items()
    }
    whole["digest"] = _BLANK
    text = json.dumps(plain(whole, "the manifest"), indent=1, ensure_ascii=False)
    blank = _utf8(text + "\n", "the manifest")
    head, _, tail = blank.rpartition(_BLANK.encode())  # the last one: `digest` stands last
    return {**files, MANIFEST: head + hashlib.sha256(blank).hexdigest().encode() + tail}


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read and verify a pack, a folder or a `.skill` file: its manifest and its tensors.

    Raises:
        PackError: anything that is missing, changed, too new, of a wrong type, or not a pack.
    """
    files = open_source(path, NAMES)
    manifest, _ = manifest_of(files)
    return manifest, tensors_of(manifest, contents_of(files, manifest), files)


def manifest_of(files: FileSource) -> tuple[dict[str, Any], bytes]:
    """The manifest, verified, and its bytes.

    Raises:
        PackError: missing, changed, too new, or not what a manifest is.
    """
    path = files.where / MANIFEST
    if files.names() is None and (files.where / LIBRARY).is_file() and not path.exists():
        raise PackError(
            f"{files.where}: is a library of skills; name one of them: {files.where}/NAME "
            f"(handful library list {files.where})"
        )
    if files.names() is None and not (path.exists() or (files.where / WEIGHTS).exists()):
        _refuse_photos(files.where)
    raw = files.read(MANIFEST, _MANIFEST_BYTES)
    manifest = parse(raw, path)
    _check_format(manifest, path)
    _check_digest(manifest, raw, path)
    schema.check(manifest, path)
    for name in (WEIGHTS, CARD):
        if name not in manifest["files"]:
            raise PackError(f"{path}: 'files': {name} is missing")
    return manifest, raw


def _refuse_photos(folder: Path) -> None:
    """Say so where a folder of photos was named instead of a skill."""
    held = {entry.name for entry in islice(folder.rglob("*"), _LOOKED_AT)}
    if MANIFEST in held:  # a folder of skills, whose figures are images too
        return
    kinds = (mimetypes.guess_type(name)[0] or "" for name in held - {*NAMES})
    if any(kind.startswith("image/") for kind in kinds):
        raise PackError(
            f"{folder}: is a folder of photos (it holds images and no {MANIFEST}), not a skill; "
            "name a skill's folder or .skill file here, the photos after it"
        )


def contents_of(files: FileSource, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Every file that a verified manifest lists, each with the digest and size it states.

    Raises:
        PackError: missing, changed, cut short; or more than those where nothing more may be.
    """
    more = sorted(set(files.names() or ()) - {MANIFEST, *manifest["files"]})
    if more:
        raise PackError(
            f"{files.where}: holds {more[0]!r}, which {MANIFEST} does not list; a skill file holds "
            "its own files alone. Ask whoever made it for another, made by handful push"
        )
    return _read_files(files, manifest["files"])


def tensors_of(
    manifest: Mapping[str, Any], contents: Mapping[str, bytes], files: FileSource
) -> dict[str, NDArray[Any]]:
    """The tensors, each of the type and shape that the manifest states.

    Raises:
        PackError: others, or numbers that are not finite.
    """
    return _read_tensors(contents[WEIGHTS], manifest["tensors"], files.where / WEIGHTS)


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


def _check_format(manifest: Mapping[str, Any], path: Path) -> None:
    version = manifest.get("format")
    if type(version) is not int or version < 1:
        raise PackError(f"{path}: expected a format number under 'format', got {version!r}")
    if version > FORMAT:
        raise PackError(
            f"{path}: made by a newer Handful (format {version}, this one reads up to {FORMAT}); "
            "use a newer Handful"
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


def _read_files(files: FileSource, listed: Mapping[str, Any]) -> dict[str, bytes]:
    contents = {}
    for name, facts in listed.items():
        path = files.where / name
        content = files.read(name, facts["size"])
        if len(content) < facts["size"]:
            raise PackError(
                f"{path}: is cut short ({len(content)} of {facts['size']} bytes); copy or "
                "make the skill again"
            )
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            raise PackError(_changed(path))
        contents[name] = content
    return contents


def _read_tensors(content: bytes, listed: Mapping[str, Any], path: Path) -> dict[str, NDArray[Any]]:
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise PackError(f"{path}: is not a valid safetensors file ({error})") from error
    found = {n: {"dtype": str(a.dtype), "shape": [*a.shape]} for n, a in tensors.items()}
    for name in sorted(found.keys() | listed.keys()):
        expected, got = _describe(listed.get(name)), _describe(found.get(name))
        if expected != got:
            raise PackError(f"{path}: tensor {name}: expected {expected}, got {got}")
        if found[name]["dtype"] not in _DTYPES:
            raise PackError(f"{path}: tensor {name}: unexpected type {found[name]['dtype']}")
        if not np.isfinite(tensors[name]).all():
            raise PackError(f"{path}: tensor {name}: contains NaN or infinity")
    return tensors


def _describe(facts: Mapping[str, Any] | None) -> str:
    return f"{facts['dtype']} {facts['shape']}" if facts else "none"


def mismatched(ours: str, theirs: str) -> list[str]:
    """Parts of two fingerprints (`key:value key:value`) that differ, each with both values."""
    first, second = (dict(p.partition(":")[::2] for p in f.split()) for f in (ours, theirs))
    return [
        f"{key} differs (skill {first.get(key, 'none')}, encoder {second.get(key, 'none')})"
        for key in {**first, **second}
        if first.get(key) != second.get(key)
    ]
