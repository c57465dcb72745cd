"""Linear probe: one weight row a class, learned from the shots, from nothing or from the text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from handful.adapters import Adapter, LinearHead, Recipe, number, scalar, train
from handful.adapters._training import few_threads
from handful.contracts import ClassText
from handful.errors import InputError
from handful.selection import weights_in_class


@dataclass(eq=False, repr=False)
class Linear(Adapter):
    """Linear probe, started at the class texts or at nothing.

    `logits = scale * x Wᵀ`, W by cross-entropy. With `init="text"`, W starts at the class texts
    and takes a fixed number of AdamW steps. With `init="random"` it is multinomial logistic
    regression, `min_V sum CE(x Vᵀ) + penalty / 2 |V|²`: convex, so the start does not matter and
    zero is taken. There is no bias: equal shots carry no class prior, and the bias of a class
    without shots would have no finite value. The images of a group count as one together.

    Args:
        init: `text` or `random`.
        steps: updates with `init="text"`, fixed in advance; 0 is zero-shot.
        learning_rate: at the start of the cosine, with `init="text"`. The default lets a weight
            travel `steps * learning_rate / 2`, about the size of one entry of a unit row of 512.
        batch: samples a step, with `init="text"`.
        penalty: of logistic regression, with `init="random"`; scikit-learn's `1 / C`.
        seed: of the order of the samples.

    Source: the linear probe of Radford et al., "Learning Transferable Visual Models From Natural
    Language Supervision", 2021; the start at the text as in ZS-LP, Silva-Rodriguez et al., "A
    Closer Look at the Few-Shot Adaptation of Large Vision-Language Models", CVPR 2024. ZS-LP
    keeps W on the unit sphere and takes SGD with rate 0.1 for 300 epochs over augmented views;
    AdamW in small steps needs neither to stay near the text.
    """

    title = "Linear probe"
    head = LinearHead
    neutral = {"init": "text", "steps": 0}  # noqa: RUF012  # declared ClassVar in Adapter
    variants = ({"init": "text"}, {"init": "random"})

    init: str = "text"
    steps: int = 300
    learning_rate: float = 3e-4
    batch: int = 256
    penalty: float = 0.01
    seed: int = 0

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        return self._fit_units(features, targets, text, None)

    def _fit_units(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> nn.Module:
        counted = weights_in_class(targets, units)
        weights, scale = torch.from_numpy(text.weights), scalar(text.scale)
        if self.init == "text":
            recipe = Recipe(self.steps, self.learning_rate, self.batch, 0.0, seed=self.seed)
            head = LinearHead(weights=nn.Parameter(weights), scale=scale)
            return train(head, features, targets, recipe, weights=counted)
        if self.init != "random":
            raise InputError(f"expected init='text' or init='random', got {self.init!r}")
        penalty = number("penalty", self.penalty, 1e-9)  # at 0 the weights have no bound
        rows = _logistic_regression(features, targets, len(weights), penalty, counted)
        # V holds the scale already; the head multiplies by it again
        return LinearHead(weights=rows / scale, scale=scale)


def _logistic_regression(
    x: Tensor, targets: Tensor, classes: int, penalty: float, counted: Tensor | None
) -> Tensor:
    """`[C, D]` rows V that minimise `sum CE(x Vᵀ) + penalty / 2 |V|²`, by L-BFGS in float64.

    scikit-learn's `LogisticRegression` would drop classes without shots.
    """
    from scipy.optimize import minimize  # slow to import, and answering needs none of it

    x = x.double()
    one = torch.ones((), dtype=torch.float64)

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        rows = nn.Parameter(torch.from_numpy(flat).view(classes, -1))
        losses = cross_entropy(LinearHead(weights=rows, scale=one)(x), targets, reduction="none")
        loss = losses.sum() if counted is None else losses @ counted
        loss = loss + penalty / 2 * rows.square().sum()
        (gradient,) = torch.autograd.grad(loss, rows)
        return loss.item(), gradient.flatten().numpy()

    start = np.zeros(classes * x.shape[1])
    with few_threads(len(x) * len(start)):
        result = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    return torch.from_numpy(result.x).view(classes, -1).float()
