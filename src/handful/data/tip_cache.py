"""The cache folders that the official Tip-Adapter code and its relatives write.

`keys_16shots.pt` is `[D, NK]` (transposed), `values_16shots.pt` `[NK, C]` one-hot, `val_f.pt`,
`val_l.pt`, `test_f.pt`, `test_l.pt` rows and columns, all half precision, and in some relatives
`*weights*.pt` the text, `[D, C]`. Files are read as tensors only; a program in one is refused.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array, ClassText, at_home
from handful.data._files import file_in_errors, lines_of
from handful.data.feature_files import feature_file
from handful.data.feature_set import FeatureSet
from handful.errors import InputError

SCALE = 100.0  # the factor that these codes write out
_KEYS = re.compile(r"keys_(\d+)shots?\.pt")
_CALLED = re.compile(r"GLOBAL ([\w.]{1,100})")  # a pickle's callable, in torch's message
_UNIT = 0.02  # half precision, and averages of views that were not scaled again


def tip_cache(
    path: str | Path,
    *,
    shots: int | None = None,
    text: ClassText | None = None,
    classes: Sequence[str] | None = None,
    scale: float = SCALE,
) -> FeatureSet:
    """Features of a Tip-Adapter cache folder: the keys are `train`, beside `val` and `test`.

    Which side of a matrix is which follows from the shapes; where both sides are equally long, from
    which of them has unit length, else the published layout is assumed and `notes` states it.

    Args:
        path: the folder with `keys_*shots.pt`.
        shots: which of several; may be left out where there is one.
        text: class names and text features; needed where the folder holds no `*weights*.pt`.
        classes: C names; else those of `classes.txt`, one a line; else "class 0", "class 1", ...
        scale: exp(logit_scale) that goes with the folder's own text.

    Raises:
        InputError: naming the file and the reason: a file that holds more than a tensor, shapes
            that disagree, values that are not one-hot, no text.
    """
    folder = at_home(path)
    shots = _shots(folder, shots)
    keys_file, values_file = (folder / f"{n}_{shots}shots.pt" for n in ("keys", "values"))
    values = _one_hot(values_file, _tensor(values_file))
    keys, note = _feature_rows(keys_file, _tensor(keys_file), len(values), transposed=True)
    parts, notes = [("train", keys, values.argmax(axis=1))], [note]
    for split in ("val", "test"):
        features_file, labels_file = (folder / f"{split}_{n}.pt" for n in ("f", "l"))
        if features_file.is_file() or labels_file.is_file():
            rows, labels, note = _split(features_file, labels_file, keys.shape[1])
            parts.append((split, rows, labels))
            notes.append(note)
    if text is None:
        text, note = _own_text(folder, values.shape[1], keys.shape[1], classes, scale)
        notes.append(note)
    if len(text.classes) != values.shape[1]:
        raise InputError(
            f"{values_file}: has {values.shape[1]} classes, but the text has {len(text.classes)}"
        )
    with file_in_errors(folder):
        return FeatureSet(
            name=folder.resolve().name,
            values=np.concatenate([rows for _, rows, _ in parts]),
            labels=np.concatenate([labels for *_, labels in parts]),
            text=text,
            splits=tuple(split for split, rows, _ in parts for _ in range(len(rows))),
            notes=tuple(n for n in notes if n),
        )


def _split(
    features_file: Path, labels_file: Path, width: int
) -> tuple[Array, NDArray[np.int64], str]:
    """`[N, D]` features and `[N]` labels of a split, and what had to be assumed."""
    labels = _tensor(labels_file).reshape(-1)
    rows, note = _feature_rows(features_file, _tensor(features_file), len(labels), transposed=False)
    if rows.shape[1] != width:
        raise InputError(
            f"{features_file}: expected features of the keys' width {width}, got {rows.shape[1]}"
        )
    if not np.array_equal(labels, np.round(labels)):
        raise InputError(f"{labels_file}: expected whole numbers as labels")
    return rows, labels.astype(np.int64), note


def is_tip_cache(path: str | Path) -> bool:
    """Whether a folder holds `keys_*shots.pt`."""
    folder = at_home(path)
    return folder.is_dir() and bool(shot_counts(folder))


def load_features(path: str | Path, **options: Any) -> FeatureSet:
    """Features from a file, a folder with one, or a Tip-Adapter cache, whichever it is.

    Args:
        path: the file or folder.
        options: arguments of `tip_cache`; a feature file takes none.

    Raises:
        InputError: none of these, or what `feature_file` or `tip_cache` find wrong.
    """
    if is_tip_cache(path):
        return tip_cache(path, **options)
    given = sorted(name for name, value in options.items() if value is not None)
    if given:
        raise InputError(
            f"{path}: {', '.join(given)} can only be given with a Tip-Adapter cache folder, which "
            "holds keys_16shots.pt or the like"
        )
    return feature_file(path)


def shot_counts(folder: Path) -> list[int]:
    """The shot counts of the caches in a folder, ascending."""
    matches = [_KEYS.fullmatch(f.name) for f in folder.iterdir()]
    return sorted(int(m[1]) for m in matches if m)


def _shots(folder: Path, shots: int | None) -> int:
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; expected one that holds keys_16shots.pt")
    found = shot_counts(folder)
    listed = ", ".join(map(str, found)) or "none"
    if shots is None and len(found) == 1:
        return found[0]
    if shots is None and found:
        raise InputError(f"{folder}: holds caches of several shot counts ({listed}); choose one")
    if shots is None or shots not in found:
        wanted = "keys_<K>shots.pt" if shots is None else f"keys_{shots}shots.pt"
        raise InputError(f"{folder}: expected {wanted}; shot counts found: {listed}")
    return shots


def _tensor(path: Path) -> Array:
    """The one tensor of a `.pt` file, as an array; anything else in it is refused unread."""
    import torch

    try:
        with warnings.catch_warnings():  # about pickles of other programs, which are refused anyway
            warnings.simplefilter("ignore", UserWarning)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: does not exist; it belongs to the cache") from error
    except pickle.UnpicklingError as error:
        # torch's message advises loading the pickle unsafely; only the name in it is of use
        named = _CALLED.search(str(error))
        asks = f"it asks for {named[1]}; " if named else ""
        raise InputError(
            f"{path}: refused and not run: it is damaged, or holds something other than a tensor, "
            f"which can be a program ({asks}expected what torch.save writes of one tensor)"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is not a tensor that torch.save wrote ({error!s:.200})"
        ) from error
    except (AttributeError, IndexError, AssertionError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is damaged ({type(error).__name__}); copy it again") from error
    if not isinstance(found, torch.Tensor) or found.layout != torch.strided or found.is_quantized:
        raise InputError(f"{path}: expected one plain tensor, got {type(found).__name__}")
    if found.numel() * found.element_size() > found.untyped_storage().nbytes():
        raise InputError(f"{path}: claims {list(found.shape)}, which is more than it holds")
    if found.is_complex() or not found.numel():
        raise InputError(f"{path}: expected real numbers, got {list(found.shape)} {found.dtype}")
    array: Array = found.detach().float().numpy()
    if not np.isfinite(array).all():
        raise InputError(f"{path}: contains NaN or infinity; compute it again")
    return array


def _one_hot(path: Path, values: Array) -> Array:
    """`[NK, C]`, checked."""
    if values.ndim != 2 or not np.isin(values, (0, 1)).all():
        raise InputError(f"{path}: expected one-hot rows [NK, C], got {list(values.shape)}")
    # some relatives store it transposed
    for candidate in (values, values.T):
        if (candidate.sum(axis=1) == 1).all():
            return candidate
    raise InputError(f"{path}: expected one-hot rows [NK, C]: a single 1 in each")


def _feature_rows(path: Path, values: Array, count: int, *, transposed: bool) -> tuple[Array, str]:
    """`[count, D]` from a matrix of either orientation, and what had to be assumed."""
    if values.ndim != 2 or count not in values.shape:
        layout = f"[D, {count}]" if transposed else f"[{count}, D]"
        raise InputError(f"{path}: expected {layout}, got {list(values.shape)}")
    if values.shape[0] != values.shape[1]:
        return (values if len(values) == count else values.T), ""
    # square: only one side of an encoder's features has unit length
    across, down = (_is_unit(np.linalg.norm(values, axis=a)) for a in (1, 0))
    if across != down:
        return (values if across else values.T), ""
    layout = "[D, N]" if transposed else "[N, D]"
    return (
        values.T if transposed else values
    ), f"{path.name} is square; the published layout {layout} is assumed"


def _is_unit(norms: NDArray[np.floating]) -> bool:
    return bool((np.abs(norms - 1) < _UNIT).all())


def _own_text(
    folder: Path, count: int, width: int, classes: Sequence[str] | None, scale: float
) -> tuple[ClassText, str]:
    """The folder's text features, and what had to be assumed."""
    found = sorted(f for f in folder.glob("*weights*.pt") if f.is_file())
    if len(found) != 1:
        there = f"several ({', '.join(f.name for f in found)})" if found else "none"
        raise InputError(
            f"{folder}: expected one file of text features such as clip_weights.pt, found {there}; "
            "give a ClassText as text"
        )
    values = _tensor(found[0])
    note = ""
    if values.ndim == 2:
        if sorted(values.shape) != sorted((count, width)):
            raise InputError(f"{found[0]}: expected [{width}, {count}], got {list(values.shape)}")
        values, note = _feature_rows(found[0], values, count, transposed=True)
        values = values[:, None]
    if values.ndim != 3 or (values.shape[0], values.shape[2]) != (count, width):
        raise InputError(f"{found[0]}: expected [{width}, {count}], got {list(values.shape)}")
    names = tuple(classes) if classes is not None else _names(folder, count)
    with file_in_errors(found[0]):
        return ClassText(values, names, scale), note


def _names(folder: Path, count: int) -> tuple[str, ...]:
    file = folder / "classes.txt"
    if not file.is_file():
        return tuple(f"class {i}" for i in range(count))
    try:
        lines = lines_of(file.read_text(encoding="utf-8"))
        return tuple(line for line in lines if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text ({error})") from error
