"""From a decoded picture to the network's input, by open_clip's own transform.

The transform is resizing and cropping, then a linear map of each channel. As in the transformers
backend, a picture stays 8-bit until it is in a batch: the first half is the library's own, run
picture by picture; the second is the same arithmetic in the same order, once for the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

_TRIED = ((160, 120), (90, 200), (333, 251))  # width, height: landscape, portrait, odd
_LINEAR = ("MaybeToTensor", "Normalize")


class Pixels:
    """Prepares pictures one by one (thread-safe) and makes a batch of them.

    Args:
        transform: the library's transform for inference.
    """

    def __init__(self, transform: Any) -> None:
        self.transform = transform
        steps = list(getattr(transform, "transforms", ()))
        self._shape = steps[:-2]
        self.quick = False
        if tuple(type(s).__name__ for s in steps[-2:]) == _LINEAR:
            self._mean, self._std = (
                torch.tensor(v, dtype=torch.float32)[:, None, None]  # [3, 1, 1]
                for v in (steps[-1].mean, steps[-1].std)
            )
            self.quick = self._agrees()

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """One RGB picture to `[H, W, 3]` uint8, or to the library's `[3, H, W]`."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        return self._resized(image) if self.quick else self.transform(image)

    def batch(self, prepared: Sequence[torch.Tensor], device: torch.device) -> torch.Tensor:
        """N prepared pictures to `[N, 3, H, W]` float32."""
        raw = torch.stack(list(prepared)).to(device)
        if not self.quick:
            return raw
        values = raw.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        mean, std = self._mean.to(device), self._std.to(device)
        return values.div_(255).sub_(mean).div_(std)

    def _resized(self, image: Image.Image) -> torch.Tensor:
        for step in self._shape:
            image = step(image)
        return torch.from_numpy(np.array(image))

    def _agrees(self) -> bool:
        """Whether both ways give the same numbers."""
        rng = np.random.default_rng(0)
        self.quick = True
        for width, height in _TRIED:
            image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            got = self.batch([self._resized(image)], torch.device("cpu"))[0]
            wanted = self.transform(image)
            if got.shape != wanted.shape or float((got - wanted).abs().max()) > 0:
                return False
        return True
