"""Class names to text features: templates, how a name is read, and the prompt ensemble.

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


def words(name: str) -> str:
    """How a class name is read inside a prompt; the label itself stays as it is.

    An underscore becomes a space, as everywhere in the field. A name made only of capitalised
    words run together, as folders of remote sensing sets are called, is taken apart: a text tower
    knows "annual crop" and has no token for "AnnualCrop". Each part needs three letters, so
    McLaren, DeLorean or FedEx stay whole.

    >>> words("annual_crop"), words("AnnualCrop"), words("McLaren F1")
    ('annual crop', 'annual crop', 'McLaren F1')
    """
    if _RUN_TOGETHER.fullmatch(name):
        return " ".join(_WORD.findall(name)).lower()
    return " ".join(name.replace("_", " ").split())


def check(templates: Sequence[str]) -> None:
    """Refuse templates that would give every class the same prompt.

    Raises:
        InputError: no template, or one without `{}`.
    """
    if isinstance(templates, str):
        raise InputError(f"expected a list of templates, got the string {templates!r}")
    if not templates:
        raise InputError(f"no template given; use for example {DEFAULT[0]!r}")
    for template in templates:
        if "{}" not in template:
            raise InputError(
                f"template {template!r} has no {{}}; write {{}} where the class name goes, "
                f"for example {DEFAULT[0]!r}"
            )


def expand(items: Sequence[str]) -> tuple[str, ...]:
    """Templates and names of template sets to templates, each once, in order.

    Raises:
        InputError: something that is neither.

    >>> expand(["satellite", "a {}."])
    ('a centered satellite photo of {}.', 'a {}.')
    """
    if isinstance(items, str):
        raise InputError(f"expected a list of templates, got the string {items!r}")
    if not items:
        raise InputError(f"no template given; use for example {DEFAULT[0]!r}")
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


@dataclass(frozen=True)
class ClassPrompts:
    """Prompts of C classes, before any text tower has read them.

    Args:
        classes: C class names; they fix the order of the columns.
        names: what prompts call each of them.
        templates: P templates with `{}` where the name goes.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """`C * P` prompts, those of one class together."""
        return [t.replace("{}", name) for name in self.names for t in self.templates]


def write(classes: Mapping[str, str] | Sequence[str], templates: Sequence[str]) -> ClassPrompts:
    """The prompts of each class.

    Args:
        classes: C class names, or a mapping of each to the words that prompts use for it.
        templates: P templates with `{}` where the name goes.

    Raises:
        InputError: a template without `{}`, class names that repeat or are empty.

    >>> write({"n02123045": "tabby_cat"}, ["a {}."]).texts
    ['a tabby cat.']
    """
    check(templates)
    spoken = tuple(classes.values()) if isinstance(classes, Mapping) else tuple(classes)
    names = tuple(words(name) or name for name in class_names(spoken))
    return ClassPrompts(class_names(tuple(classes)), names, tuple(templates))


def read(tower: TextTower, prompts: ClassPrompts) -> ClassText:
    """What a text tower says of each class: `[C, P, D]`; equal prompts are read once."""
    unique = list(dict.fromkeys(prompts.texts))
    row = {prompt: i for i, prompt in enumerate(unique)}
    rows = np.asarray(tower.texts(unique), dtype=np.float32)[[row[p] for p in prompts.texts]]
    shape = len(prompts.classes), len(prompts.templates), -1
    return ClassText(rows.reshape(shape), prompts.classes, tower.scale)


def embed(
    tower: TextTower, classes: Mapping[str, str] | Sequence[str], templates: Sequence[str] = DEFAULT
) -> ClassText:
    """`write` and `read` in one.

    Args:
        tower: an encoder, or the half of one that reads.
        classes: C class names, or a mapping of each to the words that prompts use for it.
        templates: P templates with `{}` where the name goes.

    Raises:
        InputError: a template without `{}`, class names that repeat or are empty.
    """
    return read(tower, write(classes, templates))
