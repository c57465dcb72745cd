"""The towers of a transformers model, found by the names that library gives to its parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from torch import Tensor, nn

from handful.encoders.towers import Block, Inputs, Tower, has_module

_INNER = ("", "roberta.")  # AltCLIP's text tower is a model within a model
_LAYERS = ("encoder.layers", "encoder.layer")
_PARTS = (  # attention, MLP, where the MLP begins, query, key and value
    ("self_attn", "mlp", "mlp", ("q_proj", "k_proj", "v_proj")),
    ("attention", "output", "intermediate", ("self.query", "self.key", "self.value")),
)


def vision(model: Any) -> Tower:
    """The image tower."""
    return _tower("vision", model, _image_features, ("visual_projection",))


def text(model: Any) -> Tower:
    """The text tower."""
    return _tower("text", model, _text_features, ("text_projection", "text_model.head"))


def blocks(model: nn.Module, root: str) -> tuple[Block, ...]:
    """The blocks of one of the library's transformers.

    Args:
        model: the model that names count from.
        root: name of the transformer in it.
    """
    place = _first(model, (f"{root}.{i}{layers}" for i in _INNER for layers in _LAYERS))
    if not place:
        return ()
    children = model.get_submodule(place).named_children()
    found = [_block(model, f"{place}.{name}") for name, _ in children]
    return tuple(block for block in found if block is not None)


def token_table(model: nn.Module, transformer: Any) -> str:
    """The name of the embedding of a transformer's tokens."""
    table = transformer.get_input_embeddings()
    names: list[str] = [name for name, module in model.named_modules() if module is table]
    return names[0]


def _tower(kind: Literal["vision", "text"], model: Any, call: Any, ends: tuple[str, ...]) -> Tower:
    root = f"{kind}_model"
    place = _first(model, (f"{root}.{i}embeddings" for i in _INNER))
    return Tower(
        kind,
        model,
        call,
        blocks(model, root),
        (f"{root}.", f"{ends[0]}."),
        embedding=(place, "forward") if place else None,
        projection=_first(model, ends),
        token_embedding=token_table(model, model.text_model) if kind == "text" else "",
    )


def _image_features(model: Any, inputs: Inputs) -> Tensor:
    return _pooled(model.get_image_features(**inputs))


def _text_features(model: Any, inputs: Inputs) -> Tensor:
    return _pooled(model.get_text_features(**inputs))


def _pooled(out: Any) -> Tensor:
    """`[N, D]` features; versions of the library return them bare or in an output object."""
    found: Tensor = out if isinstance(out, Tensor) else out.pooler_output
    return found


def _block(model: nn.Module, name: str) -> Block | None:
    for attention, mlp, mlp_input, projections in _PARTS:
        inside = tuple(f"{name}.{attention}.{p}" for p in projections)
        if all(has_module(model, part) for part in (*inside, f"{name}.{mlp}")):
            width = int(model.get_submodule(inside[0]).in_features)  # type: ignore[arg-type]
            parts = (f"{name}.{attention}", f"{name}.{mlp}", f"{name}.{mlp_input}")
            return Block(name, width, *parts, inside)
    return None


def _first(model: nn.Module, names: Iterable[str]) -> str:
    """The first of these modules that the model has, or nothing."""
    return next((name for name in names if has_module(model, name)), "")
