"""From a name to the files of an open_clip checkpoint, and what they state of it."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from handful.encoders import hub
from handful.encoders.backends._libraries import open_clip
from handful.encoders.backends._open_clip import pretrained
from handful.encoders.checkpoint import OPEN_CLIP, read_json
from handful.errors import InputError, MissingModelError

HUB, FOLDER = "hf-hub:", "local-dir:"
_OF_HUB = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
)
_ENDINGS = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True)
class Source:
    """A checkpoint.

    Args:
        name: what the user calls it.
        model: the library's configuration of the model.
        preprocess: the library's configuration of the preprocessing, where not its default.
        weights: the file.
        tokenizer: folder with the tokenizer; None where the library's own one is used.
        text_config: folder with the text tower's config.json; None where the tower is the
            library's own.
    """

    name: str
    model: dict[str, Any]
    preprocess: dict[str, Any]
    weights: Path
    tokenizer: Path | None = None
    text_config: Path | None = None


def find(name: str) -> Source:
    """The checkpoint that a name stands for.

    Args:
        name: `ARCHITECTURE/TAG`, `ARCHITECTURE/FILE`, `ARCHITECTURE/hf-hub:owner/name/FILE`,
            `hf-hub:owner/name` or `local-dir:FOLDER`; a folder may also go without its prefix.

    Raises:
        MissingModelError: no such thing, or not on this disk and not to be had.
        InputError: something that is no usable checkpoint, or an activation that does not fit.
    """
    if name.startswith(HUB):
        return _of_hub(name, name.removeprefix(HUB))
    path = Path(name.removeprefix(FOLDER)).expanduser()
    if name.startswith(FOLDER) or path.is_dir():
        return _of_folder(name, path)
    return _of_library(name)


def _of_folder(name: str, folder: Path) -> Source:
    if not folder.is_dir():
        raise MissingModelError(f"{folder}: there is no such folder; check the path")
    if not (folder / OPEN_CLIP).is_file():
        raise InputError(
            f"{folder}: has no {OPEN_CLIP}; expected a folder that open_clip saved, with the "
            "configuration and open_clip_model.safetensors"
        )
    model, preprocess = _configuration(folder / OPEN_CLIP)
    return _with_text(Source(name, model, preprocess, _weights(folder)), folder)


def _of_hub(name: str, repo: str) -> Source:
    model, preprocess = _configuration(hub.fetch_file(repo, [OPEN_CLIP], name))
    weights = hub.fetch_file(repo, _OF_HUB, name)
    pretrained.check_activation(name, repo, model)
    return _with_text(Source(name, model, preprocess, weights))


def _of_library(name: str) -> Source:
    """An architecture of the library with weights by tag, by file, or by file of the hub."""
    known = open_clip().list_models()
    parts = name.split("/")
    # An architecture may be written ViT-B/32; the longest beginning that is one counts.
    ends = [i for i in range(1, len(parts) + 1) if "-".join(parts[:i]) in known]
    if not ends:
        raise MissingModelError(_no_architecture(name, known))
    architecture, tag = "-".join(parts[: ends[-1]]), "/".join(parts[ends[-1] :])
    model = open_clip().get_model_config(architecture)
    file = Path(tag).expanduser()
    if tag.startswith(HUB):
        file = _file_of_hub(name, tag.removeprefix(HUB))
    if tag and file.is_file():
        return _with_text(Source(name, model, {}, _readable(file)))
    stated = pretrained.configuration(name, architecture, tag)
    model = pretrained.with_activation(name, architecture, tag, model, stated)
    repo, _, file_name = str(stated["hf_hub"]).rpartition("/")
    if not repo:
        raise MissingModelError(
            f"{name}: these weights are not on the hub. Download {stated.get('url')} and name the "
            f"file: open_clip:{architecture}/PATH"
        )
    wanted = [file_name] if file_name else list(_OF_HUB)
    if file_name and not file_name.endswith(".safetensors"):
        wanted.insert(0, f"{Path(file_name).stem}.safetensors")
    return _with_text(Source(name, model, stated, hub.fetch_file(repo, wanted, name)))


def _with_text(source: Source, folder: Path | None = None) -> Source:
    """The source with the files of its text side, where these are of the transformers library.

    Args:
        source: without them.
        folder: where they lie; None for the hub's repositories that the configuration names.
    """
    stated = source.model["text_cfg"]
    tokenizer = text_config = None
    if repo := stated.get("hf_tokenizer_name"):
        tokenizer = folder or hub.fetch_tokenizer(str(repo), source.name)
    if repo := stated.get("hf_model_name"):
        if folder is not None and (folder / "config.json").is_file():
            text_config = folder
        else:
            text_config = hub.fetch_file(str(repo), ["config.json"], source.name).parent
    return replace(source, tokenizer=tokenizer, text_config=text_config)


def _file_of_hub(name: str, place: str) -> Path:
    """One file with weights in a repository that has no configuration."""
    owner, _, rest = place.partition("/")
    repo, _, file = rest.partition("/")
    if not (owner and repo and file):
        raise MissingModelError(
            f"open_clip:{name}: expected hf-hub:owner/name/FILE after the architecture; a "
            f"repository that has an {OPEN_CLIP} is named alone: hf-hub:owner/name"
        )
    return hub.fetch_file(f"{owner}/{repo}", [file], name)


def _no_architecture(name: str, known: list[str]) -> str:
    first = name.partition("/")[0]
    close = get_close_matches(first, known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
    if not close and name.count("/") == 1:
        hint = f" A model of the hub is named 'hf-hub:{name}'."
    return (
        f"open_clip:{name}: open_clip has no architecture {first!r}.{hint} Expected "
        "ARCHITECTURE/TAG such as open_clip:ViT-B-32/openai, hf-hub:owner/name or local-dir:FOLDER"
    )


def _configuration(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's and the preprocessing's configuration from a checkpoint's file."""
    value = read_json(path)
    model: Any = value.get("model_cfg")
    preprocess: Any = value.get("preprocess_cfg", {})
    parts = [model, preprocess]
    if isinstance(model, dict):
        parts += [model.get("vision_cfg"), model.get("text_cfg")]
    if not all(isinstance(part, dict) for part in parts) or "embed_dim" not in model:
        raise InputError(
            f"{path}: expected 'model_cfg' with embed_dim, vision_cfg and text_cfg; this is no "
            "configuration of an open_clip model"
        )
    return model, preprocess


def _weights(folder: Path) -> Path:
    found = next((folder / n for n in _WEIGHTS if (folder / n).is_file()), None)
    if found is None:  # a training run names its files by epoch
        others = sorted(p for p in folder.iterdir() if p.suffix in _ENDINGS)
        if len(others) != 1:
            several = f"has several ({', '.join(p.name for p in others[:4])})" if others else ""
            raise InputError(
                f"{folder}: {several or 'has no weights'}; expected one file with weights, "
                f"such as {_WEIGHTS[0]}"
            )
        found = others[0]
    return _readable(found)


def _readable(file: Path) -> Path:
    """The file, if it can hold tensors alone.

    Raises:
        InputError: another kind of file, or TorchScript, which is code.
    """
    if file.suffix not in _ENDINGS:
        raise InputError(f"{file}: expected a file with weights ({', '.join(_ENDINGS)})")
    if file.suffix != ".safetensors" and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(n.endswith("/constants.pkl") for n in archive.namelist()):
                raise InputError(
                    f"{file}: is a TorchScript archive, which holds code; it was not loaded. The "
                    "same weights without code: open_clip:ARCHITECTURE/openai"
                )
    return file
