"""The identity of an encoder of open_clip; `handful.encoders.fingerprint` explains the parts."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from handful.encoders.backends._open_clip.source import Source
from handful.encoders.checkpoint import read_json
from handful.encoders.fingerprint import digest, facts, join, short_sha256, tokenizer_digest

# Settings that steer the computation and leave no trace in the weights. A setting of a later
# version of the library is added with its default left out, so that no encoder changes its name.
_VISION = (
    "head_width", "attentional_pool", "attn_pooler_heads", "pos_embed_type",
    "final_ln_after_pool", "pool_type", "act_kwargs", "norm_kwargs", "block_type",
    "scaled_cosine_attn", "timm_model_name", "timm_pool", "timm_proj",
)  # fmt: skip
_TEXT = (
    "heads", "pad_id", "eos_id", "embed_cls", "no_causal_mask",
    "final_ln_after_pool", "pool_type", "act_kwargs", "norm_kwargs", "block_type",
    "scaled_cosine_attn", "hf_proj_type", "hf_pooler_type",
)  # fmt: skip
_TEXT_TOWER = (
    "model_type", "hidden_act", "layer_norm_eps", "num_attention_heads", "pad_token_id",
    "position_embedding_type", "feed_forward_proj", "num_heads", "layer_norm_epsilon",
)  # fmt: skip
_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


def fingerprint(source: Source, weights: str, model: Any, tokenizer: Any) -> str:
    """The parts as `key:value`, space-separated.

    Args:
        source: the checkpoint.
        weights: digest of the weights.
        model: the library's model.
        tokenizer: the library's tokenizer.
    """
    return join(
        "open_clip",
        weights,
        architecture=_architecture(source),
        preprocessing=_preprocessing(model.visual.preprocess_cfg),
        tokenizer=digest(_tokenizer(source, tokenizer)),
    )


def _architecture(source: Source) -> list[Any]:
    library = import_module("open_clip.model")
    settings, kind = source.model["text_cfg"], library.CLIPTextCfg
    known = {k: v for k, v in settings.items() if k in kind.__dataclass_fields__}  # CoCa has more
    folder = source.text_config
    tower = read_json(folder / "config.json") if folder is not None else {}
    return [
        facts(source.model, ("quick_gelu",)),
        facts(library.CLIPVisionCfg(**source.model["vision_cfg"]), _VISION),
        facts(kind(**known), _TEXT),
        facts(tower, _TEXT_TOWER),
    ]


def _preprocessing(settings: dict[str, Any]) -> dict[str, Any]:
    size = settings["size"]
    found = facts(settings, _PREPROCESSING)
    found["size"] = [size, size] if isinstance(size, int) else list(size)
    if settings.get("resize_mode") == "longest":  # elsewhere nothing is filled
        found["fill_color"] = settings.get("fill_color", 0)
    return found


def _tokenizer(source: Source, tokenizer: Any) -> list[Any]:
    text = source.model["text_cfg"]
    settings = {
        "context_length": text.get("context_length", 77),
        "mode": text.get("tokenizer_mode"),
        **(text.get("tokenizer_kwargs") or {}),
    }
    return [facts(settings, settings), _vocabulary(source.tokenizer, tokenizer)]


def _vocabulary(folder: Path | None, tokenizer: Any) -> str:
    """Of files where there are some, else of the vocabulary that the library brings along."""
    if folder is not None:
        return tokenizer_digest(folder)
    ranks = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    words = sorted(tokenizer.encoder, key=tokenizer.encoder.get)
    return short_sha256("\n".join([*map(" ".join, ranks), *words]).encode())
