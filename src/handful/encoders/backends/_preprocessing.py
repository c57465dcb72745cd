"""From a decoded image to the network's input, with the library's own numbers.

The library's preprocessing is the reference. It takes an image through several float copies, which
costs as much as decoding it. Nearly all checkpoints only resize, crop and map each channel
linearly; for these the image stays 8-bit until it is in a batch, and the linear map is applied once
to the batch. Each time an encoder is loaded, both ways are compared on images of several shapes;
where they differ, the library does all of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Inputs = dict[str, Tensor]
_PROBES = ((160, 120), (90, 200), (333, 251))  # heights, widths: portrait, landscape, odd
_CPU = torch.device("cpu")


class Preprocessing:
    """Prepares images one by one (thread-safe) and makes batches of them.

    Args:
        reference: the library's way, an RGB image to the inputs of the tower without a batch axis.
        resize: its first half, an RGB image to one of 8 bits; None if it does not divide like this.
        normalise: its second half, `[N, 3, H, W]` uint8 to float32.
        tolerance: how far `normalise(resize(image))` may be from `reference(image)`.
    """

    def __init__(
        self,
        reference: Callable[[Image.Image], Inputs],
        resize: Callable[[Image.Image], Image.Image] | None = None,
        normalise: Callable[[Tensor], Tensor] | None = None,
        tolerance: float = 0.0,
    ) -> None:
        self._reference, self._resize, self._normalise = reference, resize, normalise
        self.quick = False
        """Whether images stay 8-bit until they are in a batch."""
        if resize is not None and normalise is not None:
            self.quick = True
            self.quick = self._agrees(tolerance)

    def prepare(self, image: Image.Image) -> Any:
        """One image to `[H, W, 3]` uint8, or to the library's own inputs."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        if self.quick and self._resize is not None:
            return torch.from_numpy(np.array(self._resize(image)))
        return self._reference(image)

    def batch(self, prepared: Sequence[Any], device: torch.device) -> Inputs:
        """N prepared images to the inputs of the image tower, on the device."""
        if self.quick and self._normalise is not None:
            raw = torch.stack(list(prepared)).to(device).permute(0, 3, 1, 2)
            return {"pixel_values": self._normalise(raw)}
        return {k: torch.stack([p[k] for p in prepared]).to(device) for k in prepared[0]}

    def _agrees(self, tolerance: float) -> bool:
        rng = np.random.default_rng(0)
        for height, width in _PROBES:
            noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            image = Image.fromarray(noise)
            wanted = self._reference(image)
            got = self.batch([self.prepare(image)], _CPU)["pixel_values"][0]
            if list(wanted) != ["pixel_values"] or wanted["pixel_values"].shape != got.shape:
                return False
            if float((wanted["pixel_values"] - got).abs().max()) > tolerance:
                return False
        return True


def of_processor(processor: Any) -> Preprocessing:
    """By an image processor of transformers (its PIL variant)."""

    def reference(image: Image.Image) -> Inputs:
        out = processor(images=image, return_tensors="np")
        return {k: torch.from_numpy(np.array(v[0])) for k, v in out.items()}

    size = _plain(getattr(processor, "size", None))
    known = set(size) in ({"shortest_edge"}, {"height", "width"})
    padded = getattr(processor, "do_pad", False)
    if not known or padded or not getattr(processor, "do_resize", False):
        return Preprocessing(reference)

    def resize(image: Image.Image) -> Image.Image:
        if "shortest_edge" in size:
            short, long = sorted(image.size)
            edge = size["shortest_edge"]
            other = int(edge * long / short)
            target = (edge, other) if image.width <= image.height else (other, edge)
        else:
            target = (size["width"], size["height"])
        if target != image.size:
            image = image.resize(target, Image.Resampling(processor.resample))
        if getattr(processor, "do_center_crop", False):
            crop = _plain(processor.crop_size)
            left, top = (image.width - crop["width"]) // 2, (image.height - crop["height"]) // 2
            image = image.crop((left, top, left + crop["width"], top + crop["height"]))
        return image

    # The linear map of each channel, read off the library's answers to black and to white: what
    # rescaling, offset, mean and deviation come to does not depend on their names in the settings.
    black, white = (
        reference(Image.new("RGB", (256, 256), (v, v, v)))["pixel_values"].double()
        for v in (0, 255)
    )
    shift = black.mean(dim=(1, 2))[:, None, None]
    scale = ((white.mean(dim=(1, 2))[:, None, None] - shift) / 255).float()
    shift = shift.float()

    def normalise(raw: Tensor) -> Tensor:
        values = raw.to(torch.float32)  # stays channels last in memory
        return values.mul_(scale.to(raw.device)).add_(shift.to(raw.device))

    return Preprocessing(reference, resize, normalise, tolerance=1e-5)


def of_transform(transform: Any) -> Preprocessing:
    """By a transform of open_clip for inference (a torchvision `Compose`)."""

    def reference(image: Image.Image) -> Inputs:
        return {"pixel_values": transform(image)}

    steps = list(getattr(transform, "transforms", ()))
    if [type(s).__name__ for s in steps[-2:]] != ["MaybeToTensor", "Normalize"]:
        return Preprocessing(reference)
    mean, std = (
        torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (steps[-1].mean, steps[-1].std)
    )

    def resize(image: Image.Image) -> Image.Image:
        for step in steps[:-2]:
            image = step(image)
        return image

    def normalise(raw: Tensor) -> Tensor:
        # the same arithmetic in the same order as the library's, so equal to the last bit
        values = raw.to(torch.float32, memory_format=torch.contiguous_format)
        return values.div_(255).sub_(mean.to(raw.device)).div_(std.to(raw.device))

    return Preprocessing(reference, resize, normalise)


def _plain(size: Any) -> dict[str, int]:
    """A size of transformers (a mapping with empty entries) as a plain dictionary."""
    return {k: int(v) for k, v in dict(size or {}).items() if v is not None}
