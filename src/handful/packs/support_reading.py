"""The support set of a pack, read and checked: `pack.json` and tensors are untrusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from handful.contracts import ClassText
from handful.errors import InputError, PackError
from handful.packs.format import Tensors
from handful.packs.support import RESERVED, TENSORS, Reserved, Support, check_support


def read_support(manifest: Mapping[str, Any], tensors: Tensors, where: str) -> Support | None:
    """The support set of a skill; None for one that was saved without.

    Raises:
        PackError: its parts do not fit one another.
    """
    if not any(f"support.{name}" in tensors for name in TENSORS):
        return None
    stated = manifest["support"]
    try:
        features, targets, text = _checked(tensors)
        width = manifest["encoder"]["dim"]
        check_support(features, targets, text, len(manifest["classes"]), width)
        words = ClassText(text, tuple(manifest["classes"]), float(manifest["scale"]))
        ids, reserved = tuple(stated["images"]), _reserved(stated, tensors)
        names, groups = (_texts(stated, key, "support") for key in ("names", "groups"))
        found = Support(features, targets, words, ids, names, reserved, groups)
        words.weights  # noqa: B018 refuses prompts without a mean
    except (InputError, ValueError) as error:
        raise PackError(f"{where}: its support set does not fit: {error}") from error
    return found


def _checked(tensors: Tensors) -> list[NDArray[Any]]:
    """The tensors in the order of `TENSORS`, if all are there and of their kind."""
    found = [tensors.get(f"support.{name}") for name in TENSORS]
    kept = [value for value in found if value is not None]
    if [str(value.dtype) for value in kept] != [*TENSORS.values()]:
        raise InputError(f"expected the tensors support.* {TENSORS}")
    return kept


def _reserved(stated: Mapping[str, Any], tensors: Tensors) -> Reserved | None:
    values, facts = tensors.get(RESERVED), stated.get("reserved")
    if values is None and facts is None:
        return None
    if values is None or str(values.dtype) != "float32" or not isinstance(facts, Mapping):
        raise InputError(f"expected the tensor {RESERVED} float32 and 'support.reserved' together")
    ids = facts.get("images")
    if not (isinstance(ids, list) and all(isinstance(id_, str) for id_ in ids)):
        raise InputError("'support.reserved.images': expected a list of texts")
    names, groups = (_texts(facts, key, "support.reserved") for key in ("names", "groups"))
    return Reserved(values, tuple(ids), names, groups)


def _texts(stated: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A text of each image; "" where a pack does not state them."""
    texts = stated.get(key, [""] * len(stated["images"]))
    if not (isinstance(texts, list) and all(isinstance(text, str) for text in texts)):
        raise InputError(f"'{where}.{key}': expected a list of texts")
    return tuple(texts)
