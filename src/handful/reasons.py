"""Why this answer: what each support image and the text say for it, adding up to the logits.

For one image every head is a linear function of it, near enough to be exact at it: the gradient
W of the logits gives `logits = W x + r`. W is the text's part `scale T`, a mixture of the support
features `A F`, and a rest; heads with a kernel or a cache say themselves what each image adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from handful import plugins
from handful.adapters import Adapter, Head, KernelHead
from handful.adapters.tip import TipHead
from handful.contracts import Array, unit
from handful.errors import InputError
from handful.packs import Pack, restore
from handful.packs.support import Support

Doubles = NDArray[np.float64]
_RIDGE = 1e-3  # of the mean eigenvalue: directions that no support image has go to the rest


@dataclass(frozen=True, eq=False)
class Reasons:
    """What carried an answer; `images.sum(0) + text + rest` are the logits.

    Args:
        classes: C names.
        logits: `[C]`.
        probability: of the answer.
        images: `[N, C]` what each support image adds to each logit.
        text: `[C]` what the class texts add.
        rest: `[C]` what is neither: biases, and directions that no support image has.
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

    With W the gradient of the logits at x, `A = (W - scale T) Fᵀ (F Fᵀ + lambda I)⁻¹`: the
    shortest mixture of the support features F that says what W says beyond the text. Support
    image i adds `A_ci <f_i, x>` to logit c, the text `scale <T_c, x>`, and the rest is what is
    left. A kernel or cache of the head adds its own term `phi(<f_i, x>) a_ic` exactly, and is
    left out of W. Contributions, text and rest sum to the logits, for every head.

    Args:
        pack: a skill with its support set.
        features: `[D]` of the image.

    Raises:
        InputError: a skill without its support set; features of another width; a method whose
            answers depend on other images.
    """
    support = pack.support
    if support is None:
        raise InputError(
            f"{pack.where}: was saved without its support set, so it cannot say which images "
            "carried an answer; teach it again with handful fit"
        )
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
    text = support.text.scale * support.text.weights.astype(np.float64)
    F = torch.from_numpy(support.features).double()
    beyond = slope - torch.from_numpy(text)
    gram = F @ F.T
    gram.diagonal().add_(_RIDGE * float(gram.diagonal().mean()))
    mixture = torch.linalg.solve(gram, F @ beyond.T)  # [N, C]
    images += (mixture * (F @ query)[:, None]).numpy()
    told = text @ x[0].astype(np.float64)
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


def _doubled(pack: Pack) -> Head:
    """The skill's head with numbers wide enough that contributions add up."""
    head = restore.adapter(pack.manifest, pack.tensors, pack.where).module_
    tensors = head.state_dict().items()
    made: Head = type(head)(
        **{n: t.double() if t.is_floating_point() else t.clone() for n, t in tensors}
    )
    return made.eval().requires_grad_(False)


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
    _, targets, order, _ = adapter._prepare(
        support.features, np.array(support.labels), support.text
    )
    rows, columns = np.array(order), torch.from_numpy(targets[order])
    affinity = (head.beta * (head.keys @ query - 1)).exp()
    if isinstance(head, KernelHead):
        if not np.allclose(head.keys.numpy(), support.features[rows], atol=1e-5):
            return None  # kept by another order than ours, or no kernel at all
        values, slope = affinity[:, None] * head.coefficients, head.weights
    else:
        rows = rows[torch.argsort(columns, stable=True).numpy()]
        if not np.array_equal(head.labels.numpy(), targets[rows]):
            return None
        said = one_hot(head.labels, len(head.weights)).double()
        values, slope = head.alpha * affinity[:, None] * said, head.scale * head.weights
    ordered = torch.empty_like(values)
    ordered[torch.from_numpy(rows)] = values
    return ordered, slope
