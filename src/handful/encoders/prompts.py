"""Class names to text features: templates, readable names, and the prompt ensemble.

Several templates make an ensemble: every prompt is embedded and normalised on its own, and
`ClassText.weights` renormalises the mean over a class's prompts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from handful.contracts import ClassText, TextTower, class_names
from handful.errors import InputError

DEFAULT = ("a photo of a {}.",)

TEMPLATES: dict[str, tuple[str, ...]] = {
    "photo": DEFAULT,
    "imagenet": (
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
    ),
    "satellite": ("a centered satellite photo of {}.",),
    "texture": ("{} texture.",),
    "pets": ("a photo of a {}, a type of pet.",),
    "flowers": ("a photo of a {}, a type of flower.",),
    "aircraft": ("a photo of a {}, a type of aircraft.",),
    "food": ("a photo of {}, a type of food.",),
    "action": ("a photo of a person doing {}.",),
    "shape": ("a picture of a {}.", "a drawing of a {}.", "an image with a {}."),
}
"""Named sets of templates. `imagenet` is the seven that Tip-Adapter uses for ImageNet; the others,
except `shape`, are the hand-written prompts of CoOp for its eleven data sets: `photo` for
Caltech101, StanfordCars and SUN397, `satellite` for EuroSAT, `texture` for DTD, `action` for
UCF101, and the rest for the data sets they name."""

_RUN_TOGETHER = re.compile(r"(?:[A-Z][a-z]{2,}){2,}")
_WORD = re.compile(r"[A-Z][a-z]+")


def readable_name(name: str) -> str:
    """A class name as it is written inside a prompt; the label itself stays as it is.

    An underscore becomes a space, as everywhere in the field. A name made only of capitalised
    words run together, as in folders of remote sensing data sets, is taken apart: a text tower
    has seen "annual crop" and has no token for "AnnualCrop". Each part needs three letters, so
    McLaren, DeLorean or FedEx stay whole.

    >>> [readable_name(n) for n in ("annual_crop", "AnnualCrop", "McLaren F1")]
    ['annual crop', 'annual crop', 'McLaren F1']
    """
    if _RUN_TOGETHER.fullmatch(name):
        return " ".join(_WORD.findall(name)).lower()
    return " ".join(name.replace("_", " ").split())


def check_templates(templates: Sequence[str]) -> None:
    """Refuse templates that would give every class the same prompt.

    Raises:
        InputError: no template, or one without `{}`.
    """
    _check_list(templates)
    for template in templates:
        if "{}" not in template:
            raise InputError(
                f"template {template!r} has no {{}}; write {{}} where the class name goes, "
                f"for example {DEFAULT[0]!r}"
            )


def expand_templates(items: Sequence[str]) -> tuple[str, ...]:
    """Templates and names of template sets to templates, each once, in order.

    Raises:
        InputError: something that is neither.

    >>> expand_templates(["satellite", "a {}."])
    ('a centered satellite photo of {}.', 'a {}.')
    """
    _check_list(items)
    result: list[str] = []
    for item in items:
        if "{}" in item:
            result.append(item)
        elif item in TEMPLATES:
            result.extend(TEMPLATES[item])
        else:
            close = get_close_matches(item, TEMPLATES, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise InputError(
                f"template {item!r} has no {{}} and is no set of templates; {hint}write {{}} where "
                f"the class name goes, or name one of: {', '.join(TEMPLATES)}"
            )
    return tuple(dict.fromkeys(result))


def _check_list(templates: Sequence[str]) -> None:
    if isinstance(templates, str):
        raise InputError(f"expected a list of templates, got the string {templates!r}")
    if not isinstance(templates, Sequence) or not all(isinstance(t, str) for t in templates):
        raise InputError(
            f"templates: expected a list of texts, such as {[*DEFAULT]}, got {templates!r}"
        )
    if not templates:
        raise InputError(f"no template given; use for example {DEFAULT[0]!r}")


@dataclass(frozen=True)
class ClassPrompts:
    """Prompts of C classes, not yet encoded.

    Args:
        classes: C class names; they fix the order of the columns.
        names: how prompts write each of them.
        templates: P templates with `{}` where the name goes.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """`C * P` prompts, those of one class together."""
        # not str.format, which would read braces of a class name and other fields of a template
        return [t.replace("{}", name) for name in self.names for t in self.templates]


def class_prompts(
    classes: Mapping[str, str] | Sequence[str], templates: Sequence[str]
) -> ClassPrompts:
    """The prompts of each class.

    Args:
        classes: C class names, or a mapping of each to the words that prompts use for it.
        templates: P templates with `{}` where the name goes.

    Raises:
        InputError: a template without `{}`, class names that repeat or are empty.

    >>> class_prompts({"n02123045": "tabby_cat"}, ["a {}."]).texts
    ['a tabby cat.']
    """
    check_templates(templates)
    written = tuple(classes.values()) if isinstance(classes, Mapping) else tuple(classes)
    names = tuple(readable_name(name) or name for name in class_names(written))
    return ClassPrompts(class_names(tuple(classes)), names, tuple(templates))


def encode_prompts(tower: TextTower, prompts: ClassPrompts) -> ClassText:
    """Text features of each class, `[C, P, D]`; equal prompts are encoded once."""
    unique = list(dict.fromkeys(prompts.texts))
    row = {prompt: i for i, prompt in enumerate(unique)}
    rows = np.asarray(tower.texts(unique), dtype=np.float32)[[row[p] for p in prompts.texts]]
    shape = len(prompts.classes), len(prompts.templates), -1
    return ClassText(rows.reshape(shape), prompts.classes, tower.scale)


def embed(
    tower: TextTower, classes: Mapping[str, str] | Sequence[str], templates: Sequence[str] = DEFAULT
) -> ClassText:
    """Class names to text features: `class_prompts` and `encode_prompts` in one.

    Args:
        tower: an encoder, or its text tower.
        classes: C class names, or a mapping of each to the words that prompts use for it.
        templates: P templates with `{}` where the name goes.

    Raises:
        InputError: a template without `{}`, class names that repeat or are empty.
    """
    return encode_prompts(tower, class_prompts(classes, templates))
