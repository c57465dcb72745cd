"""The transformers backend: CLIP and its relatives, loaded the way that library saves them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image

from handful.contracts import Array, unit
from handful.encoders import families, files, fingerprint
from handful.encoders.backends._transformers import loading
from handful.encoders.backends._transformers import towers as parts
from handful.encoders.backends._transformers.pixels import Pixels
from handful.encoders.backends._transformers.tokens import Texts
from handful.encoders.precision import choose as choose_precision
from handful.encoders.precision import choose_kernels
from handful.errors import InputError

_TEXT_BATCH = 128


class TransformersEncoder:
    """A frozen two-tower model of the transformers library.

    Beyond the contract: `model`, `tokenizer` and `processor` are that library's own objects, and
    `vision` and `text` tell a tuner what is where in the model (`handful.encoders.towers`); load
    with `precision="float32"` to find every weight in it.

    Args:
        name: what the user calls it.
        folder: where the checkpoint lies.
        precision: `auto`, `float32` or `bfloat16`.
        device: where it computes.
    """

    plugin: ClassVar[bool] = True

    def __init__(self, name: str, folder: Path, precision: str, device: torch.device) -> None:
        self.name, self.device = name, device
        self.family = families.family(name, folder)
        with ThreadPoolExecutor(1) as pool:  # hashing waits for the disk, loading for the processor
            digest = pool.submit(fingerprint.weights_digest, files.weight_files(folder))
            self.tokenizer = loading.tokenizer(folder, self.family)
            self.processor = loading.processor(folder, self.family)
            try:
                self.model = loading.model(folder, self.family).to(device)
            except InputError:
                digest.result()  # knows better what is wrong with a damaged file
                raise
            weights = digest.result()
        config = self.model.config
        towers = (config, config.text_config, config.vision_config)
        self.fingerprint = fingerprint.fingerprint(
            self.family.name, folder, weights, towers, self.processor
        )
        self.scale, self.bias = loading.temperature(self.model, folder)
        self.vision, self.text = parts.vision(self.model), parts.text(self.model)
        with loading.preparing(folder):
            self._pixels = Pixels(self.processor)
            self._pixels.prepare(Image.new("RGB", (40, 30)))
        self._texts = Texts(self.tokenizer, self.family, config.text_config)
        self._warned = False
        choose_kernels(self.model, device)
        self.dim = int(self.texts(["a photo"]).shape[1])
        tower = self.model.vision_model
        self.precision, self.agreement = choose_precision(self, tower, precision)

    @classmethod
    def load(cls, name: str, *, precision: str = "auto", device: str = "auto") -> Self:
        """See `handful.encoders.load`."""
        where = loading.device(device)
        return cls(name, files.find(name), precision, where)

    def prepare(self, image: Image.Image) -> Any:
        """One decoded RGB picture, resized and cropped as the checkpoint says; thread-safe."""
        return self._pixels.prepare(image)

    def images(self, batch: Sequence[Any]) -> Array:
        """N prepared pictures to `[N, D]` float32 unit rows."""
        if not len(batch):
            return np.zeros((0, self.dim), dtype=np.float32)
        with torch.inference_mode():
            out = _rows(self.vision.forward(self.pixels(batch)))
        return unit(out, f"image features of {self.name}")

    def texts(self, batch: Sequence[str]) -> Array:
        """N texts to `[N, D]` float32 unit rows.

        A text longer than the window is cut as the library cuts it; a warning says so once.
        """
        texts = list(batch)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding in a batch
        rows: dict[int, Array] = {}
        for start in range(0, len(order), _TEXT_BATCH):
            part = order[start : start + _TEXT_BATCH]
            with torch.inference_mode():
                found = self.text.forward(self.tokens([texts[i] for i in part]))
                out = unit(_rows(found), f"texts of {self.name}")
            rows.update(zip(part, out, strict=True))
        if not rows:
            return np.zeros((0, self.dim), dtype=np.float32)
        return np.stack([rows[i] for i in range(len(texts))])

    def pixels(self, batch: Sequence[Any]) -> dict[str, torch.Tensor]:
        """N prepared pictures to the inputs of the tower that sees."""
        return self._pixels.batch(batch, self.device)

    def tokens(self, batch: Sequence[str]) -> dict[str, torch.Tensor]:
        """N texts to the inputs of the tower that reads, padded to the longest of them."""
        inputs, cut = self._texts.tokens(batch)
        if cut is not None:
            self._warn(batch[cut])
        return {k: v.to(self.device) for k, v in inputs.items()}

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name}: texts longer than {self._texts.window} tokens are cut, "
                f"such as {text[:60]!r}",
                TextCutWarning,
                stacklevel=4,
            )


class TextCutWarning(UserWarning):
    """A text did not fit into the encoder's window."""


def _rows(out: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.asarray(out.float().cpu().numpy(), dtype=np.float32)
