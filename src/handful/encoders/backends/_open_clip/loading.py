"""Model, tokenizer and image transform of a checkpoint by open_clip; none of its code is run."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from handful.encoders import checkpoint
from handful.encoders.backends._libraries import open_clip, quietly
from handful.encoders.backends._open_clip.source import Source
from handful.errors import InputError, MissingExtraError


def model(source: Source) -> Any:
    """The library's model in float32 with every weight from the file.

    Raises:
        InputError: a configuration that the library cannot build, or weights that do not fit it.
    """
    settings = deepcopy(source.model)
    settings["vision_cfg"].pop("timm_model_pretrained", None)
    text = settings["text_cfg"]
    if source.text_config is not None:
        _check_text_model(source.text_config)
        text["hf_model_name"], text["hf_model_pretrained"] = str(source.text_config), False
    custom = bool(settings.pop("custom_text", False)) or source.text_config is not None
    kind = "CLIP"
    if custom:
        kind = "CoCa" if "multimodal_cfg" in settings else "CustomTextCLIP"
    with quietly(source.weights.parent):
        # Building draws random weights only to replace them; the caller's generator stays as it is.
        with torch.random.fork_rng(devices=[]):
            built = getattr(open_clip(), kind)(**settings)
        factory = import_module("open_clip.factory")
        factory.load_checkpoint(built, str(source.weights), strict=True, weights_only=True)
        factory.set_model_preprocess_cfg(built, _preprocess(source, built))
    return built.float().eval().requires_grad_(False)


def transform(built: Any, source: Source) -> Any:
    """The library's image transform for inference (a torchvision `Compose`)."""
    module = import_module("open_clip.transform")
    with quietly(source.weights.parent):
        settings = module.PreprocessCfg(**built.visual.preprocess_cfg)
        return module.image_transform_v2(settings, is_train=False)


def tokenizer(source: Source) -> Any:
    """The library's tokenizer.

    Raises:
        InputError: its files are missing or cannot be read.
        MissingExtraError: it is only there in a format that needs another library.
    """
    text = source.model["text_cfg"]
    settings = dict(text.get("tokenizer_kwargs") or {})
    settings.pop("reduction_mask", None)  # it shortens long texts at random
    length = text.get("context_length", 77)
    if source.tokenizer is None:
        with quietly(source.weights.parent):
            return open_clip().SimpleTokenizer(context_length=length, **settings)
    if not checkpoint.has_any(source.tokenizer, checkpoint.VOCABULARIES):
        raise InputError(
            f"{source.tokenizer}: has no tokenizer (tokenizer.json, vocab.txt or a .model file); "
            f"put the files of {text.get('hf_tokenizer_name')} there"
        )
    settings.update(
        tokenizer_mode=text.get("tokenizer_mode"), trust_remote_code=False, local_files_only=True
    )
    with quietly(source.weights.parent):
        kind = import_module("open_clip.tokenizer").HFTokenizer
        try:
            return kind(str(source.tokenizer), context_length=length, **settings)
        except ImportError as error:
            raise MissingExtraError(
                "sentencepiece", "sentencepiece", f"the tokenizer in {source.tokenizer}"
            ) from error


def _preprocess(source: Source, built: Any) -> dict[str, Any]:
    """Defaults of the library, settings of the checkpoint, and the image tower's input size."""
    module = import_module("open_clip.transform")
    own = asdict(module.PreprocessCfg())
    merged: dict[str, Any] = module.merge_preprocess_dict(own, source.preprocess)
    if getattr(built.visual, "image_size", None) is not None:
        merged["size"] = built.visual.image_size
    return merged


def _check_text_model(folder: Path) -> None:
    """Refuse text towers that the library does not list: it would want their code from the hub.

    Raises:
        InputError: another kind of model.
    """
    kind = str(checkpoint.read_json(folder / "config.json").get("model_type", ""))
    known = import_module("open_clip.hf_configs").arch_dict
    if kind not in known:
        raise InputError(
            f"{folder / 'config.json'}: is a {kind or 'nameless'!r} model; open_clip reads with "
            f"one of these: {', '.join(known)}"
        )
