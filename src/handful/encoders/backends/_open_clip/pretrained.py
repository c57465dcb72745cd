"""open_clip's record of pretrained weights by tag, and whether it agrees on the activation.

Weights trained with quick GELU give wrong features with GELU, and the other way round, while
everything seems to work. The library only warns; here it is settled or refused.
"""

from __future__ import annotations

from copy import deepcopy
from difflib import get_close_matches
from typing import Any

from handful.encoders.backends._libraries import open_clip
from handful.errors import InputError, MissingModelError

_QUICK = "-quickgelu"  # how the library names an architecture's other activation


def configuration(name: str, architecture: str, tag: str) -> dict[str, Any]:
    """What the library states of the weights of that tag: preprocessing, activation, place.

    Raises:
        InputError: the tag belongs to the same architecture with the other activation.
        MissingModelError: no such tag; names those there are.
    """
    tags = open_clip().list_pretrained_tags_by_model(architecture)
    stated = open_clip().get_pretrained_cfg(architecture, tag) if tag else {}
    if stated:
        return deepcopy(dict(stated))
    plain = architecture.removesuffix(_QUICK)
    if plain != architecture and open_clip().get_pretrained_cfg(plain, tag):
        raise InputError(
            f"{name}: {architecture} computes quick GELU, and {tag!r} was trained with GELU; the "
            f"features would be wrong. Use open_clip:{plain}/{tag}"
        )
    close = get_close_matches(tag, tags, n=1, cutoff=0.4)
    hint = f" Did you mean 'open_clip:{architecture}/{close[0]}'?" if close and tag else ""
    what = f"no weights called {tag!r}" if tag else "no tag to say which weights are meant"
    raise MissingModelError(
        f"open_clip:{name}: {what}.{hint} Known of {architecture}: "
        f"{', '.join(tags) or 'none; name a file with weights, ' + architecture + '/PATH'}"
    )


def with_activation(
    name: str, architecture: str, tag: str, model: dict[str, Any], stated: dict[str, Any]
) -> dict[str, Any]:
    """The configuration of a model with the activation that the weights were trained with.

    Raises:
        InputError: the configuration says quick GELU and the record of the weights does not.
    """
    trained, built = bool(stated.get("quick_gelu")), bool(model.get("quick_gelu"))
    if built and not trained:
        raise InputError(
            f"{name}: open_clip's configuration of {architecture} says quick GELU, and what it "
            f"knows of {tag!r} says GELU. Load hf-hub:{_repository(stated)}, whose own "
            "configuration decides"
        )
    return {**model, "quick_gelu": True} if trained else model


def check_activation(name: str, repo: str, model: dict[str, Any]) -> None:
    """Refuse a repository whose configuration omits the quick GELU of its weights.

    Raises:
        InputError: by the library's record; says what to load instead.
    """
    if model.get("quick_gelu"):
        return
    library = open_clip()
    for architecture, tag in library.list_pretrained():
        stated = library.get_pretrained_cfg(architecture, tag)
        if stated.get("quick_gelu") and _repository(stated) == repo:
            raise InputError(
                f"{name}: its configuration says GELU, and open_clip knows that these weights "
                f"were trained with quick GELU. Load open_clip:{architecture}/{tag}"
            )


def _repository(stated: dict[str, Any]) -> str:
    return str(stated.get("hf_hub", "")).rpartition("/")[0]
