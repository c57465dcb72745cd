"""What is minimised while an encoder is tuned; the losses' formulas stand in `losses`."""

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
        parts: the tuners and what they learn; attached to the model by the caller.
        below: tuners that learn nothing more, under these; attached by the caller too.
        sight: N labelled images.
        words: C classes.
        targets: `[N]` columns.
        recipe: the losses' weights.
        frozen_text: `[C, D]` unit rows, the classes as the untouched encoder reads them.
        others: images without labels, for the consistency loss alone.
    """

    def __init__(
        self,
        parts: Sequence[TunerModule],
        sight: TrainingImages,
        words: TrainingText,
        targets: Tensor,
        recipe: Recipe,
        frozen_text: Tensor,
        others: TrainingImages | None = None,
        below: Sequence[TunerModule] = (),
    ) -> None:
        super().__init__()
        self.learned = nn.ModuleList([part.module for part in parts])
        self._parts, self._sight, self._words, self._others = parts, sight, words, others
        self._targets, self._recipe, self._frozen_text = targets, recipe, frozen_text
        self._base, self._below = sight.base, below
        self._scale = logit_scale(sight.base, (*below, *parts))
        self._frozen_scale = logit_scale(sight.base, below)
        widths = {sight.base.dim, frozen_text.shape[1]}
        if recipe.consistency and widths != {words.weights().shape[1]}:
            raise InputError(
                "consistency compares both views in the encoder's own space, and contexts that "
                "depend on the image leave it; leave out consistency, or use other contexts"
            )
        needed = recipe.kl > 0 or recipe.consistency > 0
        self._frozen = sight.frozen() if needed else None
        self._frozen_others = others.frozen() if others is not None else None

    def forward(self, rows: Tensor, others: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of the labelled images `rows` `[B]`, and of others without labels `[U]`."""
        text = self._words.weights()
        views = self._sight.draw(rows)
        seen = self._sight.features(rows, views)
        logits = self._scale * self._seen(seen, (*self._below, *self._parts)) @ text.T
        targets = self._targets[rows].to(logits.device)
        found = {"cross_entropy": losses.cross_entropy(logits, targets)}
        if self._frozen is not None:
            before = self._frozen[rows, views].to(logits.device)
            if self._recipe.kl:
                known = self._seen(before, self._below)
                frozen = self._frozen_scale * known @ self._frozen_text.T
                found["kl"] = self._recipe.kl * losses.frozen_kl(logits, frozen)
            if self._recipe.consistency:
                found["consistency"] = self._recipe.consistency * self._agree(seen, before, text)
        if others is not None and self._others is not None and self._frozen_others is not None:
            views = self._others.draw(others)
            seen = self._others.features(others, views)
            before = self._frozen_others[others, views].to(seen.device)
            found["unlabelled"] = self._recipe.consistency * self._agree(seen, before, text)
        for part in self._parts:
            pull = part.tuner._penalty(part.module, text, self._frozen_text, len(self._sight))
            if pull is not None:
                found["pull"] = found.get("pull", torch.zeros_like(pull)) + pull
        return found

    def _agree(self, seen: Tensor, before: Tensor, text: Tensor) -> Tensor:
        """Adapted view of the images against the adapted view of the classes."""
        visual = self._base.scale * seen @ self._frozen_text.T
        textual = self._base.scale * before @ text.T
        return losses.consistency(visual, textual)

    def _seen(self, features: Tensor, parts: Sequence[TunerModule]) -> Tensor:
        """What tuners make of `[B, D]` features of the tower."""
        for part in parts:
            features = part.tuner._transform_features(self._base, part.module, features)
        return normalize(features, dim=-1)
