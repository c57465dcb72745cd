"""What the encoders of every library share: one frozen model with an image and a text tower."""

from __future__ import annotations

import contextlib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from handful.contracts import Array, unit
from handful.encoders import precision as _precision
from handful.encoders.backends._preprocessing import Preprocessing
from handful.encoders.checkpoint import first_line
from handful.encoders.kernels import use_onednn
from handful.encoders.towers import Tower
from handful.errors import DeviceError, InputError

_TEXT_BATCH = 128


class TextCutWarning(UserWarning):
    """A text did not fit into the encoder's window."""


class Tokens(Protocol):
    """From texts to the inputs of a text tower."""

    window: int

    def encode(self, texts: Sequence[str]) -> tuple[dict[str, Tensor], int | None]:
        """N texts to the inputs, and the first text that was cut, if any."""
        ...


class TwoTowerEncoder(ABC):
    """A frozen model with an image tower and a text tower of one space.

    A subclass loads the library's objects in its constructor, sets the attributes below, and ends
    with `_finish`. Load with `precision="float32"` to find every weight in `model`.
    """

    plugin: ClassVar[bool] = True
    sort_texts: ClassVar[bool] = False
    """Whether texts of like length are encoded together, as batches are padded to the longest."""

    name: str
    device: torch.device
    fingerprint: str
    model: Any
    vision: Tower
    text: Tower
    _preprocessing: Preprocessing
    _tokens: Tokens

    @classmethod
    @abstractmethod
    def load(cls, name: str, *, precision: str = "auto", device: str = "auto") -> Self:
        """See `handful.encoders.load`."""

    def _finish(self, image_tower: nn.Module, precision: str) -> None:
        """What follows from the parts: scale, width, kernels and precision.

        Args:
            image_tower: the part of `model` that may compute in bfloat16.
            precision: `auto`, `float32` or `bfloat16`.
        """
        self.scale, self.bias = _temperature(self.model, self.name)
        self.window = self._tokens.window
        self._warned = False
        use_onednn(self.model, self.device)
        self.dim = int(self.texts(["a photo"]).shape[1])
        self.precision, self.agreement = _precision.choose(self, image_tower, precision)

    def prepare(self, image: Image.Image) -> Any:
        """One decoded image, resized and cropped as the checkpoint states; thread-safe."""
        return self._preprocessing.prepare(image)

    def images(self, batch: Sequence[Any]) -> Array:
        """N prepared images to `[N, D]` float32 unit rows."""
        if not len(batch):
            return np.zeros((0, self.dim), dtype=np.float32)
        with torch.inference_mode():
            out = self.vision.forward(self.pixels(batch)).float().cpu().numpy()
        return unit(out, f"image features of {self.name}")

    def texts(self, batch: Sequence[str]) -> Array:
        """N texts to `[N, D]` float32 unit rows.

        A text longer than the window is cut as the library cuts it; with a warning, once.
        """
        texts = list(batch)
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        order = list(range(len(texts)))
        if self.sort_texts:
            order.sort(key=lambda i: len(texts[i]))
        rows: dict[int, Array] = {}
        for start in range(0, len(order), _TEXT_BATCH):
            part = order[start : start + _TEXT_BATCH]
            with torch.inference_mode():
                tokens = self.tokens([texts[i] for i in part])
                out = self.text.forward(tokens).float().cpu().numpy()
            rows.update(zip(part, unit(out, f"texts of {self.name}"), strict=True))
        return np.stack([rows[i] for i in range(len(texts))])

    def pixels(self, batch: Sequence[Any]) -> dict[str, Tensor]:
        """N prepared images to the inputs of `vision`, on the device."""
        return self._preprocessing.batch(batch, self.device)

    def tokens(self, batch: Sequence[str]) -> dict[str, Tensor]:
        """N texts to the inputs of `text`, on the device."""
        texts = list(batch)
        inputs, cut = self._tokens.encode(texts)
        if cut is not None and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name}: texts longer than {self.window} tokens are cut, "
                f"such as {texts[cut][:60]!r}",
                TextCutWarning,
                stacklevel=3,
            )
        return {k: v.to(self.device) for k, v in inputs.items()}


def find_device(name: str) -> torch.device:
    """`auto` or a name of torch's to a device.

    Raises:
        DeviceError: a device that torch does not support or that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error, 200)
        raise DeviceError(f"device {name!r} cannot be used here ({reason})") from error
    return found


@contextlib.contextmanager
def preprocessing_errors(folder: Path) -> Iterator[None]:
    """The libraries' errors about how images are prepared, as ours.

    Raises:
        InputError: names the folder.
    """
    try:
        yield
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise InputError(
            f"{folder}: pictures cannot be prepared as it says ({first_line(error, 200)}); its "
            "size, crop, mean or deviation is damaged, download it again"
        ) from error


def _temperature(model: Any, name: str) -> tuple[float, float]:
    """What a cosine is multiplied by, and what is added (SigLIP's bias; it cancels in a softmax).

    Raises:
        InputError: a scale that is not a positive number.
    """
    if hasattr(model, "logit_scale"):
        scale = float(model.logit_scale.float().exp())
    else:  # ALIGN divides by a temperature
        scale = 1.0 / float(model.temperature.float())
    stated = getattr(model, "logit_bias", None)
    bias = 0.0 if stated is None else float(stated.float())
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(bias)):
        raise InputError(f"{name}: has the logit scale {scale} and bias {bias}; it is damaged")
    return scale, bias
