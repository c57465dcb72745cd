"""Checkpoints of real architectures, small and randomly initialised, as real folders on disk.

`models.clip(folder)` and its siblings build one inside `folder` and return its path. They are
built once a process (a session of one worker) and copied from then on.
"""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from handful.encoders.backends._libraries import transformers

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = ["a", "photo", "of", "the", "cat", "dog", "red", "circle", "forest", "annual", "crop"]
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
LOUD = 8.0  # random weights of the usual size give nearly equal features for all inputs


def _cached(build: Callable[[Path], None]) -> Callable[[Path], Path]:
    @functools.cache
    def once() -> Path:
        folder = Path(tempfile.mkdtemp(prefix="handful-models-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        torch.manual_seed(0)
        transformers.utils.logging.disable_progress_bar()
        try:
            build(folder)
        finally:
            transformers.utils.logging.enable_progress_bar()
        return folder

    @functools.wraps(build)
    def copy(target: Path) -> Path:
        folder = Path(target) / build.__name__
        shutil.copytree(once(), folder)
        return folder

    return copy


def _save(model: Any, folder: Path, tokenizer: Any, processor: Any) -> None:
    """Write a whole checkpoint, its weights made loud enough that inputs matter."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(LOUD)
            elif "bias" in name and "logit" not in name:
                parameter.normal_(0, 0.05)
        _settle(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)


def _settle(model: Any) -> None:
    """Give batch normalisation the statistics of some noise, as training would have."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if norms:
        for norm in norms:
            norm.momentum = 1.0
        model.train()
        model.get_image_features(pixel_values=torch.rand(16, 3, 60, 60) * 2 - 1)
        model.eval()


@_cached
def clip(folder: Path) -> None:
    """CLIP with quick GELU, 48-pixel pictures, 32-wide features."""
    config = transformers.CLIPConfig(
        text_config={**TOWER, **_clip_words(), "max_position_embeddings": 24},
        vision_config={**TOWER, "image_size": 48, "patch_size": 16},
        projection_dim=32,
    )
    _save(transformers.CLIPModel(config), folder, _clip_tokenizer(), _clip_pixels(48))


@_cached
def clip_wide(folder: Path) -> None:
    """CLIP with blocks wide enough for bfloat16 to be worthwhile."""
    wide = {**TOWER, "hidden_size": 256, "intermediate_size": 512}
    config = transformers.CLIPConfig(
        text_config={**wide, **_clip_words(), "max_position_embeddings": 24},
        vision_config={**wide, "image_size": 64, "patch_size": 16},
        projection_dim=64,
    )
    model = transformers.CLIPModel(config)
    model.save_pretrained(folder)
    _clip_tokenizer().save_pretrained(folder)
    _clip_pixels(64).save_pretrained(folder)


@_cached
def metaclip_2(folder: Path) -> None:
    """MetaCLIP 2: multilingual words, end-of-text pooling."""
    tokenizer = _xlm_tokenizer()
    words = {"vocab_size": len(tokenizer), "eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1}
    config = transformers.MetaClip2Config(
        text_config={**TOWER, **words, "max_position_embeddings": 24},
        vision_config={**TOWER, "image_size": 48, "patch_size": 16, "hidden_act": "gelu"},
        projection_dim=32,
    )
    _save(transformers.MetaClip2Model(config), folder, tokenizer, _clip_pixels(48))


def _siglip_words(tokenizer: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "projection_size": 64,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


@_cached
def siglip(folder: Path) -> None:
    """SigLIP: sigmoid loss with a bias, padded text, square resize without a crop."""
    tokenizer = _siglip_tokenizer()
    config = transformers.SiglipConfig(
        text_config={
            **TOWER,
            **_siglip_words(tokenizer),
        },
        vision_config={**TOWER, "image_size": 48, "patch_size": 16},
    )
    model = transformers.SiglipModel(config)
    torch.nn.init.constant_(model.logit_scale, 2.0)
    torch.nn.init.constant_(model.logit_bias, -8.0)
    pixels = transformers.SiglipImageProcessorPil(size={"height": 48, "width": 48})
    _save(model, folder, tokenizer, pixels)


@_cached
def siglip2_fixed(folder: Path) -> None:
    """SigLIP 2 of fixed size: SigLIP's architecture, words of Gemma's kind."""
    tokenizer = _siglip2_tokenizer()
    config = transformers.SiglipConfig(
        text_config={
            **TOWER,
            **_siglip_words(tokenizer),
        },
        vision_config={**TOWER, "image_size": 48, "patch_size": 16},
    )
    pixels = transformers.SiglipImageProcessorPil(size={"height": 48, "width": 48})
    _save(transformers.SiglipModel(config), folder, tokenizer, pixels)


@_cached
def siglip2(folder: Path) -> None:
    """SigLIP 2 NaFlex: pictures keep their shape, in at most 16 patches."""
    tokenizer = _siglip2_tokenizer()
    config = transformers.Siglip2Config(
        text_config={
            **TOWER,
            **_siglip_words(tokenizer),
        },
        vision_config={**TOWER, "num_patches": 16, "patch_size": 8},
    )
    pixels = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    _save(transformers.Siglip2Model(config), folder, tokenizer, pixels)


@_cached
def chinese_clip(folder: Path) -> None:
    """Chinese-CLIP: a BERT that reads single characters."""
    tokenizer = _bert_tokenizer()
    config = transformers.ChineseCLIPConfig(
        text_config={**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 40},
        vision_config={**TOWER, "image_size": 48, "patch_size": 16},
        projection_dim=32,
    )
    pixels = transformers.ChineseCLIPImageProcessorPil(
        size={"height": 48, "width": 48}, do_center_crop=False
    )
    _save(transformers.ChineseCLIPModel(config), folder, tokenizer, pixels)


@_cached
def align(folder: Path) -> None:
    """ALIGN: an EfficientNet, a BERT and a temperature."""
    tokenizer = _bert_tokenizer()
    vision = {
        "image_size": 60,
        "width_coefficient": 0.5,
        "depth_coefficient": 0.2,
        "hidden_dim": 64,
        "in_channels": [32, 16],
        "out_channels": [16, 128],
        "kernel_sizes": [3, 3],
        "strides": [1, 2],
        "num_block_repeats": [1, 1],
        "expand_ratios": [1, 4],
    }
    config = transformers.AlignConfig(
        text_config={**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 80},
        vision_config=vision,
        projection_dim=64,
        temperature_init_value=0.05,
    )
    pixels = transformers.EfficientNetImageProcessorPil(
        size={"height": 72, "width": 72},
        do_center_crop=True,
        crop_size={"height": 60, "width": 60},
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        do_normalize=False,
        include_top=False,
        resample=2,
    )
    _save(transformers.AlignModel(config), folder, tokenizer, pixels)


@_cached
def altclip(folder: Path) -> None:
    """AltCLIP: an XLM-R that reads, CLIP's picture tower."""
    tokenizer = _xlm_tokenizer()
    config = transformers.AltCLIPConfig(
        text_config={
            **TOWER,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 82,
            "project_dim": 64,
            "pad_token_id": 1,
        },
        vision_config={**TOWER, "image_size": 48, "patch_size": 16},
        projection_dim=32,
    )
    _save(transformers.AltCLIPModel(config), folder, tokenizer, _clip_pixels(48))


@_cached
def bert(folder: Path) -> None:
    """A language model: no image tower."""
    tokenizer = _bert_tokenizer()
    config = transformers.BertConfig(**TOWER, vocab_size=len(tokenizer))
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


ALL = (clip, metaclip_2, siglip, siglip2_fixed, siglip2, chinese_clip, align, altclip)


def pickled(folder: Path, content: Any = None) -> Path:
    """The checkpoint with its weights as pytorch_model.bin (or with `content` in it)."""
    from safetensors.torch import load_file

    weights = folder / "model.safetensors"
    torch.save(load_file(weights) if content is None else content, folder / "pytorch_model.bin")
    weights.unlink()
    return folder


def change_json(path: Path, **values: Any) -> None:
    """Set values in a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _clip_pixels(side: int) -> Any:
    return transformers.CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def _clip_tokenizer() -> Any:
    ends = [f"{letter}</w>" for letter in LETTERS]
    rest = [*"0123456789.,!?'-&:", *(f"{c}</w>" for c in "0123456789.,!?'-&:")]
    made = ["ca", "cat</w>", "do", "dog</w>", "ph", "oto</w>"]
    merges = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>"), ("p", "h")]
    tokens = [*LETTERS, *ends, *rest, *made, "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=24)


def _clip_words() -> dict[str, int]:
    size = len(_clip_tokenizer())
    return {
        "vocab_size": size,
        "bos_token_id": size - 2,
        "eos_token_id": size - 1,
        "pad_token_id": size - 1,
    }


def _bert_tokenizer() -> Any:
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *PIECES,
        *LETTERS,
        *".,!?&:",
        "猫",
        "狗",
    ]
    pieces += [f"##{letter}" for letter in LETTERS]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    return transformers.BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=32)


def _xlm_tokenizer() -> Any:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *(f"▁{p}" for p in PIECES), "▁", *LETTERS, *".,&:"]
    vocabulary = [(piece, -float(i)) for i, piece in enumerate([*pieces, "<mask>"])]
    return transformers.XLMRobertaTokenizer(vocab=vocabulary, model_max_length=24)


def _siglip_tokenizer() -> Any:
    """A tokenizer.json of the kind SigLIP's checkpoints carry: it cleans the text itself."""
    pieces = ["<pad>", "</s>", "<unk>", *(f"▁{p}" for p in PIECES), "▁", *LETTERS]
    model = Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], unk_id=2)
    made = Tokenizer(model)
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[!-/:-@\[-`{-~]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="</s>",
        pad_token="</s>",
        unk_token="<unk>",
        model_max_length=64,
        model_input_names=["input_ids"],
    )


def _siglip2_tokenizer() -> Any:
    pieces = [
        "<pad>",
        "<eos>",
        "<bos>",
        "<unk>",
        "<mask>",
        *LETTERS,
        *LETTERS.upper(),
        *".,!&:",
        "▁",
    ]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    return transformers.GemmaTokenizer(
        vocab=vocabulary,
        merges=[],
        model_max_length=64,
        add_bos_token=False,
        add_eos_token=True,
        model_input_names=["input_ids"],
    )
