"""The towers of an open_clip model, found by the names that library and timm give to their parts.

Attention names its `projections`: `nn.MultiheadAttention` as one module, timm's `qkv` or `q_proj`,
`k_proj`, `v_proj`. Beware: some of timm's (EVA-01's) multiply by the weight of `qkv` themselves,
without calling it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from handful.encoders.towers import Block, Inputs, Tower

_TIMM = (("qkv",), ("q_proj", "k_proj", "v_proj"), ("q", "k", "v"))
_BERT = ("text.transformer.encoder.layer", "text.transformer.layer")
_OWN_TEXT = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_proj")


def vision(model: Any) -> Tower:
    """The half that sees; its input is `pixel_values` [N, 3, H, W]."""
    blocks, embedding = _vision_blocks(model)
    places = ("visual.attnpool.c_proj", "visual.head.proj", "visual.trunk.head.fc")
    projection = next((p for p in places if _is(model, p, nn.Linear)), "")
    if isinstance(getattr(model.visual, "proj", None), nn.Parameter):
        projection = "visual.proj"
    elif not projection and _is(model, "visual.trunk.head", nn.Linear):
        projection = "visual.trunk.head"
    return Tower(
        "vision", model, _see, blocks, ("visual.",), embedding=embedding, projection=projection
    )


def text(model: Any) -> Tower:
    """The half that reads; its input is `input_ids` [N, L]."""
    apart = hasattr(model, "text")
    root = "text." if apart else ""
    if apart and not hasattr(model.text, "token_embedding"):
        last, table = _bert_ends(model)
        return Tower(
            "text",
            model,
            _read,
            _bert(model),
            ("text.",),
            projection=last,
            token_embedding=table,
        )
    owner = model.text if apart else model
    projection = getattr(owner, "text_projection", None)
    return Tower(
        "text",
        model,
        _read,
        _resblocks(model, f"{root}transformer.resblocks"),
        ("text.",) if apart else _OWN_TEXT,
        projection=f"{root}text_projection" if projection is not None else "",
        token_embedding=f"{root}token_embedding",
    )


def _see(model: Any, inputs: Inputs) -> Tensor:
    out: Tensor = model.encode_image(inputs["pixel_values"], normalize=False)
    return out


def _read(model: Any, inputs: Inputs) -> Tensor:
    out: Tensor = model.encode_text(inputs["input_ids"], normalize=False)
    return out


def _vision_blocks(model: Any) -> tuple[tuple[Block, ...], tuple[str, str] | None]:
    """Blocks, and what computes what enters the first of them."""
    visual = model.visual
    if _there(model, "visual.transformer.resblocks"):
        known = hasattr(visual, "_embeds")
        blocks = _resblocks(model, "visual.transformer.resblocks")
        return blocks, ("visual", "_embeds") if known else None
    if _there(model, "visual.layer4") and hasattr(visual, "stem"):
        stages = (f"visual.layer{i}" for i in range(1, 5))
        widths = ((s, model.get_submodule(s)[-1].conv3.out_channels) for s in stages)
        return tuple(Block(s, int(width)) for s, width in widths), ("visual", "stem")
    if _there(model, "visual.trunk.stages"):
        facts = visual.trunk.feature_info
        found = [f"visual.trunk.stages.{n}" for n, _ in visual.trunk.stages.named_children()]
        if len(found) != len(facts):
            return (), None
        stem = ("visual.trunk.stem", "forward") if _there(model, "visual.trunk.stem") else None
        pairs = zip(found, facts, strict=True)
        return tuple(Block(s, int(fact["num_chs"])) for s, fact in pairs), stem
    if _there(model, "visual.trunk.blocks"):
        return _timm(model, "visual.trunk.blocks"), None
    return (), None


def _resblocks(model: Any, place: str) -> tuple[Block, ...]:
    """Of open_clip's own transformer."""
    found = []
    for name, block in model.get_submodule(place).named_children():
        own = f"{place}.{name}"
        fused = (f"{own}.attn",) if isinstance(block.attn, nn.MultiheadAttention) else ()
        width = int(block.mlp.c_fc.in_features)
        found.append(Block(own, width, f"{own}.attn", f"{own}.mlp", f"{own}.mlp", fused))
    return tuple(found)


def _timm(model: Any, place: str) -> tuple[Block, ...]:
    """Of a timm transformer; nothing of a trunk that is built in another way."""
    found = []
    for name, block in model.get_submodule(place).named_children():
        own = f"{place}.{name}"
        if not all(hasattr(block, part) for part in ("attn", "mlp", "norm1")):
            return ()
        inside = next((p for p in _TIMM if all(_linear(block.attn, n) for n in p)), ())
        projections = tuple(f"{own}.attn.{n}" for n in inside)
        width = int(model.visual.trunk.embed_dim)
        found.append(Block(own, width, f"{own}.attn", f"{own}.mlp", f"{own}.mlp", projections))
    return tuple(found)


def _bert(model: Any) -> tuple[Block, ...]:
    """Of a text tower of the transformers library, built like BERT."""
    place = next((p for p in _BERT if _there(model, p)), "")
    if not place:
        return ()
    found = []
    for name, block in model.get_submodule(place).named_children():
        own = f"{place}.{name}"
        if not all(hasattr(block, part) for part in ("attention", "intermediate", "output")):
            return ()
        inside = tuple(f"{own}.attention.self.{part}" for part in ("query", "key", "value"))
        width = int(model.get_submodule(inside[0]).in_features)
        ends = (f"{own}.output", f"{own}.intermediate")
        found.append(Block(own, width, f"{own}.attention", *ends, inside))
    return tuple(found)


def _bert_ends(model: Any) -> tuple[str, str]:
    """The last linear map of such a tower, and its table of tokens."""
    table = model.text.transformer.get_input_embeddings()
    names = [name for name, module in model.named_modules() if module is table]
    maps = ("text.proj", "text.proj.2")
    last = next((p for p in maps if _is(model, p, nn.Linear)), "")
    return last, names[0] if names else ""


def _linear(parent: nn.Module, name: str) -> bool:
    return isinstance(getattr(parent, name, None), nn.Linear)


def _there(model: nn.Module, name: str) -> bool:
    return _is(model, name, nn.Module)


def _is(model: nn.Module, name: str, kind: type[nn.Module]) -> bool:
    try:
        return isinstance(model.get_submodule(name), kind)
    except AttributeError:
        return False
