"""Labelled and unlabelled features together, and linear discriminants of them by EM."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from handful.adapters._head import KernelHead
from handful.contracts import ClassText
from handful.selection import weights_in_class

SHRINKAGE = 0.95  # of the covariance, to a sphere
ROUNDS = 4
CHUNK = 4096  # rows


@dataclass(frozen=True, eq=False)
class Discriminant:
    """`x Wᵀ + b`: `[C, D]` and `[C]`, at the spread of the method's own logits."""

    weights: Tensor
    bias: Tensor


@dataclass(frozen=True, eq=False)
class PoolRows:
    """The support set, first, and the pool in one array; classes are those with shots.

    Args:
        rows: `[N + M, D]` float32, less their mean.
        mean: `[D]`.
        base: `[M, C]` the method's logits of the pool, each row less its mean.
        share: `[M]` probability that a photo of the pool is of a class with shots.
        scatter: `[D, D]` float64, `sum_i share_i x_i x_iᵀ`; of a support image, `counted`.
        targets: `[N]` columns.
        text: of the classes with shots.
        support: `[N, D]` unit rows.
        pool: `[M, D]` unit rows.
        seen: `[C']` which classes of all have shots.
        counted: `[N]` float64 images that each support image counts for; the first rows of `rows`.
    """

    rows: Tensor
    mean: Tensor
    base: Tensor
    share: Tensor
    scatter: Tensor
    targets: Tensor
    text: ClassText
    support: Tensor
    pool: Tensor
    seen: Tensor
    counted: Tensor

    @classmethod
    def of(
        cls,
        head: KernelHead,
        support: Tensor,
        targets: Tensor,
        text: ClassText,
        pool: Tensor,
        units: Tensor | None,
    ) -> PoolRows:
        """Logits of the pool, its scatter, and the classes that have shots."""
        seen = torch.bincount(targets, minlength=len(text.classes)) > 0
        logits = torch.cat([head(part) for part in torch.split(pool, CHUNK)]).double()
        share = logits.softmax(1)[:, seen].sum(1)
        base = logits[:, seen]
        rows = torch.cat([support, pool])
        mean = rows.mean(0)
        rows = rows - mean
        counted = weights_in_class(targets, units)
        counted = share.new_ones(len(support)) if counted is None else counted
        weight = torch.cat([counted, share])
        scatter = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
        for part, heavy in zip(
            torch.split(rows, CHUNK), torch.split(weight.float(), CHUNK), strict=True
        ):
            scatter += ((part * heavy[:, None]).T @ part).double()
        names = [n for n, there in zip(text.classes, seen.tolist(), strict=True) if there]
        words = ClassText(text.embeddings[seen.numpy()], tuple(names), text.scale)
        columns = (seen.cumsum(0) - 1)[targets]
        base = base - base.mean(1, keepdim=True)
        return cls(rows, mean, base, share, scatter, columns, words, support, pool, seen, counted)

    @property
    def known(self) -> Tensor:
        """`[N, C]` the labels of the support images, times what each counts for."""
        return one_hot(self.targets, len(self.text.classes)) * self.counted[:, None]

    def spread(self, logits: Tensor) -> Tensor:
        """`[]` standard deviation of `[R, C]` logits of the last R rows, as much as each counts."""
        counted = torch.cat([self.counted, torch.ones_like(self.share)])[-len(logits) :, None]
        if bool((counted == 1).all()):
            return logits.std()
        total = counted.sum() * logits.shape[1]
        apart = logits - (counted * logits).sum() / total
        return ((counted * apart.square()).sum() / (total - 1)).sqrt()

    def discriminant(self, base: Tensor, known: Tensor, trust: float) -> Discriminant:
        """The discriminant after some rounds of EM.

        Args:
            base: `[R, C]` logits of the rows without labels, the last ones; the prior.
            known: `[N + M - R, C]` labels of the first rows.
            trust: weight of the discriminant against `base`.
        """
        first = len(known)
        weight = torch.cat([self.counted, self.share])[first:, None]
        z, spread = base.softmax(1), self.spread(base)
        for _ in range(ROUNDS):
            found = self._gaussians(torch.cat([known, weight * z]))
            logits = (self.rows[first:] @ found.weights.T.float()).double() + found.bias
            logits -= logits.mean(1, keepdim=True)
            # spread against spread: sizes of a covariance from few rows cannot be trusted
            scale = spread / self.spread(logits).clamp(min=1e-12)
            z = (base + trust * scale * logits).softmax(1)
        return Discriminant(scale * found.weights, scale * found.bias)

    def _gaussians(self, weight: Tensor) -> Discriminant:
        """Linear discriminant analysis of all rows, `[N + M, C]` weights a class."""
        total = weight.sum(0).clamp(min=1e-9)[:, None]
        means = (weight.T.to(self.rows) @ self.rows).double() / total
        inside = self.scatter - means.T @ (total * means)
        width = len(inside)
        trace = inside.trace().clamp(min=1e-12)
        covariance = (1 - SHRINKAGE) * width / trace * inside
        covariance.diagonal().add_(SHRINKAGE)
        weights = torch.cholesky_solve(means.T, torch.linalg.cholesky(covariance)).T
        return Discriminant(weights, -0.5 * (weights * means).sum(1))
