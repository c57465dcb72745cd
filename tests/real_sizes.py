"""Architectures of real size, randomly initialised in a second: no checkpoint, no file.

What a tuner needs of an encoder is here: the library's model, its towers, pixels and tokens. With
`meta=True` nothing is allocated, for counting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch

from handful.encoders import kernels
from handful.encoders.backends._libraries import (
    transformers,  # first, for it hides a broken torchvision
)
from handful.encoders.backends._open_clip import towers as open_clip_towers
from handful.encoders.backends._transformers import towers as transformers_towers
from open_clip_models import open_clip

CPU = torch.device("cpu")
_DRAWS = ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_")
_DRAWS += ("xavier_uniform_", "xavier_normal_", "zeros_", "ones_", "constant_")


def _clip(side: int, patch: int, width: int, layers: int, text: int, dim: int) -> Any:
    def heads(of: int) -> dict[str, int]:
        return {"hidden_size": of, "intermediate_size": 4 * of, "num_attention_heads": of // 64}

    return transformers.CLIPModel(
        transformers.CLIPConfig(
            vision_config={
                **heads(width),
                "num_hidden_layers": layers,
                "image_size": side,
                "patch_size": patch,
            },
            text_config={**heads(text), "bos_token_id": 49406, "eos_token_id": 49407},
            projection_dim=dim,
        )
    )


def _siglip() -> Any:
    return transformers.SiglipModel(
        transformers.SiglipConfig(
            vision_config={"image_size": 224, "patch_size": 16},
            text_config={"bos_token_id": 0, "eos_token_id": 1},
        )
    )


def _open_clip(name: str) -> Any:
    return open_clip.CLIP(**open_clip.get_model_config(name), quick_gelu=True)


BUILD: dict[str, Callable[[], Any]] = {
    "ViT-B/32": lambda: _clip(224, 32, 768, 12, 512, 512),
    "ViT-B/16": lambda: _clip(224, 16, 768, 12, 512, 512),
    "ViT-L/14": lambda: _clip(224, 14, 1024, 24, 768, 768),
    "SigLIP-B/16": _siglip,
    "RN50": lambda: _open_clip("RN50"),
    "open_clip ViT-B-32": lambda: _open_clip("ViT-B-32"),
}


def encoder(name: str, *, meta: bool = False) -> Any:
    """What tuners need of an encoder of this architecture; its layers are the library's own.

    Args:
        name: of `BUILD`.
        meta: without memory.
    """
    with ExitStack() as stack, torch.random.fork_rng(devices=[]):
        if meta:
            stack.enter_context(torch.device("meta"))
        else:  # the library's own drawing takes longer than everything else here
            drawing = import_module("transformers.initialization")
            stack.enter_context(drawing.no_init_weights())
            for draw in _DRAWS:
                stack.enter_context(mock.patch.object(torch.nn.init, draw, _left))
        model = BUILD[name]()
    if not meta:
        _fill(model)
    model.eval().requires_grad_(False)
    return _described(name, model)


def quicken(made: Any) -> None:
    """The kernels that a loaded encoder computes with."""
    kernels.use_onednn(made.model, CPU)


def _left(tensor: torch.Tensor, *_args: Any, **_kwargs: Any) -> torch.Tensor:
    return tensor


def _described(name: str, model: Any) -> Any:
    theirs = hasattr(model, "visual")
    towers = open_clip_towers if theirs else transformers_towers
    vision, text = towers.vision(model), towers.text(model)
    shape = model.state_dict()[text.projection if theirs else f"{text.projection}.weight"].shape
    return SimpleNamespace(
        name=name,
        model=model,
        vision=vision,
        text=text,
        dim=shape[1] if theirs else shape[0],
        scale=100.0,
        precision="float32",
        device=CPU,
        pixels=lambda batch: {"pixel_values": torch.stack(list(batch))},
        tokens=lambda texts: _tokens(name, texts),
    )


def _tokens(name: str, texts: Sequence[str]) -> dict[str, torch.Tensor]:
    """CLIP's own words, which come with open_clip; SigLIP's vocabulary is smaller."""
    with CPU:
        ids = open_clip.tokenize(list(texts))
    if name.startswith("SigLIP"):
        return {"input_ids": ids[:, :64] % 32000}
    if not name.startswith("open_clip") and name != "RN50":  # these read the whole window
        ids = ids[:, : int((ids != 0).sum(dim=1).max())]
    return {"input_ids": ids}


def _fill(model: Any) -> None:
    """Every parameter from one stretch of noise, so that signals keep their size."""
    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for at, (name, p) in enumerate(model.named_parameters()):
            if p.ndim == 1 and name.endswith("weight"):
                p.fill_(1.0)
                continue
            size = 0.02 if p.ndim < 2 else 1 / math.sqrt(p[0].numel())
            flat, start = p.view(-1), (at * 7919) % 4096
            for begin in range(0, len(flat), len(noise) - 4096):
                part = flat[begin : begin + len(noise) - 4096]
                part.copy_(noise[start : start + len(part)]).mul_(size)
