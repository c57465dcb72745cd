"""Who an encoder of open_clip is; see `handful.encoders.fingerprint` for what the parts mean."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from handful.encoders import fingerprint as parts
from handful.encoders.backends._open_clip.source import Source
from handful.encoders.checkpoint import read_json

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
_PIXELS = ("mean", "std", "interpolation", "resize_mode")


def fingerprint(source: Source, weights: str, built: Any, tokenizer: Any) -> str:
    """The parts as `key:value`, space-separated.

    Args:
        source: the checkpoint.
        weights: digest of the weights.
        built: the library's model.
        tokenizer: the library's tokenizer.
    """
    parts = {
        "model": "open_clip",
        "weights": weights,
        "architecture": _digest(_architecture(source)),
        "preprocessing": _digest(_preprocessing(built.visual.preprocess_cfg)),
        "tokenizer": _tokenizer(source, tokenizer),
    }
    return " ".join(f"{key}:{value}" for key, value in parts.items())


def _architecture(source: Source) -> list[Any]:
    library = import_module("open_clip.model")
    vision = asdict(library.CLIPVisionCfg(**source.model["vision_cfg"]))
    text = asdict(library.CLIPTextCfg(**_known(source.model["text_cfg"], library.CLIPTextCfg)))
    tower = read_json(source.text / "config.json") if source.text is not None else {}
    whole = {"quick_gelu": source.model.get("quick_gelu")}
    return [
        _facts(whole, ("quick_gelu",)),
        _facts(vision, _VISION),
        _facts(text, _TEXT),
        _facts(tower, _TEXT_TOWER),
    ]


def _known(settings: dict[str, Any], kind: Any) -> dict[str, Any]:
    """Without what only CoCa's configurations say."""
    fields = set(kind.__dataclass_fields__)
    return {k: v for k, v in settings.items() if k in fields}


def _preprocessing(settings: dict[str, Any]) -> dict[str, Any]:
    size = settings["size"]
    facts = _facts(settings, _PIXELS)
    facts["size"] = [size, size] if isinstance(size, int) else list(size)
    if settings.get("resize_mode") == "longest":  # elsewhere nothing is filled
        facts["fill_color"] = settings.get("fill_color", 0)
    return facts


def _tokenizer(source: Source, tokenizer: Any) -> str:
    text = source.model["text_cfg"]
    settings = {
        "context_length": text.get("context_length", 77),
        "mode": text.get("tokenizer_mode"),
        **(text.get("tokenizer_kwargs") or {}),
    }
    return _digest([_facts(settings, settings), _vocabulary(source.words, tokenizer)])


def _vocabulary(folder: Path | None, tokenizer: Any) -> str:
    """Of files where there are some, else of the words the library brings along."""
    if folder is not None:
        return parts.tokenizer_digest(folder)
    ranks = sorted(tokenizer.bpe_ranks.items(), key=lambda item: item[1])
    words = sorted(tokenizer.encoder.items(), key=lambda item: item[1])
    said = "\n".join([*(" ".join(pair) for pair, _ in ranks), *(word for word, _ in words)])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _facts(source: dict[str, Any], keys: Any) -> dict[str, Any]:
    """The named settings; None and False are the same as absent."""
    values = {k: source.get(k) for k in keys}
    return {k: parts.plain(v) for k, v in values.items() if v is not None and v is not False}


def _digest(value: Any) -> str:
    return parts.digest(parts.canonical(value))
