"""Explanation of an answer: what each support image and the text add to its logits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handful import data
from handful.contracts import Array, Encoder, unit
from handful.errors import ImageError, InputError
from handful.features import extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.packs.support import Support
from handful.skills.contributions import (
    Doubles,
    exact_terms,
    gradient,
    mixture_terms,
    with_double_precision,
)
from handful.skills.encoder import load_encoder
from handful.skills.loaded import AnySkill, unpack


@dataclass(frozen=True, eq=False)
class Explanation:
    """An answer to one image in parts; `images.sum(0) + text + rest` are the logits.

    Args:
        classes: C names.
        logits: `[C]`.
        probability: of the answer.
        images: `[N, C]` what each support image adds to each logit.
        text: `[C]` what the class texts add.
        rest: `[C]` what is neither; see `explain`.
        support: the support set, for labels, names and digests.
        method: how it was found: `exact terms` of a kernel or cache (and a mixture for the
            weights beside it), or `mixture` alone.
    """

    classes: tuple[str, ...]
    logits: Doubles
    probability: float
    images: Doubles
    text: Doubles
    rest: Doubles
    support: Support
    method: str

    @property
    def answer(self) -> int:
        """Column of the answer."""
        return int(self.logits.argmax())

    @property
    def runner_up(self) -> int:
        """Column of the second best."""
        return int(np.argsort(-self.logits, kind="stable")[1])

    @property
    def margin(self) -> float:
        """The answer's logit less the runner-up's."""
        return self._margin(self.logits)

    @property
    def image_margins(self) -> Doubles:
        """`[N]` what each support image adds to the margin; negative is for the runner-up."""
        return np.asarray(self.images[:, self.answer] - self.images[:, self.runner_up])

    @property
    def text_margin(self) -> float:
        """What the texts add to the margin."""
        return self._margin(self.text)

    @property
    def rest_margin(self) -> float:
        """What the rest adds to the margin."""
        return self._margin(self.rest)

    def top(self, count: int) -> list[int]:
        """Rows of the support images that add most to the margin, whatever the sign, most first."""
        return [int(i) for i in np.argsort(-np.abs(self.image_margins), kind="stable")[:count]]

    @property
    def sentence(self) -> str:
        """The answer and its parts in a sentence."""
        first, second = self.classes[self.answer], self.classes[self.runner_up]
        own, against = self._images_for_and_against
        return (
            f"{first} ({100 * self.probability:.1f} %), {self.margin:.2f} ahead of {second} in "
            f"logits: support images add {own:+.2f} for it and {against:+.2f} against it, the "
            f"text {self.text_margin:+.2f}, what is neither {self.rest_margin:+.2f}."
        )

    def as_dict(self, count: int | None = None) -> dict[str, Any]:
        """Plain values for JSON; the `count` heaviest images, or all."""
        margins, support, labels = self.image_margins, self.support, self.support.labels
        own, against = self._images_for_and_against
        return {
            "answer": self.classes[self.answer],
            "probability": round(self.probability, 6),
            "runner_up": self.classes[self.runner_up],
            "lead": round(self.margin, 5),
            "images_for": round(own, 5),
            "images_against": round(against, 5),
            "text": round(self.text_margin, 5),
            "rest": round(self.rest_margin, 5),
            "method": self.method,
            "images": [
                {
                    "name": support.names[i],
                    "digest": support.ids[i],
                    "label": labels[i],
                    "weight": round(float(margins[i]), 5),
                }
                for i in self.top(len(margins) if count is None else count)
            ],
            "sentence": self.sentence,
        }

    @property
    def _images_for_and_against(self) -> tuple[float, float]:
        margins = self.image_margins
        return float(margins[margins > 0].sum()), float(margins[margins < 0].sum())

    def _margin(self, values: Doubles) -> float:
        return float(values[self.answer] - values[self.runner_up])


def explain(pack: Pack, features: Array) -> Explanation:
    """A skill's answer to one image as a sum over support images, texts and a rest.

    At x every head is linear: `logits = W x + r`, W `[C, D]` the gradient of the logits. The text
    adds `b <T_c, x>`, with T the texts times their scale and b the share of T that W holds (1 for
    a head that adds zero-shot as it is); support image i adds its term of the mixture of support
    images that is nearest to the remaining weights (`handful.skills.contributions.mixture_terms`
    has the formula). A kernel or cache in the head adds its own terms exactly, and only the
    weights beside it are explained by a mixture. The rest is what remains: biases, what any image
    is given, and what no mixture of the support images gives. All of it sums to the logits.

    For a head trained by gradient descent the mixture is a description, not its history. A method
    whose answers depend on other images is asked about this one alone.

    Args:
        pack: a skill with its support set.
        features: `[D]` of the image.

    Raises:
        InputError: a skill without its support set, or of several labels an image; features of
            another width.
    """
    support = _require_support(pack)
    x = np.asarray(features, dtype=np.float32)
    if x.shape != (support.features.shape[1],):
        raise InputError(
            f"expected the features [{support.features.shape[1]}] of one image, got {list(x.shape)}"
        )
    x = unit(x[None], "the image's features")
    logits = pack.logits(x)[0].astype(np.float64)
    # in float64, since parts of opposite sign can be much larger than their sum
    head = with_double_precision(pack.adapter.module_)
    query = torch.from_numpy(x[0]).double()
    exact = exact_terms(head, query, support)
    weights = gradient(head, query) if exact is None else exact.weights
    text_share, mixture = mixture_terms(weights, query, support)
    images = (mixture + (0 if exact is None else exact.terms)).numpy()
    texts = support.text.scale * torch.from_numpy(support.text.weights).double()
    text = text_share * (texts @ query).numpy()
    return Explanation(
        classes=pack.classes,
        logits=logits,
        probability=float(pack.probabilities(x)[0].max()),
        images=images,
        text=text,
        # by subtraction, so that the parts sum to the logits whatever the head is
        rest=logits - images.sum(axis=0) - text,
        support=support,
        method="mixture" if exact is None else "exact terms",
    )


def explain_image(
    skill: AnySkill,
    image: Any,
    *,
    encoder: Encoder | str | Path | None = None,
    precision: str = "auto",
    device: str = "auto",
    store: FeatureStore | None = None,
) -> Explanation:
    """The same for an image: whatever `handful.data.image_ref` takes.

    Args:
        skill: a pack or its folder.
        image: what to explain the answer for.
        encoder: to use instead of the one the skill names.
        precision: of an encoder that is loaded by name; see `handful.Predictor`.
        device: likewise.
        store: where features are kept; the user's own store when not given.

    Raises:
        ImageError: the image cannot be read.
        InputError: as `explain`.
    """
    pack, encoder, store = unpack(skill, encoder, store, precision=precision, device=device)
    _require_support(pack)  # before the encoder is loaded in vain
    ref = data.image_ref(image)
    ref.digest()
    model = load_encoder(pack, encoder, precision=precision, device=device)
    found = extract_features(model, [ref], store)
    if found.failures:
        raise ImageError(found.failures[0].reason)
    return explain(pack, found.features.values[0])


def _require_support(pack: Pack) -> Support:
    if not pack.task.exclusive:
        raise InputError(
            f"{pack.where}: answers {pack.task.answers}, none of which is ahead of another; "
            "only answers of skills of one label an image can be explained"
        )
    if pack.support is None:
        raise InputError(
            f"{pack.where}: was saved without its support set, so it cannot say which images "
            "carried an answer; teach it again with handful fit"
        )
    return pack.support
