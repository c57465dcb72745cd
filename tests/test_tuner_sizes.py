"""Tuners on architectures of real size: published counts, parity with the library, gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import real_sizes
from handful import plugins
from handful.errors import InputError
from handful.tuners import Tuner
from handful.tuners._tuned_encoder import TunerModule, attached, encode_texts

pytestmark = pytest.mark.slow

TEXT = "a photo of a cat."
# parameters of the whole model as its makers publish it, the logit scale (and bias) included
PUBLISHED = {
    "ViT-B/32": 151_277_313,
    "ViT-B/16": 149_620_737,
    "ViT-L/14": 427_616_513,
    "SigLIP-B/16": 203_155_970,
    "RN50": 102_007_137,
    "open_clip ViT-B-32": 151_277_313,
}
VITS = ("ViT-B/32", "ViT-B/16", "open_clip ViT-B-32")
SMALL = tuple(name for name in plugins.names("tuners") if name != "full")


def make(tuner: str, **params: Any) -> Tuner:
    made: Tuner = plugins.get("tuners", tuner)(**params)
    return made


def learned(tuner: str, architecture: str, classes: tuple[str, ...] = (), **params: Any) -> int:
    """Numbers that the tuner learns; nothing is allocated."""
    encoder = real_sizes.encoder(architecture, meta=True)
    with torch.device("meta"):
        delta = make(tuner, **params)._create_module(encoder, classes)
    return sum(p.numel() for p in delta.parameters())


# ---- counts


@pytest.mark.parametrize("architecture", PUBLISHED)
def test_the_architectures_are_the_published_ones(architecture):
    model = real_sizes.encoder(architecture, meta=True).model
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[architecture]


@pytest.mark.parametrize("architecture", VITS)
def test_counts_on_a_base_vit_are_the_published_ones(architecture):
    assert learned("lora", architecture, rank=2) == 184_320
    assert learned("soft_prompt", architecture, length=16, contexts="shared") == 8_192
    assert learned("norm", architecture) == 65_536
    assert learned("projection", architecture) == 393_216
    # CoCoOp: 4 contexts and a network 512 -> 32 -> 512; its paper says 35 thousand
    assert learned("soft_prompt", architecture, length=4, contexts="image") == 35_360
    assert learned("full", architecture) == PUBLISHED[architecture] - 1  # all but the logit scale
    per_block = {width: 2 * 64 * width + 64 + width for width in (768, 512)}
    assert learned("block", architecture) == 12 * (per_block[768] + per_block[512])


def test_counts_on_other_architectures():
    assert learned("projection", "RN50") == 2048 * 1024  # ProLIP: 2.1 million, no bias
    assert learned("lora", "RN50", towers="text") == 12 * 3 * 2 * 2 * 512
    assert learned("lora", "ViT-L/14") == 24 * 12 * 1024 + 12 * 12 * 768
    assert learned("lora", "SigLIP-B/16") == 2 * 12 * 12 * 768
    stages = (256, 512, 1024, 2048)
    assert learned("block", "RN50", towers="vision") == sum(2 * 64 * w + 64 + w for w in stages)
    assert learned("soft_prompt", "ViT-L/14", ("cat", "dog"), length=4) == 2 * 4 * 768


@pytest.mark.parametrize("tuner", SMALL)
def test_every_tuner_is_below_two_percent_of_a_large_vit(tuner):
    # contexts as long as the words they begin as otherwise; those are of each class
    params, classes = {}, ()
    if tuner == "soft_prompt":
        params, classes = {"length": 4}, tuple(f"class {i}" for i in range(100))
    assert learned(tuner, "ViT-L/14", classes, **params) < 0.02 * PUBLISHED["ViT-L/14"]


def test_two_adapters_a_block_are_just_above_it():
    share = learned("block", "ViT-L/14", place="both") / PUBLISHED["ViT-L/14"]
    assert 0.02 < share < 0.0205
    assert learned("block", "ViT-L/14", place="both", bottleneck=62) < 0.02 * 427_616_513


# ---- parity and gradients


@contextlib.contextmanager
def tuned(encoder: Any, tuner: Tuner) -> Iterator[Callable[[], tuple[Tensor, Tensor, nn.Module]]]:
    """The tuner at its start in the model; called, image and text features and what is learned."""
    module = tuner.create_module(encoder, ("cat",), 0).eval()
    part = TunerModule(tuner, module)
    template = tuner._templates((TEXT.replace("cat", "{}"),))[0]
    with attached(encoder, [part]):

        def run() -> tuple[Tensor, Tensor, nn.Module]:
            seen = encoder.vision.forward(picture(encoder))
            return seen, encode_texts(encoder, [part], [template.format("cat")]), module

        yield run


def picture(encoder: Any) -> dict[str, Tensor]:
    made = torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(1))
    return encoder.pixels([made])


def plain(encoder: Any) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        seen = encoder.vision.forward(picture(encoder))
        return seen, encoder.text.forward(encoder.tokens([TEXT]))


def library(encoder: Any) -> tuple[Tensor, Tensor]:
    """As the library's users call it, with the library's own layers."""
    model, tokens = encoder.model, encoder.tokens([TEXT])["input_ids"]
    with torch.no_grad():
        if hasattr(model, "encode_image"):
            pixels = picture(encoder)["pixel_values"]
            return model.encode_image(pixels), model.encode_text(tokens)
        seen, said = model.get_image_features(**picture(encoder)), model.get_text_features(tokens)
        return tuple(x if isinstance(x, Tensor) else x.pooler_output for x in (seen, said))


def near(got: Tensor, wanted: Tensor) -> None:
    """Equal to float32's rounding over a whole tower."""
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= 2e-5 * wanted.abs().max()


def check(encoder: Any, tuner: Tuner, wanted: tuple[Tensor, Tensor], kinds: set[str]) -> None:
    """Parity at the start; gradients in all that is learned and nowhere else.

    Args:
        encoder: the model.
        tuner: with what it learns at its start.
        wanted: `[1, D]` image and text features of the library.
        kinds: towers whose features a gradient may come from.
    """
    with tuned(encoder, tuner) as run:
        seen, said, module = run()
        near(seen, wanted[0])
        near(said, wanted[1])
        assert {k for k, x in (("vision", seen), ("text", said)) if x.requires_grad} == kinds
        towards = torch.Generator().manual_seed(2)
        rows = [x for x in (seen, said) if x.requires_grad]
        sum((x * torch.randn(x.shape, generator=towards)).sum() for x in rows).backward()
    for name, p in module.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        if tuner.is_linear_in(name):
            assert p.grad.abs().sum() > 0, name
    assert all(p.grad is None for p in encoder.model.parameters())


WORDS = {"words": "a photo of a"}  # a prompt that begins as the hand-written one
BASE: list[tuple[str, dict[str, Any], set[str]]] = [
    ("block", {"place": "both"}, {"vision", "text"}),
    ("block", {"place": "parallel", "blocks": "10-11"}, {"vision", "text"}),
    ("lora", {}, {"vision", "text"}),
    ("norm", {}, {"vision", "text"}),
    ("projection", {"towers": "both"}, {"vision", "text"}),
    ("soft_prompt", WORDS, {"text"}),
]
RESNET: list[tuple[str, dict[str, Any], set[str]]] = [
    ("block", {}, {"vision", "text"}),
    ("lora", {"towers": "text"}, {"text"}),
    ("norm", {"towers": "text"}, {"text"}),
    ("projection", {}, {"vision"}),
    ("soft_prompt", WORDS, {"text"}),
    ("full", {}, {"vision", "text"}),
]
LARGE: list[tuple[str, dict[str, Any], set[str]]] = [
    ("block", {"place": "both"}, {"vision", "text"}),
    ("lora", {}, {"vision", "text"}),
]
CASES = {
    "ViT-B/32": BASE,
    "open_clip ViT-B-32": BASE,
    "RN50": RESNET,
    "ViT-B/16": LARGE,
    "ViT-L/14": LARGE,
    "SigLIP-B/16": LARGE,
}


@pytest.mark.parametrize("architecture", CASES)
def test_parity_and_gradients(architecture):
    encoder = real_sizes.encoder(architecture)
    wanted = library(encoder)
    real_sizes.quicken(encoder)
    before = plain(encoder)
    for tuner, params, kinds in CASES[architecture]:
        check(encoder, make(tuner, **params), wanted, kinds)
    assert all(torch.equal(a, b) for a, b in zip(plain(encoder), before, strict=True))


def test_a_resnet_has_no_attention_for_lora():
    encoder = real_sizes.encoder("RN50", meta=True)
    with pytest.raises(InputError, match="has no attention"):
        make("lora")._create_module(encoder, ())
