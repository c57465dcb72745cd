"""The embedded encoder `photo`: EfficientNet-Lite0 for images, and a small text tower of ours.

The image tower was trained on ImageNet's photographs; the text tower was taught with words alone to
point where the image tower would (docs/photo.md). Needs neither transformers nor a download.
"""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from handful.contracts import Array
from handful.encoders import fingerprint
from handful.encoders.backends import _base
from handful.encoders.backends._photo import weights
from handful.encoders.backends._photo.efficientnet import STAGE_WIDTHS, WIDTH, EfficientNetLite0
from handful.encoders.backends._photo.text import WEIGHTS, PhotoText, PhotoTokens
from handful.encoders.backends._preprocessing import Inputs, Preprocessing
from handful.encoders.checkpoint import read_json
from handful.encoders.towers import Block, Tower
from handful.errors import InputError, MissingModelError

SIDE = 224
_EDGE = 256  # the published evaluation crops 224 / (224 + 32) of the shorter side
_MEAN, _DEVIATION = 127.0, 128.0  # of the Lite models; other EfficientNets have ImageNet's
_TOGETHER = 4  # pictures in one pass: what lies between two layers then fits into the cache
# Stem and early blocks, whose few channels are hurt most by rounding: with them in float32 the
# lowest cosine to float32's features was 0.9991 on 96 photos, without 0.953.
_FLOAT32_UNITS = (0, 1, 2, 3, 4, 6)
_ARCHITECTURE = {"image": "efficientnet_lite0", "text": "pre-norm transformer, gelu, mean"}


class PhotoModel(nn.Module):
    """Both towers and the logarithm of the logit scale.

    Args:
        text: the text tower.
        scale: what a cosine is multiplied by to become a logit.
    """

    def __init__(self, text: PhotoText, scale: float) -> None:
        super().__init__()
        self.vision, self.text = EfficientNetLite0(), text
        self.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))


class PhotoEncoder(_base.TwoTowerEncoder):
    """EfficientNet-Lite0's pooled features and texts in their space, `[N, 1280]` unit rows.

    Args:
        precision: `auto` and `float32` compute in float32, which gives the same answers on every
            machine; `bfloat16` is about a fifth faster where the processor has it, and its features
            have a cosine of at least 0.999 to float32's on photographs.
        device: where it computes.

    Source: Tan & Le, "EfficientNet", 2019, and their Lite variant; the text tower is ours.
    """

    sort_texts = True
    name = "photo"
    dim = WIDTH

    def __init__(self, precision: str, device: torch.device) -> None:
        self.device = device
        folder = folder_of_text()
        stated = read_json(folder / "config.json")
        model = PhotoModel(PhotoText.from_folder(folder), float(stated["logit_scale"]))
        model.vision.fold(weights.image_tensors())
        self.model = model.requires_grad_(False).eval().to(device)
        self._preprocessing = Preprocessing(_pixel_values, _resize, _normalise)
        self._tokens = PhotoTokens.from_folder(folder)
        self.fingerprint = fingerprint.join(
            "photo",
            fingerprint.digest([weights.SHA256, _digest(folder / WEIGHTS)]),
            architecture=[_ARCHITECTURE, stated["text"], stated["logit_scale"]],
            preprocessing=[_EDGE, SIDE, "bicubic", _MEAN, _DEVIATION],
            tokenizer=fingerprint.tokenizer_digest(folder),
        )
        self.vision, self.text = _vision(model), _text(model)
        self._finish(model.vision, "float32")
        if precision == "bfloat16":
            self._to_bfloat16()

    @classmethod
    def load(cls, name: str, *, precision: str = "auto", device: str = "auto") -> Self:
        """See `handful.encoders.load`; the only name is `photo`."""
        if name not in ("photo", ""):
            raise InputError(f"photo:{name}: the backend 'photo' has one encoder, 'photo'")
        return cls(precision, _base.find_device(device))

    def images(self, batch: Any) -> Array:
        """N prepared images to `[N, D]` float32 unit rows."""
        parts = [super(PhotoEncoder, self).images(batch[i : i + _TOGETHER])
                 for i in range(0, len(batch), _TOGETHER)]  # fmt: skip
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), dtype=np.float32)

    def _to_bfloat16(self) -> None:
        """Round the weights of later blocks; each unit converts what enters it."""
        for place, part in enumerate(self.model.vision.units()):
            if place not in _FLOAT32_UNITS:
                part.to(torch.bfloat16)
        self.precision = "bfloat16"


def folder_of_text() -> Path:
    """Where the files of the text tower lie in this installation."""
    return Path(str(resources.files("handful.encoders"))) / "photo"


def _digest(path: Path) -> str:
    """Of the bytes of a file of this package: one layout, so quicker than tensor by tensor.

    Raises:
        MissingModelError: it is not there; names it.
    """
    try:
        return fingerprint.short_sha256(path.read_bytes())
    except OSError as error:
        raise MissingModelError(f"{path}: cannot be read; install handful again") from error


def _vision(model: PhotoModel) -> Tower:
    stages = [Block(f"vision.blocks.{place}", width) for place, width in enumerate(STAGE_WIDTHS)]
    return Tower(
        "vision", model, _image_features, tuple(stages), ("vision.",), embedding=("vision", "stem")
    )


def _text(model: PhotoModel) -> Tower:
    projections = ("q_proj", "k_proj", "v_proj")
    blocks, width = [], model.text.position_embedding.embedding_dim
    for place in range(len(model.text.blocks)):
        name = f"text.blocks.{place}"
        inside = tuple(f"{name}.attention.{part}" for part in projections)
        blocks.append(Block(name, width, f"{name}.attention", f"{name}.mlp", f"{name}.mlp", inside))
    return Tower(
        "text",
        model,
        _text_features,
        tuple(blocks),
        ("text.",),
        embedding=("text", "embed"),
        projection="text.projection",
        token_embedding="text.token_embedding",  # noqa: S106
    )


def _image_features(model: Any, inputs: Any) -> Tensor:
    out: Tensor = model.vision(inputs["pixel_values"])
    return out


def _text_features(model: Any, inputs: Any) -> Tensor:
    out: Tensor = model.text(inputs["input_ids"], inputs["attention_mask"])
    return out


def _pixel_values(image: Image.Image) -> Inputs:
    raw = torch.from_numpy(np.array(_resize(image)))
    return {"pixel_values": _normalise(raw.permute(2, 0, 1)[None])[0]}


def _resize(image: Image.Image) -> Image.Image:
    """The shorter side to 256 pixels, then the 224 x 224 in the middle."""
    short, long = sorted(image.size)
    other = max(_EDGE, round(_EDGE * long / short))
    target = (_EDGE, other) if image.width <= image.height else (other, _EDGE)
    if target != image.size:
        image = image.resize(target, Image.Resampling.BICUBIC)
    left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
    return image.crop((left, top, left + SIDE, top + SIDE))


def _normalise(raw: Tensor) -> Tensor:
    """`[N, 3, H, W]` uint8 to float32 around zero."""
    return raw.to(torch.float32).sub_(_MEAN).div_(_DEVIATION)
