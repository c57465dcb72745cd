"""Why this answer: what each support image and the text say for it, adding up to the logits.

At one image every head is linear: with W the gradient of its logits, `logits = W x + r`. W is
taken apart into the text, a mixture of the support images, and a rest; a kernel or a cache in the
head says itself what each image adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from handful import plugins
from handful.adapters import Adapter, Head, KernelHead, class_means
from handful.adapters.tip import TipHead
from handful.contracts import Array, Encoder, ImageRef, unit
from handful.errors import ImageError, InputError
from handful.features import extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.packs.support import Support
from handful.skills.predict import Predictor

Doubles = NDArray[np.float64]
_RIDGE = 0.3  # of the mean diagonal: less, and images cancel each other in thousands of logits
_SPHERE = 0.5  # how far the noise of the images is drawn to a sphere
_NOTHING = 1e-10  # squared distances of unit rows below this are rounding


@dataclass(frozen=True, eq=False)
class Reasons:
    """What carried an answer; `images.sum(0) + text + rest` are the logits.

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
    def lead(self) -> float:
        """By how much the answer's logit leads."""
        return self._lead(self.logits)

    @property
    def image_leads(self) -> Doubles:
        """`[N]` what each support image adds to the lead; negative speaks for the runner-up."""
        return np.asarray(self.images[:, self.answer] - self.images[:, self.runner_up])

    @property
    def text_lead(self) -> float:
        """What the texts add to the lead."""
        return self._lead(self.text)

    @property
    def rest_lead(self) -> float:
        """What is neither adds to the lead."""
        return self._lead(self.rest)

    def top(self, count: int) -> list[int]:
        """Rows of the support images that weigh most, for or against, the heaviest first."""
        return [int(i) for i in np.argsort(-np.abs(self.image_leads), kind="stable")[:count]]

    @property
    def sentence(self) -> str:
        """The answer and what carried it, for a person."""
        first, second = self.classes[self.answer], self.classes[self.runner_up]
        leads = self.image_leads
        own = float(leads[leads > 0].sum())
        against = float(leads[leads < 0].sum())
        return (
            f"{first} ({100 * self.probability:.1f} %), {self.lead:.2f} ahead of {second} in "
            f"logits: support images add {own:+.2f} for it and {against:+.2f} against it, the "
            f"text {self.text_lead:+.2f}, what is neither {self.rest_lead:+.2f}."
        )

    def as_dict(self, count: int | None = None) -> dict[str, Any]:
        """Plain values for JSON; the `count` heaviest images, or all."""
        leads, s = self.image_leads, self.support
        return {
            "answer": self.classes[self.answer],
            "probability": round(self.probability, 6),
            "runner_up": self.classes[self.runner_up],
            "lead": round(self.lead, 5),
            "images_for": round(float(leads[leads > 0].sum()), 5),
            "images_against": round(float(leads[leads < 0].sum()), 5),
            "text": round(self.text_lead, 5),
            "rest": round(self.rest_lead, 5),
            "method": self.method,
            "images": [
                {
                    "name": s.names[i],
                    "digest": s.ids[i],
                    "label": s.labels[i],
                    "weight": round(float(leads[i]), 5),
                }
                for i in self.top(len(leads) if count is None else count)
            ],
            "sentence": self.sentence,
        }

    def _lead(self, values: Doubles) -> float:
        return float(values[self.answer] - values[self.runner_up])


def explain(pack: Pack, features: Array) -> Reasons:
    """What carried a skill's answer to one image.

    With W the gradient of the logits at x and T the texts times their scale, both less their mean
    over the classes, the text adds `b <T_c, x>`, b the share of T that W holds (1 for a head that
    adds zero-shot as it is). The support images, less their mean f, explain what is left:
    `A = (W - b T) Fᵀ (F P Fᵀ + lambda I)⁻¹`, P the inverse of the noise within classes, so that
    `A F P` is nearest to it in the metric of the noise and A is short. Image i adds
    `A_ci (f_i P) · (x - f)` to logit c: it speaks for its class where x differs from the mean as
    it does itself. A kernel or cache in the head adds its own terms exactly, and only the weights
    beside it are explained so. The rest is what remains: biases, what a mean image would be told,
    and what no mixture of the support images says. All of it sums to the logits.

    For a head trained by gradient descent the mixture is a description, not its history. A method
    whose answers depend on other images is asked about this one alone.

    Args:
        pack: a skill with its support set.
        features: `[D]` of the image.

    Raises:
        InputError: a skill without its support set, or of several labels an image; features of
            another width.
    """
    support = _support(pack)
    x = np.asarray(features, dtype=np.float32)
    if x.shape != (support.features.shape[1],):
        raise InputError(
            f"expected the features [{support.features.shape[1]}] of one image, got {list(x.shape)}"
        )
    x = unit(x[None], "the image's features")
    adapter = plugins.get("adapters", pack.method)(**pack.manifest["params"])
    logits = pack.logits(x)[0].astype(np.float64)
    head = _doubled(pack)
    query = torch.from_numpy(x[0]).double()
    terms = _terms(head, query, adapter, support)
    images = np.zeros((len(support.ids), len(logits))) if terms is None else terms[0].numpy()
    slope = _gradient(head, query) if terms is None else terms[1]
    words = support.text.scale * torch.from_numpy(support.text.weights).double()
    believed, mixed = _mixture(slope, query, support)
    images += mixed.numpy()
    told = believed * (words @ query).numpy()
    return Reasons(
        classes=pack.classes,
        logits=logits,
        probability=float(pack.probabilities(x)[0].max()),
        images=images,
        text=told,
        rest=logits - images.sum(axis=0) - told,
        support=support,
        method="mixture" if terms is None else "exact terms",
    )


def of_image(
    skill: str | Path | Pack,
    image: Any,
    *,
    encoder: Encoder | str | None = None,
    store: FeatureStore | None = None,
) -> Reasons:
    """The same for an image: a path, bytes, a PIL image, an array or an `ImageRef`.

    Args:
        skill: a pack or its folder.
        image: what to explain the answer for.
        encoder: to use instead of the one the skill names.
        store: where features are kept; the user's own store when not given.

    Raises:
        ImageError: the image cannot be read.
        InputError: as `explain`.
    """
    pack = skill if isinstance(skill, Pack) else Pack.load(skill)
    _support(pack)  # before the encoder is loaded
    ref = ImageRef.of(image)
    ref.digest()  # a file that is not there is told before the encoder is loaded, too
    predictor = Predictor(pack, encoder=encoder, store=store)
    found = extract_features(predictor.encoder, [ref], store)
    if found.failures:
        raise ImageError(found.failures[0].reason)
    return explain(pack, found.features.values[0])


def _support(pack: Pack) -> Support:
    if not pack.task.exclusive:
        raise InputError(
            f"{pack.where}: answers several labels an image, none of which is ahead of another; "
            "reasons are told for skills of one label an image only"
        )
    if pack.support is None:
        raise InputError(
            f"{pack.where}: was saved without its support set, so it cannot say which images "
            "carried an answer; teach it again with handful fit"
        )
    return pack.support


def _doubled(pack: Pack) -> Head:
    """The skill's head with numbers wide enough that contributions add up."""
    formula = pack.adapter.module_
    tensors = formula.state_dict().items()
    made: Head = type(formula)(
        **{n: t.double() if t.is_floating_point() else t.clone() for n, t in tensors}
    )
    return made.eval().requires_grad_(False)


def _mixture(slope: Tensor, query: Tensor, support: Support) -> tuple[float, Tensor]:
    """How much of the text is in the weights, and `[N, C]` what each image adds to the logits."""
    classes = len(support.text.classes)
    F = torch.from_numpy(support.features).double()
    targets = torch.from_numpy(support.targets)
    rest = F - class_means(F, targets, classes)[targets]
    noise, trace = torch.eye(F.shape[1], dtype=torch.float64), float(rest.square().sum())
    if trace > _NOTHING * len(F):
        noise *= _SPHERE
        noise += (1 - _SPHERE) * (len(noise) / trace) * rest.T @ rest
    words = support.text.scale * torch.from_numpy(support.text.weights).double()
    W, T = slope - slope.mean(0), words - words.mean(0)  # what all classes share decides nothing
    alike, whole = ((W @ noise) * T).sum(), ((T @ noise) * T).sum()
    believed = max(0.0, float(alike / whole)) if whole > 0 else 0.0
    middle = F.mean(0)
    centred = F - middle
    turned = torch.linalg.solve(noise, centred.T).T  # rows f_i P
    ridge = _RIDGE * max(float((centred * turned).sum(1).mean()), _NOTHING)
    # A as in `explain`, by products [D, D], which are smaller than [N, N] where it matters
    about = centred.T @ centred + ridge * noise
    mixture = centred @ torch.linalg.solve(about, noise @ (W - believed * T).T)
    return believed, mixture * (turned @ (query - middle))[:, None]


def _gradient(head: Head, query: Tensor) -> Tensor:
    """`[C, D]` of the logits at x."""

    def answer(x: Tensor) -> Tensor:
        logits: Tensor = head(x[None])[0]
        return logits

    with torch.enable_grad():
        slope: Tensor = torch.autograd.functional.jacobian(answer, query)  # type: ignore[no-untyped-call]
    return slope


def _terms(
    head: Head, query: Tensor, adapter: Adapter, support: Support
) -> tuple[Tensor, Tensor] | None:
    """`[N, C]` terms of a kernel or cache and `[C, D]` weights beside it; None without one."""
    if not isinstance(head, KernelHead | TipHead) or len(head.keys) != len(support.ids):
        return None
    with adapter._support_set(support.features, support.targets, support.text) as prepared:
        _, columns, _, order = prepared
    rows = np.array(order)
    affinity = (head.beta * (head.keys @ query - 1)).exp()
    if isinstance(head, KernelHead):
        if not np.allclose(head.keys.numpy(), support.features[rows], atol=1e-5):
            return None  # kept by another order than ours, or no kernel at all
        values, slope = affinity[:, None] * head.coefficients, head.weights
    else:
        rows = rows[torch.argsort(columns, stable=True).numpy()]
        if not np.array_equal(head.labels.numpy(), support.targets[rows]):
            return None
        said = one_hot(head.labels, len(head.weights)).double()
        values, slope = head.alpha * affinity[:, None] * said, head.scale * head.weights
    ordered = torch.empty_like(values)
    ordered[torch.from_numpy(rows)] = values
    return ordered, slope
