"""Model, tokenizer and image processor of a checkpoint by transformers; none of its code is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from handful.encoders.backends._libraries import quietly, transformers
from handful.encoders.checkpoint import PROCESSORS, VOCABULARIES, has_any, read_json, weight_files
from handful.encoders.families import Family
from handful.errors import InputError, MissingExtraError


def model(folder: Path, found: Family) -> Any:
    """The library's model in float32, every weight from the file.

    Raises:
        InputError: weights that are missing or of another shape.
    """
    pickled = weight_files(folder)[0].suffix != ".safetensors"
    with quietly(folder):
        loaded, info = getattr(transformers, found.model).from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=not pickled,
            weights_only=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # so that all that is wrong is reported, below
            output_loading_info=True,
        )
    wrong = sorted(_names(info, "missing_keys")) + sorted(_names(info, "mismatched_keys"))
    if wrong:
        raise InputError(
            f"{folder}: the weights do not fit the configuration; {len(wrong)} tensors are missing "
            f"or of another shape, such as {', '.join(wrong[:3])}. Download it again, or save the "
            "whole model with save_pretrained."
        )
    return loaded.eval().requires_grad_(False)


def _names(info: Any, key: str) -> list[str]:
    """Names of tensors in the library's report, whose form changes between versions."""
    values = info[key] if isinstance(info, dict) else getattr(info, key)
    return [v if isinstance(v, str) else str(v[0]) for v in values]


def tokenizer(folder: Path, found: Family) -> Any:
    """The library's tokenizer.

    Raises:
        InputError: the folder has none.
        MissingExtraError: it is only there in a format that needs another library.
    """
    if not has_any(folder, VOCABULARIES):
        raise InputError(  # the library would make up an empty vocabulary
            f"{folder}: has no tokenizer (tokenizer.json, vocab.json, vocab.txt or a .model file); "
            "save the tokenizer beside the model (save_pretrained)"
        )
    whole = (folder / "tokenizer.json").is_file()
    with quietly(folder):
        if whole and found.name == "siglip" and found.case == "canonical":
            # The class the checkpoint names needs sentencepiece; this file does without it.
            return transformers.PreTrainedTokenizerFast.from_pretrained(
                folder, local_files_only=True
            )
        try:
            return transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except ImportError as error:
            raise MissingExtraError(
                "sentencepiece", "sentencepiece", f"the tokenizer in {folder}"
            ) from error


def processor(folder: Path, found: Family) -> Any:
    """The library's image processor, in the variant that needs only Pillow.

    Raises:
        InputError: the folder has none, or one that the library does not know.
    """
    stated = [read_json(folder / n) for n in PROCESSORS if (folder / n).is_file()]
    if not stated:
        raise InputError(
            f"{folder}: has no preprocessor_config.json, so nobody knows how its pictures are "
            "resized and normalised; save the processor beside the model (save_pretrained)"
        )
    config = {**stated[-1].get("image_processor", {}), **stated[0]}
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = kind.replace("FeatureExtractor", "ImageProcessor") or found.processor
    # By name and not by the library's automatic choice, which in most versions needs torchvision.
    known = getattr(transformers, f"{kind.removesuffix('Fast').removesuffix('Pil')}Pil", None)
    if known is None or not kind.removesuffix("Fast").removesuffix("Pil").endswith("Processor"):
        raise InputError(
            f"{folder}: names the image processor {kind!r}, which transformers "
            f"{transformers.__version__} does not have in a variant for Pillow"
        )
    with quietly(folder):
        return known.from_pretrained(folder, local_files_only=True)
