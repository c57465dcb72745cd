"""The transformers backend: CLIP and its relatives, loaded the way that library saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from PIL import Image

from handful.encoders import families, fingerprint, hub
from handful.encoders.backends import _preprocessing
from handful.encoders.backends._base import (
    TextCutWarning,
    TwoTowerEncoder,
    find_device,
    preprocessing_errors,
)
from handful.encoders.backends._tokens import TransformersTokens
from handful.encoders.backends._transformers import loading, towers
from handful.encoders.checkpoint import weight_files

__all__ = ["TextCutWarning", "TransformersEncoder"]


class TransformersEncoder(TwoTowerEncoder):
    """A frozen two-tower model of the transformers library.

    Beyond the contract: `model`, `tokenizer` and `processor` are that library's own objects, and
    `vision` and `text` describe the model's towers (`handful.encoders.towers`).

    Args:
        name: what the user calls it.
        folder: where the checkpoint lies.
        precision: `auto`, `float32` or `bfloat16`.
        device: where it computes.
    """

    sort_texts = True

    def __init__(self, name: str, folder: Path, precision: str, device: torch.device) -> None:
        self.name, self.device = name, device
        self.family = families.family(name, folder)
        with fingerprint.hashing(weight_files(folder)) as weights:
            self.tokenizer = loading.tokenizer(folder, self.family)
            self.processor = loading.processor(folder, self.family)
            self.model = loading.model(folder, self.family).to(device)
        config = self.model.config
        parts = (config, config.text_config, config.vision_config)
        self.fingerprint = fingerprint.fingerprint(
            self.family.name, folder, weights.result(), parts, self.processor
        )
        self.vision, self.text = towers.vision(self.model), towers.text(self.model)
        with preprocessing_errors(folder):
            self._preprocessing = _preprocessing.of_processor(self.processor)
            self._preprocessing.prepare(Image.new("RGB", (40, 30)))
        self._tokens = TransformersTokens(self.tokenizer, self.family, config.text_config)
        self._finish(self.model.vision_model, precision)

    @classmethod
    def load(cls, name: str, *, precision: str = "auto", device: str = "auto") -> Self:
        """See `handful.encoders.load`."""
        where = find_device(device)
        return cls(name, hub.find_checkpoint(name), precision, where)
