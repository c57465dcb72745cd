"""Nearest class mean: one prototype a class, the mean of its images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handful.adapters import Adapter, LinearHead, scalar
from handful.contracts import ClassText
from handful.selection import ClassMeans, class_means_leave_one_out, modality_gap, unit_means


class ClassMean(Adapter):
    """Classify by the nearest class mean; text is used only for classes without shots.

    `logits = scale * x Wᵀ`, W the class means of the support set, scaled to length one. Images and
    texts lie apart, so a text among means would lose against all of them: a class without shots
    stands where its text suggests that its images lie, estimated from the other classes' texts and
    means (`handful.selection.modality_gap`). A class whose images cancel each other has its text.

    Source: Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017, with frozen
    features and cosine in place of the squared distance.

    >>> from handful.contracts import ClassText
    >>> text = ClassText([[[1.0, 0.0]], [[0.0, 1.0]]], ("cat", "dog"), 100.0)
    >>> ClassMean().fit([[0.8, 0.6], [0.6, 0.8]], ["cat", "dog"], text).predict([[1.0, 0.0]])
    array(['cat'], dtype='<U3')
    """

    title = "Nearest class mean"
    head = LinearHead

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        words = torch.from_numpy(text.weights).double()
        given = ClassMeans.of(features, targets, len(words))
        offset, gain = modality_gap(given.means, given.counts, words)
        seen = (given.counts > 0)[:, None]
        weights = unit_means(torch.where(seen, given.means, offset + gain * words), words)
        return LinearHead(weights=weights.float(), scale=scalar(text.scale))

    def _leave_units_out(
        self, features: Tensor, targets: Tensor, text: ClassText, units: Tensor | None
    ) -> Tensor:
        words = torch.from_numpy(text.weights)
        cosines = class_means_leave_one_out(features, targets, words, units)
        return (text.scale * cosines).float()
