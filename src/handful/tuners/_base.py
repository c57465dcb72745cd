"""The interface of a tuner: what attaching, training, saving and averaging need of it.

A tuner defines the tensors it learns (`_create_module`), how they enter the model (`_attach`), the
first block of each tower that they change (`_first_changed`), and which of them its change is
linear in (`is_linear_in`). Everything else follows from these and is written once. The training
code depends on this interface alone; `_tuner.Tuner` stands above it and adds `fit`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from handful.encoders.towers import Tunable
from handful.errors import MismatchError
from handful.tuners._delta import Delta
from handful.tuners.training.recipe import Recipe


@dataclass(frozen=True)
class FirstChanged:
    """The first block of each tower whose output differs from the frozen encoder's.

    Args:
        vision: index among the tower's blocks; `len(blocks)` where only what follows the last block
            differs, -1 where the input of the first block does, None where nothing does.
        text: likewise.
    """

    vision: int | None = None
    text: int | None = None

    def earliest(self, other: FirstChanged) -> FirstChanged:
        """Of two tuners that are attached together."""
        return FirstChanged(_minimum(self.vision, other.vision), _minimum(self.text, other.text))


class BaseTuner(BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn is untyped
    """A change of an encoder; the constructor only stores its arguments.

    `encoder` is always the frozen encoder, `delta` the module that `_create_module` made.
    """

    plugin: ClassVar[bool] = False  # the files of the folder set it
    recipe: ClassVar[Recipe] = Recipe()  # the default of how it is trained
    max_learning_rate: ClassVar[float] = math.inf  # above it training destroys the encoder
    class_specific: ClassVar[bool] = False  # whether what it learns belongs to certain classes

    @property
    def name(self) -> str:
        """Its name among the plug-ins, which is its file's."""
        return type(self).__module__.rpartition(".")[2]

    @abstractmethod
    def _create_module(self, encoder: Tunable, classes: Sequence[str]) -> nn.Module:
        """New tensors to learn, drawn from torch's generator; attached, they change nothing yet."""

    @abstractmethod
    def _attach(self, encoder: Tunable, delta: nn.Module) -> AbstractContextManager[None]:
        """The model with the change in it; on leaving, every bit is as it was before."""

    @abstractmethod
    def _first_changed(self, encoder: Tunable) -> FirstChanged:
        """Where the change begins, so that what comes before is computed once.

        Raises:
            InputError: a block that the encoder does not have.
        """

    def is_linear_in(self, name: str) -> bool:
        """Whether the change is linear in the tensor of this name; those are zero at the start.

        All of them as a rule: what is learned is the difference to the encoder's own weights.
        """
        return True

    def _encode_texts(
        self, encoder: Tunable, delta: nn.Module, texts: Sequence[str]
    ) -> Tensor | None:
        """`[N, D]` of N texts where the tuner encodes them its own way, else None."""
        return None

    def _transform_features(self, encoder: Tunable, delta: nn.Module, features: Tensor) -> Tensor:
        """`[N, D]` unit image features to `[N, D']`; the identity as a rule."""
        return features

    def _logit_scale(self, encoder: Tunable) -> float:
        """The factor from a cosine of the transformed features to a logit."""
        return encoder.scale

    def _templates(self, templates: tuple[str, ...]) -> tuple[str, ...]:
        """The prompt templates it is trained with, where they are not the caller's."""
        return templates

    def _penalty(self, delta: nn.Module, text: Tensor, frozen: Tensor, count: int) -> Tensor | None:
        """A regularisation term that is added to the loss, if there is one.

        Args:
            delta: what is being learned.
            text: `[C, D]` unit rows, the classes as the tuned encoder encodes them now.
            frozen: `[C, D]` unit rows, as the frozen encoder does.
            count: N, training images.
        """
        return None

    def create_module(self, encoder: Tunable, classes: Sequence[str], seed: int) -> nn.Module:
        """New tensors to learn; the generator of the process is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed reseeds GPUs as well
            return self._create_module(encoder, classes)

    def restore_module(self, encoder: Tunable, delta: Delta) -> nn.Module:
        """The module of a delta, ready to be attached.

        Raises:
            MismatchError: made for another encoder, or tensors that are not this architecture's.
        """
        module = self.create_module(encoder, delta.classes, 0)
        wanted = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        found = {name: tuple(value.shape) for name, value in delta.tensors.items()}
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                raise MismatchError(
                    f"the delta of {delta.tuner!r} does not fit the encoder {encoder.name!r}: "
                    f"{name} should be {_shape(wanted.get(name))} and is "
                    f"{_shape(found.get(name))}; it was made for another architecture"
                )
        module.load_state_dict(
            {n: torch.from_numpy(np.array(t, dtype=np.float32)) for n, t in delta.tensors.items()}
        )
        return module.to(encoder.device).eval().requires_grad_(False)


def _minimum(a: int | None, b: int | None) -> int | None:
    return min((x for x in (a, b) if x is not None), default=None)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))
