"""The open_clip backend: that library's architectures, weights, checkpoints and folders."""

from __future__ import annotations

from typing import Self

import torch
from PIL import Image

from handful.encoders import fingerprint
from handful.encoders.backends import _libraries, _preprocessing
from handful.encoders.backends._base import TwoTowerEncoder, find_device, preprocessing_errors
from handful.encoders.backends._open_clip import loading, towers
from handful.encoders.backends._open_clip.fingerprint import fingerprint as identify
from handful.encoders.backends._open_clip.source import FOLDER, HUB, Source, find
from handful.encoders.backends._tokens import OpenClipTokens


class OpenClipEncoder(TwoTowerEncoder):
    """A frozen two-tower model of the open_clip library.

    Beyond the contract: `model` and `tokenizer` are that library's own objects, `transform` its
    preprocessing, and `vision` and `text` describe the model's towers (`handful.encoders.towers`).

    Args:
        name: what the user calls it.
        source: its configuration and where its files lie.
        precision: `auto`, `float32` or `bfloat16`.
        device: where it computes.
    """

    def __init__(self, name: str, source: Source, precision: str, device: torch.device) -> None:
        self.name, self.device = name, device
        with fingerprint.hashing([source.weights]) as weights:
            self.tokenizer = loading.tokenizer(source)
            self.model = loading.model(source).to(device)
        self.transform = loading.transform(self.model, source)
        self.fingerprint = identify(source, weights.result(), self.model, self.tokenizer)
        with preprocessing_errors(source.weights.parent):
            self._preprocessing = _preprocessing.of_transform(self.transform)
            self._preprocessing.prepare(Image.new("RGB", (40, 30)))
        self.vision, self.text = towers.vision(self.model), towers.text(self.model)
        table = self.text.token_embedding
        known = int(self.text.module(table).num_embeddings) if table else 0  # type: ignore[arg-type]
        self._tokens = OpenClipTokens(self.tokenizer, known, name)
        if precision == "auto" and not any(block.mlp for block in self.vision.blocks):
            precision = "float32"  # mostly convolutions: measured, bfloat16 is no faster
        self._finish(self.model.visual, precision)

    @classmethod
    def load(cls, name: str, *, precision: str = "auto", device: str = "auto") -> Self:
        """See `handful.encoders.load`.

        Args:
            name: `ARCHITECTURE/TAG`, `ARCHITECTURE/FILE`, `hf-hub:owner/name`, `local-dir:FOLDER`
                or a folder.
            precision: `auto`, `float32` or `bfloat16`.
            device: `auto`, or as torch names it.
        """
        where = find_device(device)
        _libraries.open_clip()  # before anything is looked for: without it nothing can be done
        prefixed = name.startswith((HUB, FOLDER))
        return cls(name if prefixed else f"open_clip:{name}", find(name), precision, where)
