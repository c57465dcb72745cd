"""The towers of a transformers model, found by the names that library gives to its parts."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from handful.encoders.towers import Block, Inputs, Tower

_LAYERS = ("encoder.layers", "encoder.layer")
_BEFORE = ("", "roberta.")  # AltCLIP's text tower is a model within a model
_PARTS = (  # attention, MLP, where the MLP begins, query, key and value
    ("self_attn", "mlp", "mlp", ("q_proj", "k_proj", "v_proj")),
    ("attention", "output", "intermediate", ("self.query", "self.key", "self.value")),
)


def vision(model: Any) -> Tower:
    """The half that sees."""
    parts = ("vision_model", "visual_projection")
    return Tower(
        "vision",
        model,
        _see,
        _blocks(model, "vision_model"),
        tuple(f"{p}." for p in parts),
        embedding=_embedding(model, "vision_model"),
        projection=_there(model, "visual_projection"),
    )


def text(model: Any) -> Tower:
    """The half that reads."""
    table = model.text_model.get_input_embeddings()
    return Tower(
        "text",
        model,
        _read,
        _blocks(model, "text_model"),
        ("text_model.", "text_projection."),
        embedding=_embedding(model, "text_model"),
        projection=_there(model, "text_projection") or _there(model, "text_model.head"),
        token_embedding=next(name for name, m in model.named_modules() if m is table),
    )


def pooled(out: Any) -> Tensor:
    """`[N, D]` features, from whichever shape of answer the library's version gives."""
    found: Tensor = out if isinstance(out, Tensor) else out.pooler_output
    return found


def _see(model: Any, inputs: Inputs) -> Tensor:
    return pooled(model.get_image_features(**inputs))


def _read(model: Any, inputs: Inputs) -> Tensor:
    return pooled(model.get_text_features(**inputs))


def _blocks(model: nn.Module, root: str) -> tuple[Block, ...]:
    places = (f"{root}.{before}{layers}" for before in _BEFORE for layers in _LAYERS)
    place = next((p for p in places if _there(model, p)), "")
    if not place:
        return ()
    found = [_block(model, f"{place}.{name}") for name, _ in _children(model, place)]
    return tuple(block for block in found if block is not None)


def _block(model: nn.Module, name: str) -> Block | None:
    for attention, mlp, begins, projections in _PARTS:
        inside = tuple(f"{name}.{attention}.{p}" for p in projections)
        if all(_there(model, p) for p in (*inside, f"{name}.{mlp}")):
            width = int(model.get_submodule(inside[0]).in_features)  # type: ignore[arg-type]
            return Block(
                name, width, f"{name}.{attention}", f"{name}.{mlp}", f"{name}.{begins}", inside
            )
    return None


def _embedding(model: nn.Module, root: str) -> tuple[str, str] | None:
    places = (f"{root}.{before}embeddings" for before in _BEFORE)
    place = next((p for p in places if _there(model, p)), "")
    return (place, "forward") if place else None


def _children(model: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    return list(model.get_submodule(name).named_children())


def _there(model: nn.Module, name: str) -> str:
    try:
        model.get_submodule(name)
    except AttributeError:
        return ""
    return name
