"""What every tuner is: it changes an encoder and hands on another one.

A tuner says four things: the tensors it learns (`_delta`), how they enter the model (`_attached`),
where in each tower they begin to matter (`_entry`), and which of them scale its change (`scales`).
Training, caching, saving, interpolating and averaging follow from these and stand elsewhere, once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from handful.contracts import ImageRef
from handful.encoders.prompts import ClassPrompts
from handful.encoders.towers import Tunable
from handful.errors import MismatchError
from handful.tuners._delta import Delta
from handful.tuners.training.recipe import Recipe


@dataclass(frozen=True)
class Entry:
    """The first block of each tower whose output differs from the untouched encoder's.

    Args:
        vision: its place among the tower's blocks; `len(blocks)` where only what follows the last
            block differs, -1 where what enters the first block does, None where nothing does.
        text: likewise.
    """

    vision: int | None
    text: int | None

    def earliest(self, other: Entry) -> Entry:
        """Of two tuners that work together."""
        return Entry(_first(self.vision, other.vision), _first(self.text, other.text))


class Tuner(BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn is untyped
    """Changes an encoder from a handful of labelled images; the constructor only remembers."""

    plugin: ClassVar[bool] = False  # the files of the folder set it
    recipe: ClassVar[Recipe] = Recipe()  # how it is trained where the caller does not say
    fastest: ClassVar[float] = math.inf  # the learning rate above which it destroys the encoder
    by_class: ClassVar[bool] = False  # whether what it learns belongs to certain classes

    @abstractmethod
    def _delta(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        """New tensors to learn, drawn from torch's generator; attached, they change nothing yet."""

    @abstractmethod
    def _attached(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        """The model with the change in it; on leaving, every bit is as it was before."""

    @abstractmethod
    def _entry(self, encoder: Tunable) -> Entry:
        """Where the change begins, so that what comes before is computed once.

        Raises:
            InputError: a block that the encoder does not have.
        """

    @abstractmethod
    def scales(self, name: str) -> bool:
        """Whether the change is linear in the tensor of this name; those are zero at the start."""

    def _read(self, encoder: Tunable, delta: nn.Module, texts: Sequence[str]) -> Tensor | None:
        """`[N, D]` of texts that the tuner reads its own way, else None."""
        return None

    def _see(self, encoder: Tunable, delta: nn.Module, features: Tensor) -> Tensor:
        """`[N, D]` unit image features to those that are handed on; the same ones as a rule."""
        return features

    def _scale(self, encoder: Tunable) -> float:
        """What a cosine of the features that are handed on is multiplied by."""
        return encoder.scale

    def _templates(self, templates: tuple[str, ...]) -> tuple[str, ...]:
        """The prompts it is trained with, where they are not the caller's."""
        return templates

    def _penalty(self, delta: nn.Module, text: Tensor, frozen: Tensor, count: int) -> Tensor | None:
        """What is added to the loss, if anything.

        Args:
            delta: what is being learned.
            text: `[C, D]` unit rows, the classes as the tuned encoder reads them now.
            frozen: `[C, D]` unit rows, as the untouched encoder does.
            count: N, training images.
        """
        return None

    def fit(
        self,
        encoder: Tunable,
        images: Sequence[ImageRef],
        labels: Sequence[str],
        text: ClassPrompts,
        **settings: Any,
    ) -> Any:
        """Teach the encoder; see `handful.tuners.fit`, which trains several tuners together."""
        from handful.tuners.training.fit import fit

        return fit([self], encoder, images, labels, text, **settings)

    def fresh(self, encoder: Tunable, classes: Sequence[str], seed: int) -> nn.Module:
        """New tensors to learn; the generator of the process is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds GPUs as well
            return self._delta(encoder, classes)

    def restored(self, encoder: Tunable, delta: Delta) -> nn.Module:
        """The module of a delta, ready to be attached.

        Raises:
            MismatchError: made for another encoder, or tensors that are not this architecture's.
        """
        module = self.fresh(encoder, delta.classes, 0)
        wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        found = {name: tuple(value.shape) for name, value in delta.tensors.items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                raise MismatchError(
                    f"the delta of {delta.tuner!r} does not fit the encoder {encoder.name!r}: "
                    f"{name} should be {_told(wanted.get(name))} and is {_told(found.get(name))}; "
                    "it was made for another architecture"
                )
        module.load_state_dict(
            {n: torch.from_numpy(np.array(t, dtype=np.float32)) for n, t in delta.tensors.items()}
        )
        return module.to(encoder.device).eval().requires_grad_(False)


def _first(a: int | None, b: int | None) -> int | None:
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


def _told(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))
