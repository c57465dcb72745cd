"""What a checkpoint's folder has to hold, and reading its files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from handful.errors import InputError

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
OPEN_CLIP = "open_clip_config.json"  # the configuration that open_clip saves
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
VOCABULARIES = (  # the first is complete alone; without it, all of the others that are there count
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
SMALL = (  # everything but the weights
    "config.json",
    *PROCESSORS,
    *VOCABULARIES,
    "merges.txt",
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def first_line(error: BaseException, most: int = 120) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint's folder.

    Raises:
        InputError: missing, unreadable, or no JSON object; names the file.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing; {path.parent} is not a whole checkpoint") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({first_line(error)})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def is_complete(folder: Path) -> bool:
    """Whether everything an encoder needs is there; other programs fetch only what they need."""
    try:
        weight_files(folder)
    except InputError:
        return False
    needed = (("config.json",), PROCESSORS, VOCABULARIES)
    return all(has_any(folder, names) for names in needed)


def has_any(folder: Path, names: Iterable[str]) -> bool:
    """Whether one of these files is there."""
    return any((folder / name).is_file() for name in names)


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights: one, or the shards that an index names.

    Raises:
        InputError: none there, or a shard missing.
    """
    chosen = next((folder / w for w in WEIGHTS if (folder / w).is_file()), None)
    if chosen is None:
        raise InputError(
            f"{folder}: has no model.safetensors or pytorch_model.bin; "
            "expected a folder written by save_pretrained"
        )
    if chosen.suffix != ".json":
        return [chosen]
    shards = sorted(set(read_json(chosen).get("weight_map", {}).values()))
    if not shards or any(Path(s).name != s for s in shards):  # no path out of the folder
        raise InputError(f"{chosen}: names no usable weight files")
    missing = [s for s in shards if not (folder / s).is_file()]
    if missing:
        raise InputError(f"{folder}: {missing[0]} is missing; download the checkpoint again")
    return [folder / s for s in shards]


def weight_patterns(name: str, files: Iterable[str]) -> list[str]:
    """Patterns of the weights to download: one format only, safetensors before pickled tensors.

    Args:
        name: of the repository.
        files: everything it holds.

    Raises:
        InputError: no weights that transformers can load.
    """
    there = set(files)
    if OPEN_CLIP in there and "config.json" not in there:
        raise InputError(
            f"{name}: is a checkpoint of the open_clip library; load it as 'hf-hub:{name}'"
        )
    for weights in WEIGHTS:
        if weights in there:
            stem, kind = weights.split(".")[:2]
            return [f"{stem}*.{kind}", f"{stem}.{kind}.index.json"]
    raise InputError(
        f"{name}: holds no model.safetensors or pytorch_model.bin; "
        "expected a checkpoint that the transformers library can load"
    )
