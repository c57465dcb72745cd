"""From a name to a folder with a checkpoint: embedded, local, cached or downloaded."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from handful.encoders.catalogue import hub_names
from handful.errors import InputError, MissingModelError

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
OPEN_CLIP = "open_clip_config.json"  # what that library calls its configuration
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
VOCABULARIES = (  # the first says everything; without it, all of the others that are there count
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
SMALL = (
    "config.json",
    *PROCESSORS,
    *VOCABULARIES,
    "merges.txt",
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def find(name: str) -> Path:
    """The folder that holds the checkpoint; touches the network only for a hub name not yet here.

    Raises:
        MissingModelError: not there and not to be had; says what to do.
        InputError: a file where a folder is expected.
    """
    if name == "tiny":
        return _embedded()
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise InputError(f"{name}: is a file; name the folder that holds it and its config.json")
    if not _HUB_NAME.fullmatch(name):
        close = get_close_matches(name, hub_names(), n=1, cutoff=0.4)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise MissingModelError(
            f"{name}: there is no such folder, and it is no hub name (owner/name).{hint} "
            "`handful encoders` lists encoders."
        )
    return _hub(name)


def _embedded() -> Path:
    folder = Path(str(resources.files("handful.encoders"))) / "tiny"
    if not (folder / "config.json").is_file():
        raise MissingModelError(
            f"{folder}: the embedded encoder is missing from this installation; "
            "install handful again, or name another encoder"
        )
    return folder


def _hub(name: str) -> Path:
    """The cached snapshot if it is complete, else a download: no request for what is here."""
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        # Not snapshot_download: it calls a snapshot incomplete that lacks files nobody needs.
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise MissingModelError(f"{name}: is no hub name ({_short(error)})") from error
    folder = Path(config).parent if isinstance(config, str) else None
    if folder is not None and complete(folder):
        return folder
    if constants.HF_HUB_OFFLINE:
        state = "is not complete on this disk" if folder else "is not on this disk"
        raise MissingModelError(
            f"{name}: {state}, and HF_HUB_OFFLINE forbids a download. Run `hf download {name}` "
            "where there is a network (the files go to "
            f"{os.fspath(constants.HF_HUB_CACHE)}), or name a local folder."
        )
    return _download(name)


def complete(folder: Path) -> bool:
    """Whether everything an encoder needs is there; other programs fetch only what they need."""
    try:
        weight_files(folder)
    except InputError:
        return False
    needed = (("config.json",), PROCESSORS, VOCABULARIES)
    return all(any((folder / name).is_file() for name in names) for names in needed)


def _download(name: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    with reaching(name):
        info = HfApi().model_info(name, timeout=20)
        files = [s.rfilename for s in info.siblings or ()]
        return Path(snapshot_download(name, allow_patterns=[*SMALL, *_wanted(name, files)]))


@contextlib.contextmanager
def reaching(name: str) -> Iterator[None]:
    """What goes wrong on the way to the hub, as an error that says what to do.

    Raises:
        MissingModelError: for every refusal of the hub and every fault on the way.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    # Which HTTP library huggingface_hub builds on changes between versions; its own error tells.
    failures: tuple[type[Exception], ...] = (HfHubHTTPError, OSError)
    failures += tuple(c for c in HfHubHTTPError.__mro__ if c.__name__ == "HTTPError")
    try:
        yield
    except GatedRepoError as error:
        raise MissingModelError(
            f"{name}: its owner asks for consent. Accept the terms on "
            f"https://huggingface.co/{name}, then run `hf auth login` with your token."
        ) from error
    except RepositoryNotFoundError as error:
        close = get_close_matches(name, hub_names(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise MissingModelError(
            f"{name}: the hub knows no such model, or it is private. Check the spelling, or run "
            f"`hf auth login` with a token that may read it.{hint}"
        ) from error
    except failures as error:
        raise MissingModelError(
            f"{name}: is not on this disk, and the hub cannot be reached "
            f"({_short(error)}). Check the network and try again, run `hf download {name}` "
            "elsewhere and copy the folder, or name a local folder."
        ) from error


def _wanted(name: str, files: Iterable[str]) -> list[str]:
    """Weights to fetch: one kind only, safetensors before pickled tensors."""
    here = set(files)
    if OPEN_CLIP in here and "config.json" not in here:
        raise InputError(
            f"{name}: is a checkpoint of the open_clip library; load it as 'hf-hub:{name}'"
        )
    for weights in WEIGHTS:
        if weights in here:
            stem, kind = weights.split(".")[:2]
            return [f"{stem}*.{kind}", f"{stem}.{kind}.index.json"]
    raise InputError(
        f"{name}: holds no model.safetensors or pytorch_model.bin; "
        "expected a checkpoint that the transformers library can load"
    )


def _short(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


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
        raise InputError(f"{path}: cannot be read as JSON ({_short(error)})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


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
    if not shards or any(Path(s).name != s for s in shards):
        raise InputError(f"{chosen}: names no usable weight files")
    missing = [s for s in shards if not (folder / s).is_file()]
    if missing:
        raise InputError(f"{folder}: {missing[0]} is missing; download the checkpoint again")
    return [folder / s for s in shards]
