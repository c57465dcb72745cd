"""From a decoded picture to the network's input, as the checkpoint's image processor says.

The library's processor is the reference. It takes a picture through several float copies, which
costs as much as decoding it; on a processor that also runs the encoder that time is missing
there. So where a checkpoint only resizes, crops and maps each channel linearly, as nearly all do,
the picture stays 8-bit until it is in a batch. Whether that gives the library's numbers is tried
on pictures of several shapes each time an encoder is loaded; where it does not, the library's
processor does the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

_TRIED = ((160, 120), (90, 200), (333, 251))  # width, height: landscape, portrait, odd
_TOLERANCE = 1e-5  # in units of the network's input, which is about 1


class Pixels:
    """Prepares pictures one by one (thread-safe) and makes a batch of them.

    Args:
        processor: the library's image processor (its PIL variant).
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._scale: torch.Tensor | None = None  # [3, 1, 1]: input = 8-bit value * scale + shift
        self._shift: torch.Tensor | None = None
        if self._simple():
            self._learn()

    @property
    def quick(self) -> bool:
        """Whether pictures stay 8-bit until they are in a batch."""
        return self._scale is not None

    def prepare(self, image: Image.Image) -> Any:
        """One RGB picture to `[H, W, 3]` uint8, or to the library's own inputs."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        return torch.from_numpy(self._shape(image)) if self.quick else self._reference(image)

    def batch(self, prepared: Sequence[Any], device: torch.device) -> dict[str, torch.Tensor]:
        """N prepared pictures to the arguments of `get_image_features`."""
        if self._scale is None or self._shift is None:
            keys = prepared[0].keys()
            return {k: torch.stack([p[k] for p in prepared]).to(device) for k in keys}
        raw = torch.stack(list(prepared)).to(device).permute(0, 3, 1, 2)  # channels last in memory
        values = raw.to(torch.float32)
        return {
            "pixel_values": values.mul_(self._scale.to(device)).add_(self._shift.to(device)),
        }

    def _reference(self, image: Image.Image) -> dict[str, torch.Tensor]:
        out: Mapping[str, Any] = self.processor(images=image, return_tensors="np")
        return {k: torch.from_numpy(np.array(v[0])) for k, v in out.items()}

    def _simple(self) -> bool:
        p = self.processor
        size = _plain(getattr(p, "size", None))
        known = set(size) in ({"shortest_edge"}, {"height", "width"})
        return bool(getattr(p, "do_resize", False) and known and not getattr(p, "do_pad", False))

    def _learn(self) -> None:
        """Read the linear map off the library's answers to black and white, then check it."""
        black, white = (
            self._reference(Image.new("RGB", (256, 256), (v, v, v)))["pixel_values"].double()
            for v in (0, 255)
        )
        shift = black.mean(dim=(1, 2))[:, None, None]
        scale = (white.mean(dim=(1, 2))[:, None, None] - shift) / 255
        rng = np.random.default_rng(0)
        for width, height in _TRIED:
            noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            image = Image.fromarray(noise)
            wanted = self._reference(image)
            got = torch.from_numpy(self._shape(image)).permute(2, 0, 1) * scale + shift
            if list(wanted) != ["pixel_values"] or wanted["pixel_values"].shape != got.shape:
                return
            if float((wanted["pixel_values"] - got).abs().max()) > _TOLERANCE:
                return
        self._scale, self._shift = scale.float(), shift.float()

    def _shape(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop on 8-bit values, `[H, W, 3]`."""
        p = self.processor
        size = _plain(p.size)
        if "shortest_edge" in size:
            short, long = sorted(image.size)
            edge = size["shortest_edge"]
            other = int(edge * long / short)
            target = (edge, other) if image.width <= image.height else (other, edge)
        else:
            target = (size["width"], size["height"])
        if target != image.size:
            image = image.resize(target, Image.Resampling(p.resample))
        if getattr(p, "do_center_crop", False):
            crop = _plain(p.crop_size)
            left, top = (image.width - crop["width"]) // 2, (image.height - crop["height"]) // 2
            image = image.crop((left, top, left + crop["width"], top + crop["height"]))
        return np.array(image)


def _plain(size: Any) -> dict[str, int]:
    """A size of the library (a mapping with empty entries) as a plain dictionary."""
    if size is None:
        return {}
    return {k: int(v) for k, v in dict(size).items() if v is not None}
