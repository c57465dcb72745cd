"""The published weights of the image tower: where the package put them, and whether they are those.

The package is found through its metadata and never imported; the file is read by torch's unpickler
that accepts tensors alone, and only if its SHA-256 is the one written here.
"""

from __future__ import annotations

import hashlib
import pickle
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor

from handful.encoders.catalogue import PHOTO_PACKAGE as PACKAGE
from handful.encoders.checkpoint import first_line
from handful.errors import InputError, MissingModelError

FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def image_tensors() -> dict[str, Tensor]:
    """The tensors of EfficientNet-Lite0 in the order of computation.

    Raises:
        MissingModelError: the package is not installed; says what to install.
        InputError: it holds other bytes than those published; both digests are named.
    """
    path = _find()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingModelError(
            f"{path}: cannot be read ({error.strerror}); {_cure('install it again')}"
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        raise InputError(
            f"{path}: has SHA-256 {digest}, expected {SHA256}. It is another version of the "
            f"package, or damaged; {_cure('install it again')}"
        )
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise InputError(f"{path}: cannot be read by this torch ({first_line(error)})") from error
    return tensors


def _find() -> Path:
    """The file of the installed package."""
    try:
        listed = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError as error:
        raise MissingModelError(
            f"the encoder 'photo' needs the package {PACKAGE} (17 MB), which is not installed; "
            f"{_cure('install it')}"
        ) from error
    found = next((f for f in listed if f.name == FILE), None)
    if found is None:
        raise MissingModelError(
            f"the encoder 'photo' needs {FILE}, which the installed package {PACKAGE} does not "
            f"have: it is another version; {_cure('install version 0.1.0')}"
        )
    return Path(str(found.locate()))


def _cure(what: str) -> str:
    return (
        f"{what} (pip install --force-reinstall {PACKAGE}==0.1.0), or name another encoder with "
        "--encoder (`handful encoders` lists them)"
    )
