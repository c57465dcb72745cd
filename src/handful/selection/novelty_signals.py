"""Signals that separate images of the known classes from others, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handful.selection._shrunk_covariance import Whitening
from handful.selection.gda import gda_weights_with_text_prior, scaled_covariance
from handful.selection.groups import Units
from handful.selection.modality_gap import ClassMeans, modality_gap

SIGNAL_NAMES = (
    "distance",
    "distance with text",
    "nearest image",
    "text",
    "discriminant",
    "reserved",
)
FLOOR = 1e-9
_SHRINKAGE, _FEW_SHRINKAGE, _FEW = 0.5, 0.8, 4  # of the covariance; the second below 4 shots
_PRIOR, _DEVIATION = 2.0, 0.1  # of the discriminant: as text-prior GDA has them

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoveltySignals:
    """`[M, D]` features to `[M, S]` signals: the larger, the more an image is like the support set.

    With class means m_c, means drawn to the text t_c, mean g of all, and |v| the Mahalanobis length
    of the shrunk covariance in classes: `-min_c |x - m_c|`; `-log(min_c |x - t_c|² / |x - g|²)`;
    the cosine to the nearest support image; the lead of the best text cosine over the mean one; the
    largest discriminant of `gda_weights_with_text_prior`; minus the cosine to the nearest reserved
    image.
    """

    whiten: Whitening  # of the covariance
    means: Tensor  # [C, D]
    drawn: Tensor  # [C, D]
    centre: Tensor  # [1, D]
    keys: Tensor  # [N, D]
    text: Tensor  # [C, D]
    weights: Tensor  # [C, D]
    bias: Tensor  # [C]
    reserved: Tensor  # [R, D]

    @classmethod
    def of(cls, features: Tensor, targets: Tensor, text: Tensor, reserved: Tensor) -> Self:
        """From `[N, D]` unit rows, `[N]` columns, `[C, D]` unit text and `[R, D]` unit rows."""
        few = len(features) < _FEW * len(text)
        given = ClassMeans.of(features, targets, len(text))
        offset, gain = modality_gap(given.means, given.counts, text)
        suggested = offset + gain * text.double()
        counts = given.counts[:, None]
        covariance = scaled_covariance(given.residuals, len(features), _SHRINKAGE)
        weights, bias = gda_weights_with_text_prior(
            features, targets, text, _PRIOR, _FEW_SHRINKAGE if few else _SHRINKAGE, _DEVIATION
        )
        return cls(
            covariance.whitening(),
            torch.where(counts > 0, given.means, suggested),
            (counts * given.means + suggested) / (counts + 1),
            features.double().mean(0, keepdim=True),
            features,
            text,
            weights,
            bias,
            reserved,
        )

    def __call__(self, rows: Tensor, *, own: Units | None = None) -> Values:
        """`[M, 5]`, or `[M, 6]` with reserved images.

        Args:
            rows: `[M, D]` unit rows.
            own: `[M]` units, where the rows are the reserved images themselves; none is compared
                with an image of its own unit.
        """
        # distances of white rows are Mahalanobis distances
        x = self.whiten(rows.double())
        near, drawn, centre = (
            torch.cdist(x, self.whiten(m)).amin(1).clamp(min=FLOOR)
            for m in (self.means, self.drawn, self.centre)
        )
        text = rows @ self.text.T
        found = [
            -near,
            -2 * (drawn / centre).log(),
            (rows @ self.keys.T).amax(1),
            text.amax(1) - text.mean(1),
            (rows.double() @ self.weights.T + self.bias).amax(1),
        ]
        if len(self.reserved):
            cosines = rows @ self.reserved.T
            if own is not None:
                same = torch.from_numpy(own[:, None] == own)
                cosines.masked_fill_(same, -1.0)
            found.append(-cosines.amax(1))
        return torch.stack([f.double() for f in found], 1).numpy()
