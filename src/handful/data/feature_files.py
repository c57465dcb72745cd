"""Files of features that are computed already, instead of images.

A file (`.safetensors` or `.npz`) holds `images` `[N, D]`, `labels` `[N]`, `prompts` `[C, P, D]` or
`text` `[C, D]`, and optionally `splits` `[N]`. Class names, the logit scale and other text
stand in a `meta.json` beside it, or in the file's own header. Reading runs none of its bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from handful.contracts import ClassText, at_home
from handful.data._files import file_in_errors, parse_json
from handful.data.feature_set import FeatureSet
from handful.errors import InputError, StorageError

SUFFIXES = (".safetensors", ".npz")
_PARTS = ("train", "val", "test")  # what numbers in `splits` mean where no names are given
_WANTED = ("images", "labels", "prompts", "texts", "text", "splits", "classes", "logit_scale")
_HEADER = "handful"
EXPECTED = (
    "expected arrays images [N, D], labels [N] and prompts [C, P, D] or text [C, D], and a "
    'meta.json with "classes" and "logit_scale"'
)


def feature_file(path: str | Path) -> FeatureSet:
    """Features from a `.safetensors` or `.npz` file, or a folder that holds one.

    Raises:
        InputError: naming the file and what is wrong: not such a file, arrays missing, shapes that
            disagree, NaN, labels outside the classes, no class names, no logit scale, pickled data.
    """
    source = _only_file(at_home(path))
    arrays, header = _npz(source) if source.suffix.lower() == ".npz" else _safetensors(source)
    beside = source.parent / "meta.json"
    meta = {**(_json(beside) if beside.is_file() else {}), **header}
    with file_in_errors(source):
        return _feature_set(source, arrays, meta)


def save_features(path: str | Path, features: FeatureSet) -> Path:
    """Write a file that `feature_file` reads; whole or not at all.

    Args:
        path: the `.safetensors` file to write, or a folder, which gets `features.safetensors`.
        features: what to write; its words go into the file's header.

    Raises:
        StorageError: the disk refused.
    """
    target = at_home(path)
    if target.suffix.lower() != ".safetensors":
        target = target / "features.safetensors"
    names = sorted(set(features.splits))
    code = {name: i for i, name in enumerate(names)}
    arrays: dict[str, NDArray[Any]] = {
        "images": features.values,
        "labels": features.labels,
        "prompts": features.text.embeddings,
        "splits": np.array([code[s] for s in features.splits], dtype=np.int64),
    }
    meta = {
        "name": features.name,
        "classes": features.text.classes,
        "logit_scale": features.text.scale,
        "split_names": names,
        "ids": features.ids,
        "encoder": features.encoder,
        "groups": features.groups,
        "notes": features.notes,
    }
    arrays = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    content = safetensors.numpy.save(arrays, {_HEADER: json.dumps(meta)})
    # written beside it, synced, then renamed: a reader sees the old file or the whole new one
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror})") from error
    return target


def _only_file(path: Path) -> Path:
    if path.is_dir():
        found = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES)
        if len(found) != 1:
            names = ", ".join(f.name for f in found) or "none"
            raise InputError(
                f"{path}: expected one .safetensors or .npz file in it, found {names}; "
                "name the file"
            )
        return found[0]
    if not path.is_file():
        raise InputError(f"{path}: is no file; {EXPECTED}")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: expected a .safetensors or .npz file")
    return path


def _safetensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys() if name in _WANTED}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: is not a safetensors file of float16, float32 or whole numbers ({error})"
        ) from error
    if _HEADER in header:
        return arrays, _object(path, header[_HEADER])
    return arrays, {key: _plain(value) for key, value in header.items()}


def _npz(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    try:
        with path.open("rb") as held, np.load(held, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: holds one array; {EXPECTED}")
            return {name: file[name] for name in file.files if name in _WANTED}, {}
    except MemoryError as error:
        raise InputError(f"{path}: claims arrays that do not fit into memory ({error})") from error
    except (ValueError, OSError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: is not an .npz file of plain arrays ({error}); pickled data can hold a "
            "program and is not read"
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        return _object(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error


def _object(path: Path, content: str) -> dict[str, Any]:
    found = parse_json(path, content)
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def _plain(value: str) -> Any:
    """A header's value: JSON where it is JSON, else the words themselves."""
    try:
        return json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return value


def _feature_set(
    source: Path, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]
) -> FeatureSet:
    missing = [name for name in ("images", "labels") if name not in arrays]
    if missing:
        raise InputError(f"has no {' and no '.join(missing)}; {EXPECTED}")
    splits = _splits(arrays.get("splits"), meta)
    folder = source.parent.resolve().name
    generic = source.stem == "features" or (source.parent / "meta.json").is_file()
    return FeatureSet(
        name=str(meta.get("name") or (folder if generic else source.stem)),
        values=arrays["images"],
        labels=arrays["labels"],
        text=_text(arrays, meta),
        splits=splits,
        ids=_strings(meta, "ids"),
        encoder=str(meta.get("encoder") or meta.get("fingerprint") or ""),
        groups=_strings(meta, "groups"),
        notes=_strings(meta, "notes"),
    )


def _text(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> ClassText:
    name = next((n for n in ("prompts", "texts", "text") if n in arrays), None)
    if name is None:
        raise InputError(f"has no text features; {EXPECTED}")
    values = arrays[name][:, None] if arrays[name].ndim == 2 else arrays[name]
    if not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"expected text features as fractions, got {values.dtype}")
    classes = _strings(meta, "classes") or tuple(
        map(str, arrays.get("classes", np.empty(0)).tolist())
    )
    if not classes:
        raise InputError(f"has no class names; {EXPECTED}")
    scale = meta.get("logit_scale", arrays.get("logit_scale"))
    try:
        number = float(np.asarray(scale, dtype=np.float64).reshape(()))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"expected one logit scale (exp(logit_scale) of the encoder, about 100 for CLIP), "
            f"got {scale!r:.80}"
        ) from error
    if np.isnan(number):  # what numpy makes of None
        raise InputError(f"has no logit scale; {EXPECTED}")
    return ClassText(values, classes, number)


def _strings(meta: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = meta.get(key) or ()
    if not isinstance(found, list | tuple) or not all(isinstance(w, str) for w in found):
        raise InputError(f'expected a list of texts as "{key}", got {found!r:.80}')
    return tuple(found)


def _splits(stored: NDArray[Any] | None, meta: Mapping[str, Any]) -> tuple[str, ...]:
    if stored is None:
        return _strings(meta, "splits")
    if stored.ndim != 1:
        raise InputError(f"expected splits [N], got {list(stored.shape)}")
    if stored.dtype.kind == "U":
        return tuple(map(str, stored.tolist()))
    names = _strings(meta, "split_names") or _PARTS
    if not np.issubdtype(stored.dtype, np.integer) or (
        stored.size and not -1 <= stored.min() <= stored.max() < len(names)
    ):
        raise InputError(f"expected splits from -1 (none) to {len(names) - 1}: {', '.join(names)}")
    return tuple(names[i] if i >= 0 else "" for i in stored.tolist())
