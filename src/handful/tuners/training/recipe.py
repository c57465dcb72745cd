"""The settings of a training: length, learning rate, views, weights of the losses, memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from handful.data import augmentation
from handful.errors import InputError
from handful.tuners._validation import check_integer, check_number, check_option

PRECISIONS = ("no", "bf16", "fp16")
MAX_BASE_RATE = 1e-5  # above it a few images destroy the pretrained features


@dataclass(frozen=True)
class Recipe:
    """How a tuner is trained; a fixed number of epochs, so that no validation data are needed.

    Args:
        epochs: passes over the images.
        learning_rate: of what the tuners learn, at its highest; half a cosine down to zero.
        batch: images an update, over all processes.
        weight_decay: decoupled (AdamW), of matrices alone: biases and norms keep their size.
        warmup: share of all updates over which the rate rises from zero.
        views: an image is seen in this many views, the first being the image as it is.
        augmentation: how views are made, see `handful.data.augmentation`; `none` with one view.
        kl: weight of the KL divergence from the frozen encoder's answers.
        consistency: weight of the agreement between the tuned image and the tuned text tower.
        precision: `no` for float32, `bf16` or `fp16` (GPUs alone) for mixed precision.
        accumulation: parts that a batch is split into, to save memory; the result is the same but
            for what is drawn at random (dropout, views).
        checkpointing: compute activations again in the backward pass, to save memory.
        chunk: classes that the text tower encodes at once; 0 for all of them.
        base_rate: learning rate of the encoder's own weights; 0 keeps them frozen.
        cache: keep what is computed once; without it images are decoded and encoded in each epoch.
        seed: of everything that is drawn.

    Raises:
        InputError: an argument that is no number or out of range.
    """

    epochs: int = 50
    learning_rate: float = 1e-3
    batch: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.05
    views: int = 1
    augmentation: str = "none"
    kl: float = 0.0
    consistency: float = 0.0
    precision: str = "no"
    accumulation: int = 1
    checkpointing: bool = False
    chunk: int = 0
    base_rate: float = 0.0
    cache: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (("epochs", 0), ("batch", 1), ("views", 1), ("accumulation", 1)):
            check_integer(name, getattr(self, name), low)
        for name in ("chunk", "seed"):
            check_integer(name, getattr(self, name), 0)
        if self.seed >= 2**32:
            raise InputError(f"expected seed below 2**32, got {self.seed}")
        for name in ("learning_rate", "weight_decay", "warmup", "kl", "consistency", "base_rate"):
            check_number(name, getattr(self, name))
        if self.warmup > 1:
            raise InputError(
                f"expected warmup from 0 to 1, a share of all updates, got {self.warmup}"
            )
        if self.base_rate > MAX_BASE_RATE:
            raise InputError(
                f"expected base_rate of at most {MAX_BASE_RATE:g}, got {self.base_rate}: above it "
                "a few images destroy what the encoder knows"
            )
        check_option("precision", self.precision, PRECISIONS)
        check_option("augmentation", self.augmentation, ("none", *augmentation.KINDS))
        if (self.views > 1) != (self.augmentation != "none"):
            raise InputError(
                f"views={self.views} and augmentation={self.augmentation!r} do not go together: "
                "several views need an augmentation (augmentation=semantic), and one view is the "
                "image as it is (augmentation=none)"
            )
        for name in ("checkpointing", "cache"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"expected {name} true or false, got {getattr(self, name)!r}")

    def steps(self, count: int) -> int:
        """Updates in all for `count` images."""
        return self.epochs * math.ceil(count / self.batch)


# What did best for the tuners that change the towers, on draws that no reported number uses.
AUGMENTED = Recipe(epochs=20, batch=16, views=8, augmentation="semantic", kl=0.3)
