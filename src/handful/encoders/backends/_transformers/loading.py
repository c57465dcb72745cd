"""Model, tokenizer and image processor from a folder; nothing in the folder is ever run."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError

from handful.encoders import files
from handful.encoders.backends._transformers.library import logging as library_logging
from handful.encoders.backends._transformers.library import transformers
from handful.encoders.families import Family
from handful.errors import InputError, MissingExtraError

_LOADING = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    TypeError,
    AttributeError,
    ArithmeticError,
    ImportError,
    SafetensorError,
    UnpicklingError,
)
_one_at_a_time = threading.Lock()  # the library's loudness is one setting for all threads


def device(name: str) -> torch.device:
    """`auto` or a name of torch's to a device.

    Raises:
        InputError: a device that torch does not know or that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used here ({_short(error)})") from error
    return found


def model(folder: Path, found: Family) -> Any:
    """The library's model in float32, every weight from the file.

    Raises:
        InputError: weights that are missing or of another shape.
    """
    pickled = files.weight_files(folder)[0].suffix != ".safetensors"
    with _quietly(folder):
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
    values = info[key] if isinstance(info, dict) else getattr(info, key)
    return [v if isinstance(v, str) else str(v[0]) for v in values]


def tokenizer(folder: Path, found: Family) -> Any:
    """The library's tokenizer.

    Raises:
        InputError: the folder has none.
        MissingExtraError: it is only there in a format that needs another library.
    """
    if not any((folder / name).is_file() for name in files.VOCABULARIES):
        raise InputError(  # the library would make up an empty vocabulary
            f"{folder}: has no tokenizer (tokenizer.json, vocab.json, vocab.txt or a .model file); "
            "save the tokenizer beside the model (save_pretrained)"
        )
    whole = (folder / "tokenizer.json").is_file()
    with _quietly(folder):
        if whole and found.name == "siglip" and found.case == "canonical":
            # The class the checkpoint names needs sentencepiece; this file says the same without.
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
    stated = [files.read_json(folder / n) for n in files.PROCESSORS if (folder / n).is_file()]
    if not stated:
        raise InputError(
            f"{folder}: has no preprocessor_config.json, so nobody knows how its pictures are "
            "resized and normalised; save the processor beside the model (save_pretrained)"
        )
    config = {**stated[-1].get("image_processor", {}), **stated[0]}
    kind = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = kind.replace("FeatureExtractor", "ImageProcessor") or found.pixels
    # By name and not by the library's automatic choice, which in most versions wants torchvision.
    known = getattr(transformers, f"{kind.removesuffix('Fast').removesuffix('Pil')}Pil", None)
    if known is None or not kind.removesuffix("Fast").removesuffix("Pil").endswith("Processor"):
        raise InputError(
            f"{folder}: names the image processor {kind!r}, which transformers "
            f"{transformers.__version__} does not have in a variant for Pillow"
        )
    with _quietly(folder):
        return known.from_pretrained(folder, local_files_only=True)


def temperature(loaded: Any, folder: Path) -> tuple[float, float]:
    """What a cosine is multiplied by, and what is added (SigLIP's bias; it cancels in a softmax).

    Raises:
        InputError: a scale that is not a positive number.
    """
    if hasattr(loaded, "logit_scale"):
        scale = float(loaded.logit_scale.float().exp())
    else:  # ALIGN divides by a temperature
        scale = 1.0 / float(loaded.temperature.float())
    bias = float(loaded.logit_bias.float()) if hasattr(loaded, "logit_bias") else 0.0
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(bias)):
        raise InputError(f"{folder}: has the logit scale {scale} and bias {bias}; it is damaged")
    return scale, bias


@contextlib.contextmanager
def preparing(where: Path) -> Iterator[None]:
    """The library's errors about how pictures are prepared, as ours."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise InputError(
            f"{where}: pictures cannot be prepared as it says ({_short(error)}); its size, crop, "
            "mean or deviation is damaged, download it again"
        ) from error


@contextlib.contextmanager
def _quietly(folder: Path) -> Iterator[None]:
    """No progress bar and no report of the library's, and its errors as ours."""
    with _one_at_a_time:
        level, bars = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
        library_logging.set_verbosity_error()
        library_logging.disable_progress_bar()
        try:
            yield
        except (InputError, MissingExtraError):
            raise
        except _LOADING as error:
            raise InputError(f"{folder}: cannot be loaded ({_short(error)})") from error
        finally:
            library_logging.set_verbosity(level)
            if bars:
                library_logging.enable_progress_bar()


def _short(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
