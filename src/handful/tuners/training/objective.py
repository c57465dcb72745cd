"""The objective of a training: named losses of a batch; their formulas are in `losses`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from handful.errors import InputError
from handful.tuners._tuned_encoder import TunerModule, logit_scale
from handful.tuners.training import losses
from handful.tuners.training.images import TrainingImages
from handful.tuners.training.recipe import Recipe
from handful.tuners.training.text import TrainingText


class Objective(nn.Module):
    """Named losses of a batch; its parameters are what the tuners learn.

    Args:
        modules: the tuners and what they learn; attached to the model by the caller.
        images: N labelled images.
        text: C classes.
        targets: `[N]` columns.
        recipe: the losses' weights.
        frozen_text: `[C, D]` unit rows, the classes as the frozen encoder encodes them.
        unlabelled: images without labels, for the consistency loss alone.
        below: trained tuners under these; attached by the caller too.
    """

    def __init__(
        self,
        modules: Sequence[TunerModule],
        images: TrainingImages,
        text: TrainingText,
        targets: Tensor,
        recipe: Recipe,
        frozen_text: Tensor,
        unlabelled: TrainingImages | None = None,
        below: Sequence[TunerModule] = (),
    ) -> None:
        super().__init__()
        self.learned = nn.ModuleList([m.module for m in modules])
        self._trained, self._below, self._base = modules, below, images.base
        self._images, self._text, self._unlabelled = images, text, unlabelled
        self._targets, self._recipe, self._frozen_text = targets, recipe, frozen_text
        self._scale = logit_scale(images.base, (*below, *modules))
        self._frozen_scale = logit_scale(images.base, below)
        widths = {images.base.dim, frozen_text.shape[1]}
        if recipe.consistency and widths != {text.weights().shape[1]}:
            raise InputError(
                "consistency compares both views in the encoder's own space, and contexts that "
                "depend on the image leave it; leave out consistency, or use other contexts"
            )
        # `[N, V, D]`, before the new tuners are attached
        needed = recipe.kl > 0 or recipe.consistency > 0
        self._frozen = images.frozen_features() if needed else None
        self._frozen_unlabelled = unlabelled.frozen_features() if unlabelled is not None else None

    def forward(self, rows: Tensor, others: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of the labelled images `rows` `[B]`, and of others without labels `[U]`."""
        text = self._text.weights()
        views = self._images.draw_views(rows)
        seen = self._images.features(rows, views)
        everything = (*self._below, *self._trained)
        logits = self._scale * self._transformed(seen, everything) @ text.T
        targets = self._targets[rows].to(logits.device)
        found = {"cross_entropy": losses.cross_entropy(logits, targets)}
        if self._frozen is not None:
            # the same view for both, or the loss would punish invariance to views
            before = self._frozen[rows, views].to(logits.device)
            if self._recipe.kl:
                known = self._transformed(before, self._below)
                frozen = self._frozen_scale * known @ self._frozen_text.T
                found["kl"] = self._recipe.kl * losses.frozen_kl(logits, frozen)
            if self._recipe.consistency:
                found["consistency"] = self._consistency(seen, before, text)
        if others is not None and self._unlabelled and self._frozen_unlabelled is not None:
            views = self._unlabelled.draw_views(others)
            seen = self._unlabelled.features(others, views)
            before = self._frozen_unlabelled[others, views].to(seen.device)
            found["unlabelled"] = self._consistency(seen, before, text)
        for m in self._trained:
            penalty = m.tuner._penalty(m.module, text, self._frozen_text, len(self._images))
            if penalty is not None:
                found["pull"] = found.get("pull", torch.zeros_like(penalty)) + penalty
        return found

    def _consistency(self, seen: Tensor, before: Tensor, text: Tensor) -> Tensor:
        """Tuned images against frozen classes, and frozen images against tuned classes."""
        visual = self._base.scale * seen @ self._frozen_text.T
        textual = self._base.scale * before @ text.T
        return self._recipe.consistency * losses.consistency(visual, textual)

    def _transformed(self, features: Tensor, modules: Sequence[TunerModule]) -> Tensor:
        """`[B, D]` features of the image tower to what the tuners make of them, unit rows."""
        for m in modules:
            features = m.tuner._transform_features(self._base, m.module, features)
        return normalize(features, dim=-1)
