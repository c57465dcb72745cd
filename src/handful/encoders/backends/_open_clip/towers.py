"""The towers of an open_clip model, found by the names that library and timm give to their parts.

Attention names its `projections`: `nn.MultiheadAttention` as one module, timm's `qkv` or `q_proj`,
`k_proj`, `v_proj`. Beware: some of timm's (EVA-01's) multiply by the weight of `qkv` themselves,
without calling it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from handful.encoders.backends._transformers import towers as transformers_towers
from handful.encoders.towers import Block, Inputs, Tower, has_module

_TIMM = (("qkv",), ("q_proj", "k_proj", "v_proj"), ("q", "k", "v"))
_OWN_TEXT = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_proj")
_Found = tuple[tuple[Block, ...], tuple[str, str] | None]


def vision(model: Any) -> Tower:
    """The image tower; its input is `pixel_values` [N, 3, H, W]."""
    blocks, embedding = _vision_blocks(model)
    places = ("attnpool.c_proj", "head.proj", "trunk.head.fc", "trunk.head")
    if isinstance(getattr(model.visual, "proj", None), nn.Parameter):
        projection = "visual.proj"
    else:
        projection = _first_linear(model, [f"visual.{place}" for place in places])
    return Tower(
        "vision",
        model,
        _image_features,
        blocks,
        ("visual.",),
        embedding=embedding,
        projection=projection,
    )


def text(model: Any) -> Tower:
    """The text tower; its input is `input_ids` [N, L]."""
    apart = hasattr(model, "text")  # else its parts are the model's own
    if apart and not hasattr(model.text, "token_embedding"):  # a transformer of that library
        return Tower(
            "text",
            model,
            _text_features,
            transformers_towers.blocks(model, "text.transformer"),
            ("text.",),
            projection=_first_linear(model, ["text.proj", "text.proj.2"]),
            token_embedding=transformers_towers.token_table(model, model.text.transformer),
        )
    root, owner = ("text.", model.text) if apart else ("", model)
    projection = getattr(owner, "text_projection", None)
    return Tower(
        "text",
        model,
        _text_features,
        _resblocks(model, f"{root}transformer.resblocks"),
        ("text.",) if apart else _OWN_TEXT,
        projection=f"{root}text_projection" if projection is not None else "",
        token_embedding=f"{root}token_embedding",
    )


def _image_features(model: Any, inputs: Inputs) -> Tensor:
    out: Tensor = model.encode_image(inputs["pixel_values"], normalize=False)
    return out


def _text_features(model: Any, inputs: Inputs) -> Tensor:
    out: Tensor = model.encode_text(inputs["input_ids"], normalize=False)
    return out


def _vision_blocks(model: Any) -> _Found:
    """Blocks, and the module and method that compute what enters the first of them."""
    visual = model.visual
    if has_module(model, "visual.transformer.resblocks"):
        known = hasattr(visual, "_embeds")
        blocks = _resblocks(model, "visual.transformer.resblocks")
        return blocks, ("visual", "_embeds") if known else None
    if has_module(model, "visual.layer4") and hasattr(visual, "stem"):  # a ResNet
        stages = [f"visual.layer{i}" for i in range(1, 5)]
        widths = [model.get_submodule(s)[-1].conv3.out_channels for s in stages]
        return _stages(stages, widths), ("visual", "stem")
    if has_module(model, "visual.trunk.stages"):  # a convolutional network of timm
        stages = [f"visual.trunk.stages.{n}" for n, _ in visual.trunk.stages.named_children()]
        widths = [fact["num_chs"] for fact in visual.trunk.feature_info]
        if len(stages) != len(widths):
            return (), None
        known = has_module(model, "visual.trunk.stem")
        return _stages(stages, widths), ("visual.trunk.stem", "forward") if known else None
    if has_module(model, "visual.trunk.blocks"):  # a transformer of timm
        return _timm_blocks(model, "visual.trunk.blocks"), None
    return (), None


def _stages(names: list[str], widths: list[int]) -> tuple[Block, ...]:
    return tuple(Block(n, int(w)) for n, w in zip(names, widths, strict=True))


def _resblocks(model: Any, place: str) -> tuple[Block, ...]:
    """Of open_clip's own transformer."""
    found = []
    for child, block in model.get_submodule(place).named_children():
        name = f"{place}.{child}"
        fused = (f"{name}.attn",) if isinstance(block.attn, nn.MultiheadAttention) else ()
        found.append(_block(name, int(block.mlp.c_fc.in_features), fused))
    return tuple(found)


def _timm_blocks(model: Any, place: str) -> tuple[Block, ...]:
    """Of a timm transformer; none of a trunk that is built in another way."""
    found = []
    for child, block in model.get_submodule(place).named_children():
        if not all(hasattr(block, part) for part in ("attn", "mlp", "norm1")):
            return ()
        name = f"{place}.{child}"
        linear = {n for n, module in block.attn.named_children() if isinstance(module, nn.Linear)}
        inside = next((names for names in _TIMM if linear.issuperset(names)), ())
        projections = tuple(f"{name}.attn.{n}" for n in inside)
        found.append(_block(name, int(model.visual.trunk.embed_dim), projections))
    return tuple(found)


def _block(name: str, width: int, projections: tuple[str, ...]) -> Block:
    return Block(name, width, f"{name}.attn", f"{name}.mlp", f"{name}.mlp", projections)


def _first_linear(model: nn.Module, names: list[str]) -> str:
    """The first of these modules that is a linear map, or nothing."""
    return next((name for name in names if has_module(model, name, nn.Linear)), "")
