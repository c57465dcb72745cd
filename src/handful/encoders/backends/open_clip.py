"""The open_clip backend: that library's architectures, weights, checkpoints and folders."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Self

import numpy as np
import torch
from PIL import Image

from handful.contracts import Array, unit
from handful.encoders import fingerprint
from handful.encoders.backends._open_clip import build, identity, library, towers
from handful.encoders.backends._open_clip.pixels import Pixels
from handful.encoders.backends._open_clip.source import FOLDER, HUB, Source, find
from handful.encoders.backends._open_clip.words import first_cut
from handful.encoders.backends._transformers import loading
from handful.encoders.backends.transformers import TextCutWarning
from handful.encoders.precision import choose as choose_precision
from handful.encoders.precision import choose_kernels
from handful.errors import InputError

_TEXT_BATCH = 128


class OpenClipEncoder:
    """A frozen two-tower model of the open_clip library.

    Beyond the contract: `model` and `tokenizer` are that library's own objects, `transform` its
    preprocessing, `vision` and `text` the model's halves; load with `precision="float32"` to find
    every weight in the model.

    Args:
        name: what the user calls it.
        source: its configuration and where its files lie.
        precision: `auto`, `float32` or `bfloat16`.
        device: where it computes.
    """

    plugin: ClassVar[bool] = True

    def __init__(self, name: str, source: Source, precision: str, device: torch.device) -> None:
        self.name, self.device = name, device
        with ThreadPoolExecutor(1) as pool:  # hashing waits for the disk, loading for the processor
            digest = pool.submit(fingerprint.weights_digest, [source.weights])
            self.tokenizer = build.tokenizer(source)
            try:
                self.model = build.model(source).to(device)
            except InputError:
                digest.result()  # knows better what is wrong with a damaged file
                raise
            weights = digest.result()
        self.transform = build.transform(self.model, source)
        self.fingerprint = identity.fingerprint(source, weights, self.model, self.tokenizer)
        self.scale, self.bias = self._temperature()
        self.window = int(self.tokenizer.context_length)
        with loading.preparing(source.weights.parent):
            self._pixels = Pixels(self.transform)
            self._pixels.prepare(Image.new("RGB", (40, 30)))
        self._warned = False
        self.vision, self.text = towers.vision(self.model), towers.text(self.model)
        choose_kernels(self.model, device)
        self.dim = int(self.texts(["a photo"]).shape[1])
        if precision == "auto" and not any(block.mlp for block in self.vision.blocks):
            precision = "float32"  # mostly convolutions: measured, bfloat16 is no faster
        tower = self.model.visual
        self.precision, self.agreement = choose_precision(self, tower, precision)

    @classmethod
    def load(cls, name: str, *, precision: str = "auto", device: str = "auto") -> Self:
        """See `handful.encoders.load`.

        Args:
            name: `ARCHITECTURE/TAG`, `ARCHITECTURE/FILE`, `hf-hub:owner/name`, `local-dir:FOLDER`
                or a folder.
            precision: `auto`, `float32` or `bfloat16`.
            device: `auto`, or as torch names it.
        """
        where = loading.device(device)
        library.open_clip()  # before anything is looked for: without it nothing can be done
        own = name.startswith((HUB, FOLDER))
        return cls(name if own else f"open_clip:{name}", find(name), precision, where)

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """One decoded RGB picture, resized and cropped as the checkpoint says; thread-safe."""
        return self._pixels.prepare(image)

    def images(self, batch: Sequence[Any]) -> Array:
        """N prepared pictures to `[N, D]` float32 unit rows."""
        if not len(batch):
            return np.zeros((0, self.dim), dtype=np.float32)
        with torch.inference_mode():
            out = self.vision.forward(self.pixels(batch))
        return unit(out.float().cpu().numpy(), f"image features of {self.name}")

    def texts(self, batch: Sequence[str]) -> Array:
        """N texts to `[N, D]` float32 unit rows.

        A text longer than the window is cut as the library cuts it; a warning says so once.
        """
        texts = list(batch)
        rows = []
        for start in range(0, len(texts), _TEXT_BATCH):
            with torch.inference_mode():
                out = self.text.forward(self.tokens(texts[start : start + _TEXT_BATCH]))
            rows.append(unit(out.float().cpu().numpy(), f"texts of {self.name}"))
        return np.concatenate(rows) if rows else np.zeros((0, self.dim), dtype=np.float32)

    def pixels(self, batch: Sequence[Any]) -> dict[str, torch.Tensor]:
        """N prepared pictures to the inputs of `vision`: `pixel_values` [N, 3, H, W]."""
        return {"pixel_values": self._pixels.batch(batch, self.device)}

    def tokens(self, batch: Sequence[str]) -> dict[str, torch.Tensor]:
        """N texts to the inputs of `text`: `input_ids` [N, L]."""
        texts = list(batch)
        tokens: torch.Tensor = self.tokenizer(texts)
        table = self.text.token_embedding
        words = int(self.text.module(table).num_embeddings) if table else 0  # type: ignore[arg-type]
        if words and int(tokens.max()) >= words:
            raise InputError(
                f"{self.name}: the tokenizer gives token {int(tokens.max())} and the text tower "
                f"knows {words}; they do not belong together"
            )
        if not self._warned:
            cut = first_cut(self.tokenizer, texts, tokens)
            if cut is not None:
                self._warned = True
                warnings.warn(
                    f"{self.name}: texts longer than {self.window} tokens are cut, "
                    f"such as {texts[cut][:60]!r}",
                    TextCutWarning,
                    stacklevel=3,
                )
        return {"input_ids": tokens.to(self.device)}

    def _temperature(self) -> tuple[float, float]:
        """What a cosine is multiplied by, and what is added (SigLIP's bias)."""
        scale = float(self.model.logit_scale.float().exp())
        stated = getattr(self.model, "logit_bias", None)
        bias = float(stated.float()) if stated is not None else 0.0
        if not (math.isfinite(scale) and scale > 0 and math.isfinite(bias)):
            raise InputError(f"{self.name}: has the logit scale {scale} and bias {bias}; damaged")
        return scale, bias
