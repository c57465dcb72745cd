"""Facts about the architectures of transformers that their checkpoints do not state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from handful.encoders.checkpoint import OPEN_CLIP, read_json
from handful.errors import InputError


@dataclass(frozen=True)
class Family:
    """Facts about one architecture.

    Args:
        name: `model_type` of the configuration.
        model: name of the library's class.
        processor: name of the library's image processor where the checkpoint states none.
        padded: texts are padded to the window and attend over the padding, as in training.
        case: how a text is cleaned: "" as it is, "lower", or "canonical" (lower case without
            punctuation).
        window: most tokens of a text, where that is less than the tower has positions for.
        offset: positions of the tower that no token takes.
    """

    name: str
    model: str
    processor: str = "CLIPImageProcessor"
    padded: bool = False
    case: str = ""
    window: int = 0
    offset: int = 0


FAMILIES = {
    f.name: f
    for f in (
        Family("clip", "CLIPModel"),
        Family("metaclip_2", "MetaClip2Model"),
        Family("siglip", "SiglipModel", "SiglipImageProcessor", padded=True, case="canonical"),
        Family("siglip2", "Siglip2Model", "Siglip2ImageProcessor", padded=True, case="lower"),
        Family("chinese_clip", "ChineseCLIPModel", "ChineseCLIPImageProcessor"),
        Family("align", "AlignModel", "EfficientNetImageProcessor", window=64),
        Family("altclip", "AltCLIPModel", window=77, offset=2),
    )
}


def family(name: str, folder: Path) -> Family:
    """The facts of the architecture that the folder's configuration names.

    Raises:
        InputError: no checkpoint, or one without an image and a text tower.
    """
    if not (folder / "config.json").is_file():
        if (folder / OPEN_CLIP).is_file():
            place = "local-dir" if Path(name).is_dir() else "hf-hub"
            raise InputError(
                f"{name}: is a checkpoint of the open_clip library; load it as '{place}:{name}'"
            )
        raise InputError(
            f"{folder}: is not a checkpoint (no config.json); expected a folder written by "
            "save_pretrained, with the model, its tokenizer and its image processor"
        )
    kind = str(read_json(folder / "config.json").get("model_type", ""))
    found = FAMILIES.get(kind)
    if found is None:
        raise InputError(
            f"{name}: is a {kind or 'nameless'!r} model; an encoder needs an image tower and a "
            f"text tower of one space: {', '.join(FAMILIES)}"
        )
    if found.name == "siglip" and _gemma(folder):
        return replace(found, case="lower")  # SigLIP 2 of fixed size calls itself siglip
    return found


def is_open_clip(folder: Path) -> bool:
    """Whether the folder is a checkpoint of open_clip and none that transformers can use."""
    if not (folder / OPEN_CLIP).is_file():
        return False
    config = folder / "config.json"
    return not config.is_file() or read_json(config).get("model_type", "") not in FAMILIES


def _gemma(folder: Path) -> bool:
    """Whether the tokenizer is of Gemma's kind, which SigLIP 2 uses."""
    path = folder / "tokenizer_config.json"
    stated = str(read_json(path).get("tokenizer_class", "")) if path.is_file() else ""
    return stated.startswith(("Gemma", "Siglip2"))
