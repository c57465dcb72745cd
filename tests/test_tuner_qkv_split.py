"""LoRA where query, key and value are one matrix: the change must really be in the answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import open_clip_models
from handful import encoders
from handful.contracts import ImageRef
from handful.encoders.prompts import class_prompts
from handful.tuners import Recipe, TunedEncoder, fit
from handful.tuners._qkv_split import QKV, SplitAttention, SplitQKVLinear
from handful.tuners._tuned_encoder import attached, load_delta
from handful.tuners.full import Full
from handful.tuners.lora import Lora
from test_tuner_conformance import moved, untrained

KINDS = ["vit", "siglip", "eva"]  # nn.MultiheadAttention, timm's qkv layer, q, k and v apart


@pytest.fixture(scope="module", params=KINDS)
def encoder(request, tmp_path_factory):
    folder = open_clip_models.checkpoint(request.param, tmp_path_factory.mktemp("open_clip"))
    return encoders.load(str(folder), precision="float32", device="cpu")


def prepared(encoder, count=2):
    rng = np.random.default_rng(3)
    pictures = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(count)]
    return [encoder.prepare(p) for p in pictures]


@pytest.mark.parametrize("causal", [False, True])
def test_attention_taken_apart_is_the_same_attention(causal):
    torch.manual_seed(0)
    fused = nn.MultiheadAttention(24, 4, dropout=0.5, batch_first=True).eval()
    x = torch.randn(3, 7, 24)
    mask = torch.full((7, 7), float("-inf")).triu(1) if causal else None
    padding = torch.zeros(3, 7, dtype=torch.bool)
    padding[1, 5:] = True
    for rest in ({}, {"key_padding_mask": padding}):
        wanted = fused(x, x, x, need_weights=False, attn_mask=mask, **rest)[0]
        found = SplitAttention(fused)(x, x, x, need_weights=False, attn_mask=mask, **rest)[0]
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_layer_taken_apart_is_the_same_layer_and_follows_its_weights():
    torch.manual_seed(0)
    fused = nn.Linear(6, 18)
    split = SplitQKVLinear(fused)
    x = torch.randn(2, 6)
    torch.testing.assert_close(split(x), fused(x))
    torch.testing.assert_close(split.weight, fused.weight)
    with torch.no_grad():
        fused.weight.mul_(2)
    torch.testing.assert_close(split(x), fused(x))
    assert {n for n, _ in split.named_children()} == set(QKV)


def test_no_change_is_the_library_and_a_change_is_in_both_towers(encoder):
    images, texts = prepared(encoder), ["a cat", "a red circle"]
    nothing = TunedEncoder(encoder, {"x": untrained("lora", encoder)})
    np.testing.assert_allclose(nothing.images(images), encoder.images(images), atol=2e-6)
    np.testing.assert_allclose(nothing.texts(texts), encoder.texts(texts), atol=2e-6)
    something = TunedEncoder(encoder, {"x": moved(untrained("lora", encoder), by=0.3)})
    assert np.abs(something.images(images) - encoder.images(images)).max() > 1e-3
    assert np.abs(something.texts(texts) - encoder.texts(texts)).max() > 1e-3


@pytest.mark.parametrize("part", QKV)
def test_each_of_the_three_counts(encoder, part):
    """The known trap: a layer that the fast path passes by learns and changes nothing."""
    delta = moved(untrained("lora", encoder, towers="vision", blocks="0"), by=0.5)
    for name, values in delta.tensors.items():
        if part not in name:
            values *= 0
    tuned = TunedEncoder(encoder, {"x": delta})
    images = prepared(encoder)
    assert np.abs(tuned.images(images) - encoder.images(images)).max() > 1e-5


def test_every_learned_number_gets_a_gradient(encoder):
    delta = moved(untrained("lora", encoder), by=0.1)
    part = load_delta(encoder, delta)
    part.module.requires_grad_(True)
    with attached(encoder, [part]):
        seen = encoder.vision.forward(encoder.pixels(prepared(encoder)))
        said = encoder.text.forward(encoder.tokens(["a cat", "a dog"]))
    (seen.sum() + said.square().sum()).backward()
    without = [n for n, p in part.module.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_lora_stands_on_weights_that_are_tuned_too(encoder, tmp_path):
    from handful.features.store import ActivationStore

    rng = np.random.default_rng(1)
    images = [ImageRef.of(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(4)]
    trained = fit(
        [Lora()], encoder, images, ["cat", "dog"] * 2, class_prompts(["cat", "dog"], ["a {}."]),
        recipe=Recipe(epochs=2, batch=4, base_rate=1e-5), store=ActivationStore(tmp_path),
    )  # fmt: skip
    whole = trained.encoder.deltas["full"].tensors
    silent = [n for n, t in whole.items() if ("in_proj" in n or "qkv.weight" in n) and not t.any()]
    assert not silent
    assert list(trained.encoder.deltas) == [Full.__module__.rpartition(".")[2], "lora"]
