"""Checkpoints of the open_clip library, small and randomly initialised, as real folders on disk.

Importing this file makes open_clip importable where torchvision's binary does not fit torch: its
Python half needs only that two operators are declared.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import models
from handful.encoders.backends import _libraries as library

_declared = torch.library.Library("torchvision", "FRAGMENT")  # declarations live as long as it


def _declare_torchvision() -> None:
    if not library.TORCHVISION_PROBLEM or sys.modules.get("torchvision") is not None:
        return
    sys.modules.pop("torchvision", None)
    for name in ("nms", "qnms"):
        _declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401


_declare_torchvision()

import open_clip  # noqa: E402

LOUD = 3.0  # random weights of the usual size give nearly equal features for all inputs
TEXT = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 3}
VIT = {"image_size": 48, "layers": 3, "width": 64, "head_width": 16, "patch_size": 16}
CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {"embed_dim": 32, "quick_gelu": True, "vision_cfg": VIT, "text_cfg": TEXT},
    "resnet": {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": [1, 2, 1, 1], "width": 8, "head_width": 16},
        "text_cfg": TEXT,
    },
    "siglip": {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            **TEXT,
            "vocab_size": 100,
            "hf_tokenizer_name": "here",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    },
    "eva": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "eva02_tiny_patch14_224",
            "timm_pool": "token",
            "timm_proj": None,
        },
        "text_cfg": TEXT,
    },
    "mobile": {
        "embed_dim": 32,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 128,
            "timm_model_name": "fastvit_t8",
            "timm_pool": "avg",
            "timm_proj": None,
        },
        "text_cfg": {**TEXT, "no_causal_mask": True},
    },
    "bert": {
        "embed_dim": 32,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit",
            "timm_pool": "",
            "timm_proj": "linear",
        },
        "text_cfg": {
            "context_length": 24,
            "hf_model_name": "here",
            "hf_tokenizer_name": "here",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "hf_proj_type": "mlp",
        },
    },
    "wide": {
        "embed_dim": 64,
        "vision_cfg": {**VIT, "width": 256, "head_width": 64},
        "text_cfg": TEXT,
    },
}
PIXELS: dict[str, dict[str, Any]] = {
    "siglip": {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"},
    "mobile": {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear"},
    "bert": {"resize_mode": "longest", "fill_color": 7},
}
ALL = ("vit", "resnet", "siglip", "eva", "mobile", "bert")


def checkpoint(kind: str, target: Path) -> Path:
    """A folder `target/<kind>` that open_clip and Handful can load."""
    folder = Path(target) / kind
    shutil.copytree(_once(kind), folder)
    return folder


@functools.cache
def _once(kind: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="handful-open-clip-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = json.loads(json.dumps(CONFIGS[kind]))
    if kind == "siglip":
        models._siglip_tokenizer().save_pretrained(folder)
    if kind == "bert":
        models.bert(folder / "made")
        for file in (folder / "made" / "bert").iterdir():
            if file.name != "model.safetensors":
                shutil.copy(file, folder / file.name)
        shutil.rmtree(folder / "made")
    save(config, folder, PIXELS.get(kind, {}))
    return folder


def save(config: dict[str, Any], folder: Path, pixels: dict[str, Any] | None = None) -> Path:
    """Build a model of this configuration with seeded random weights and write its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = {"model_cfg": config, "preprocess_cfg": pixels or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(stated))
    save_file(state(config, folder), folder / "open_clip_model.safetensors")
    return folder


def state(config: dict[str, Any], folder: Path) -> dict[str, torch.Tensor]:
    """Random weights, loud enough that inputs matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = json.loads(json.dumps(config))
        custom = settings.pop("custom_text", False)
        if settings["text_cfg"].get("hf_model_name"):
            custom = True
            settings["text_cfg"].update(hf_model_name=str(folder), hf_model_pretrained=False)
        model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**settings)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "bn3.weight" in name:  # zero at the start, so that nothing would pass
                    parameter.fill_(0.5)
                elif (parameter.ndim == 4 and ".layer" in name) or parameter.ndim == 2:
                    parameter.mul_(LOUD)
    return {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
