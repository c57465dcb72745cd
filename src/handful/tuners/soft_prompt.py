"""Learned words: vectors in the place of a prompt's first words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from handful.encoders.towers import Tunable
from handful.errors import InputError
from handful.tuners._arguments import number, whole
from handful.tuners._base import Entry, Tuner
from handful.tuners._contexts import MARKER, POSITIONS, check_names, embedded_words, table_of
from handful.tuners._prompt import Prompt, zero
from handful.tuners.training import losses
from handful.tuners.training.recipe import Recipe

CONTEXTS = ("class", "shared", "image")
_SPREAD = 0.02  # of contexts that are drawn, as in CoOp
_MOST = 1024  # contexts; no text window that we know is longer
_SQUEEZE = 16  # the network of CoCoOp has this part of the feature width in its middle
_PROMPTS = 256  # prompts a pass where they depend on the image, to bound the memory


class SoftPrompt(Tuner):
    """`t_c = g([v_1] ... [v_M] [name of c] .)`: M learned vectors beside each class name.

    CoOp (Zhou et al., IJCV 2022): the text tower g is frozen and the contexts v are learned through
    it, so a step costs one pass over the prompts of all classes. CoOp itself is `length=16,
    contexts="shared"`. CoCoOp (Zhou et al., CVPR 2022) is `length=4, contexts="image"`: contexts
    `v_m + h(x)` depend on the image, whose features become its similarities to the C classes. That
    reads C prompts for every image: with 8 classes of `tiny` on one core 116 ms a step of 32 images
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
            moved by the `image`. Only shared ones can read classes that were not taught.
        words: what the contexts begin as; with the name at the `end`, that is the prompt they make.
        pull: weight of the pull towards the hand-written prompts.
        seed: of contexts that are drawn.

    >>> SoftPrompt(position="front")._templates(("a photo of a {}.",))
    ('{} [V].',)
    """

    plugin: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe(learning_rate=5e-3)

    def __init__(
        self,
        length: int = 0,
        position: str = "end",
        contexts: str = "class",
        words: str = "a photo of a",
        pull: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.length = length
        self.position = position
        self.contexts = contexts
        self.words = words
        self.pull = pull
        self.seed = seed

    @property
    def by_class(self) -> bool:  # type: ignore[override]
        """Whether it knows only the classes it was taught."""
        return self.contexts != "shared"

    def scales(self, name: str) -> bool:
        """The contexts' way from their start, and what the network of CoCoOp adds."""
        return name == "contexts" or name.startswith("net.2.")

    def _delta(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        self._check()
        width = next(table_of(encoder).parameters()).shape[1]
        start = self._start(encoder, len(classes) if self.contexts == "class" else 1, width)
        if self.position == "middle" and start.shape[1] < 2:
            raise InputError("contexts around the class name need to be 2 or more, got 1")
        net = None
        if self.contexts == "image":
            middle = max(1, encoder.dim // _SQUEEZE)
            net = nn.Sequential(nn.Linear(encoder.dim, middle), nn.ReLU(), zero(middle, width))
        made = Prompt(start, tuple(classes), net)
        self._classes_ = len(classes)
        if classes:
            check_names(encoder, classes)
            made.find(encoder, self.position, [self._prompt(name) for name in classes])
        return made

    def _attached(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        return nullcontext()  # contexts are put in where a text is read, and out again there

    def _entry(self, encoder: Tunable) -> Entry:
        return Entry(vision=None, text=0)

    def _templates(self, templates: tuple[str, ...]) -> tuple[str, ...]:
        self._check()
        return (POSITIONS[self.position],)

    def _read(self, encoder: Tunable, delta: nn.Module, texts: Sequence[str]) -> Tensor | None:
        prompt = _prompt_of(delta)
        if self.contexts == "image":
            places = [self._class(prompt, text) for text in texts]
            eye = torch.eye(len(prompt.classes) + 1, device=prompt.contexts.device)
            return eye[places]
        marked = [i for i, text in enumerate(texts) if MARKER in text]
        if not marked:
            return None
        chosen = [texts[i] for i in marked]
        contexts = prompt.now()
        if self.contexts == "class":
            contexts = contexts[[self._class(prompt, text) for text in chosen]]
        found = prompt.read(encoder, self.position, chosen, contexts)
        if len(marked) == len(texts):
            return found
        plain = [i for i in range(len(texts)) if MARKER not in texts[i]]
        others = encoder.text.forward(encoder.tokens([texts[i] for i in plain]))
        order = torch.tensor([*marked, *plain]).argsort().to(found.device)
        return torch.cat([found, others])[order]

    def _see(self, encoder: Tunable, delta: nn.Module, features: Tensor) -> Tensor:
        """For CoCoOp `[N, C + 1]` unit rows `(cos(x, t_c(x)) / sqrt(C) for c, the rest)`."""
        if self.contexts != "image":
            return features
        prompt = _prompt_of(delta)
        texts = [self._prompt(name) for name in prompt.classes]

        def similar(part: Tensor) -> Tensor:
            contexts = prompt.now() + prompt.shift(part)[:, None]  # [n, M, W]
            found = prompt.read(encoder, self.position, texts, contexts, each=True)
            # no matrix product, which mixed precision would round
            return (part[:, None] * normalize(found.float(), dim=-1)).sum(dim=-1)

        parts = torch.split(features, max(1, _PROMPTS // len(texts)))
        if len(parts) > 1 and torch.is_grad_enabled():  # one part's activations at a time
            rows = [checkpoint(similar, part, use_reentrant=False) for part in parts]
        else:
            rows = [similar(part) for part in parts]
        near = torch.cat(rows) / math.sqrt(len(texts))
        left = (1 - near.square().sum(dim=1, keepdim=True)).clamp_min(1e-12).sqrt()
        return torch.cat([near, left], dim=1)

    def _scale(self, encoder: Tunable) -> float:
        if self.contexts != "image":
            return encoder.scale
        return encoder.scale * math.sqrt(self._classes_)

    def _penalty(self, delta: nn.Module, text: Tensor, frozen: Tensor, count: int) -> Tensor | None:
        if not self.pull:
            return None
        return self.pull * losses.text_pull(text, frozen)

    def _start(self, encoder: Tunable, rows: int, width: int) -> Tensor:
        """`[1 or C, M, W]`; the same on every machine, for it is not kept."""
        if not self.length:
            return embedded_words(encoder, self.words).cpu().float().expand(rows, -1, -1).clone()
        # this generator's stream is frozen for good, which those that came after it do not promise
        drawn = np.random.RandomState(self.seed).standard_normal
        return torch.from_numpy(drawn((rows, self.length, width)) * _SPREAD).float()

    def _prompt(self, name: str) -> str:
        return POSITIONS[self.position].replace("{}", name)

    def _class(self, prompt: Prompt, text: str) -> int:
        """The place of the class that a prompt asks for."""
        before, after = POSITIONS[self.position].split("{}")
        name = text[len(before) : len(text) - len(after)]
        if text != self._prompt(name) or name not in prompt.places:
            known = ", ".join(prompt.classes[:5]) + ", ..." * (len(prompt.classes) > 5)
            raise InputError(
                f"{text!r} is no prompt {POSITIONS[self.position]!r} of a class that these "
                f"contexts were taught ({known}); train again with that class, or with "
                "contexts='shared'"
            )
        return prompt.places[name]

    def _check(self) -> None:
        if self.position not in tuple(POSITIONS):
            raise InputError(f"expected position {', '.join(POSITIONS)}, got {self.position!r}")
        if self.contexts not in CONTEXTS:
            raise InputError(f"expected contexts {', '.join(CONTEXTS)}, got {self.contexts!r}")
        whole("length", self.length, 0, _MOST)
        whole("seed", self.seed, 0, 2**32 - 1)
        plain = isinstance(self.words, str) and self.words.strip() and MARKER not in self.words
        if not self.length and not plain:
            raise InputError(
                f"expected plain words for contexts to begin as, or a length; got {self.words!r}"
            )
        number("pull", self.pull)
        if self.contexts == "image" and self.pull:
            raise InputError("contexts moved by the image have no one text to pull; leave pull out")


def _prompt_of(delta: nn.Module) -> Prompt:
    if not isinstance(delta, Prompt):
        raise InputError(f"expected contexts of a soft prompt, got {type(delta).__name__}")
    return delta
