"""Soft prompts: learned vectors in place of the words around a class name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from handful.encoders.towers import Tunable
from handful.errors import InputError
from handful.tuners._base import FirstChanged
from handful.tuners._context_tokens import (
    MARKER,
    POSITIONS,
    ContextLocator,
    check_names,
    embedded_words,
    token_embedding,
)
from handful.tuners._prompt_learner import PromptLearner
from handful.tuners._tuner import Tuner
from handful.tuners._validation import check_integer, check_number, check_option
from handful.tuners.training import losses
from handful.tuners.training.recipe import Recipe

CONTEXTS = ("class", "shared", "image")
_INITIAL_STD = 0.02  # of contexts that are drawn, as in CoOp
_MAX_LENGTH = 1024  # contexts; no supported text window is longer
_REDUCTION = 16  # the meta-network's hidden layer has 1 / 16 of the feature width, as in CoCoOp
_MAX_PROMPTS = 256  # prompts a pass where they depend on the image, to bound the memory


@dataclass(eq=False, repr=False)
class SoftPrompt(Tuner):
    """`t_c = g([v_1] ... [v_M] [name of c] .)`: M learned vectors beside each class name.

    CoOp (Zhou et al., IJCV 2022): the text tower g is frozen and the contexts v are learned through
    it, so a step costs one pass over the prompts of all classes. CoOp itself is `length=16,
    contexts="shared"`. CoCoOp (Zhou et al., CVPR 2022) is `length=4, contexts="image"`: contexts
    `v_m + h(x)` depend on the image, whose features become its similarities to the C classes. That
    encodes C prompts an image: with 8 classes of `tiny` on one core 116 ms a step of 32 images
    instead of 16, and 1.4 ms an image when predicting. Its h begins at zero here. KgCoOp (Yao et
    al., CVPR 2023) adds `pull * mean_c ||t_c - t0_c||^2`, t0 being the hand-written prompts; the
    published weight 8 is of `1 - cos`, which is 4 here.

    The default is what did best on draws of the playground that no reported number uses, at 16
    shots. Mean accuracy over its 3 families, two draws, zero-shot 18.1 %: contexts of each class
    60.8 % from words, 61.0 % from 4 drawn vectors, 59.2 % from 16; shared ones 37.4 % (16 drawn).
    Learning rates from 0.002 to 0.01, crops, pull=1, and twice the epochs made no difference of one
    point. With 1 and 4 shots it is 30.8 and 46.7 %, against 24.9 and 29.1 % of shared ones.

    What is learned is the difference to where the contexts began, so half of a delta is half way.

    Args:
        length: M contexts drawn from N(0, 0.02^2); 0 for contexts that begin as `words`.
        position: of the contexts: the class name at the `end`, in the `middle` or at the `front`.
        contexts: `class` for contexts of each class's own, `shared` by all classes, or shared and
            moved by the `image`. Only shared ones can encode classes that were not in training.
        words: what the contexts begin as; with the name at the `end`, that is the prompt they make.
        pull: weight of the pull towards the hand-written prompts.
        seed: of contexts that are drawn.

    >>> SoftPrompt(position="front")._templates(("a photo of a {}.",))
    ('{} [V].',)
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(learning_rate=5e-3)

    length: int = 0
    position: str = "end"
    contexts: str = "class"
    words: str = "a photo of a"
    pull: float = 0.0
    seed: int = 0

    @property
    def class_specific(self) -> bool:  # type: ignore[override]
        """Whether it can encode only the classes it was trained with."""
        return self.contexts != "shared"

    def is_linear_in(self, name: str) -> bool:
        """The contexts' difference to their start, and the last layer of the meta-network."""
        return name == "contexts" or name.startswith("net.2.")

    def _create_module(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        self._check()
        width = next(token_embedding(encoder).parameters()).shape[1]
        start = self._start(encoder, len(classes) if self.contexts == "class" else 1, width)
        if self.position == "middle" and start.shape[1] < 2:
            raise InputError("contexts around the class name need to be 2 or more, got 1")
        net = None
        if self.contexts == "image":
            hidden = max(1, encoder.dim // _REDUCTION)
            net = nn.Sequential(
                nn.Linear(encoder.dim, hidden), nn.ReLU(), _zero_linear(hidden, width)
            )
        locator = ContextLocator(encoder, start.shape[1], self.position)
        self._class_count = len(classes)
        if classes:
            check_names(encoder, classes)
            locator.tokenize([self._prompt(name) for name in classes])  # refuses what does not fit
        return PromptLearner(locator, start, tuple(classes), net)

    def _attach(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        return nullcontext()  # the embeddings are replaced in `_encode_texts`, for that call alone

    def _first_changed(self, encoder: Tunable) -> FirstChanged:
        return FirstChanged(vision=None, text=0)

    def _templates(self, templates: tuple[str, ...]) -> tuple[str, ...]:
        self._check()
        return (POSITIONS[self.position],)

    def _encode_texts(
        self, encoder: Tunable, delta: nn.Module, texts: Sequence[str]
    ) -> Tensor | None:
        prompts = cast(PromptLearner, delta)
        if self.contexts == "image":
            # The features are similarities to the classes (`_transform_features`), so the classes
            # are the unit vectors of that space.
            columns = [self._class_index(prompts, text) for text in texts]
            eye = torch.eye(len(prompts.classes) + 1, device=prompts.contexts.device)
            return eye[columns]
        marked = [i for i, text in enumerate(texts) if MARKER in text]
        if not marked:
            return None
        chosen = [texts[i] for i in marked]
        contexts = prompts.current()
        if self.contexts == "class":
            contexts = contexts[[self._class_index(prompts, text) for text in chosen]]
        found = prompts.encode(chosen, contexts)
        if len(marked) == len(texts):
            return found
        plain = [i for i in range(len(texts)) if MARKER not in texts[i]]
        others = encoder.text.forward(encoder.tokens([texts[i] for i in plain]))
        order = torch.tensor([*marked, *plain]).argsort().to(found.device)
        return torch.cat([found, others])[order]

    def _transform_features(self, encoder: Tunable, delta: nn.Module, features: Tensor) -> Tensor:
        """For CoCoOp `[N, C + 1]` unit rows `(cos(x, t_c(x)) / sqrt(C) for c, the rest)`.

        The prompts depend on the image, so there is no one text matrix to compare with. The
        cosines themselves become the features; divided by sqrt(C) their norm is at most 1, and the
        last column completes the row to length one. `_logit_scale` multiplies by sqrt(C) again.
        """
        if self.contexts != "image":
            return features
        prompts = cast(PromptLearner, delta)
        texts = [self._prompt(name) for name in prompts.classes]

        def cosines(part: Tensor) -> Tensor:
            contexts = prompts.current() + prompts.shift(part)[:, None]  # [n, M, W]
            found = prompts.encode_product(texts, contexts)
            # no matrix product, which mixed precision would round
            return (part[:, None] * normalize(found.float(), dim=-1)).sum(dim=-1)

        parts = torch.split(features, max(1, _MAX_PROMPTS // len(texts)))
        if len(parts) > 1 and torch.is_grad_enabled():  # one part's activations at a time
            rows = [checkpoint(cosines, part, use_reentrant=False) for part in parts]
        else:
            rows = [cosines(part) for part in parts]
        near = torch.cat(rows) / math.sqrt(len(texts))
        # clamped before the root, whose gradient at 0 is infinite
        left = (1 - near.square().sum(dim=1, keepdim=True)).clamp_min(1e-12).sqrt()
        return torch.cat([near, left], dim=1)

    def _logit_scale(self, encoder: Tunable) -> float:
        if self.contexts != "image":
            return encoder.scale
        return encoder.scale * math.sqrt(self._class_count)

    def _penalty(self, delta: nn.Module, text: Tensor, frozen: Tensor, count: int) -> Tensor | None:
        return self.pull * losses.prompt_distance(text, frozen) if self.pull else None

    def _start(self, encoder: Tunable, rows: int, width: int) -> Tensor:
        """`[1 or C, M, W]`; the same on every machine, as a delta does not hold it."""
        if not self.length:
            return embedded_words(encoder, self.words).cpu().float().expand(rows, -1, -1).clone()
        # numpy guarantees that the stream of RandomState never changes; of newer generators it may
        # not, and torch's may differ between releases
        drawn = np.random.RandomState(self.seed).standard_normal
        return torch.from_numpy(drawn((rows, self.length, width)) * _INITIAL_STD).float()

    def _prompt(self, name: str) -> str:
        return POSITIONS[self.position].replace("{}", name)

    def _class_index(self, prompts: PromptLearner, text: str) -> int:
        """The index of the class whose prompt this is."""
        before, after = POSITIONS[self.position].split("{}")
        name = text[len(before) : len(text) - len(after)]
        if text != self._prompt(name) or name not in prompts.index:
            known = ", ".join(prompts.classes[:5]) + ", ..." * (len(prompts.classes) > 5)
            raise InputError(
                f"{text!r} is no prompt {POSITIONS[self.position]!r} of a class that these "
                f"contexts were taught ({known}); train again with that class, or with "
                "contexts='shared'"
            )
        return prompts.index[name]

    def _check(self) -> None:
        check_option("position", self.position, POSITIONS)
        check_option("contexts", self.contexts, CONTEXTS)
        check_integer("length", self.length, 0, _MAX_LENGTH)
        check_integer("seed", self.seed, 0, 2**32 - 1)
        plain = isinstance(self.words, str) and self.words.strip() and MARKER not in self.words
        if not self.length and not plain:
            raise InputError(
                f"expected plain words for contexts to begin as, or a length; got {self.words!r}"
            )
        check_number("pull", self.pull)
        if self.contexts == "image" and self.pull:
            raise InputError("contexts moved by the image have no one text to pull; leave pull out")


def _zero_linear(width: int, out: int) -> nn.Linear:
    """A linear map of everything to zero, so that training begins at the contexts' start."""
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
