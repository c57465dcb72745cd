"""The text tower of `photo`: its files, its formula, and what it knows."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from handful.encoders.backends._photo import text as photo_text
from handful.encoders.backends._photo.text import PhotoText, PhotoTokens, dequantize, quantize
from handful.errors import InputError

FOLDER = Path(photo_text.__file__).parents[2] / "photo"


@pytest.fixture(scope="module")
def tower() -> PhotoText:
    return PhotoText.from_folder(FOLDER)


@pytest.fixture(scope="module")
def tokens() -> PhotoTokens:
    return PhotoTokens.from_folder(FOLDER)


def rows(tower: PhotoText, tokens: PhotoTokens, texts: list[str]) -> np.ndarray:
    with torch.inference_mode():
        out = tower(**tokens.encode(texts)[0]).numpy()
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def test_a_text_becomes_a_vector_of_the_width_of_image_features(tower, tokens):
    out = rows(tower, tokens, ["a photo of a dog.", "a photo of a red sports car."])
    assert out.shape == (2, 1280)
    assert out.dtype == np.float32


def test_padding_changes_nothing(tower, tokens):
    alone = rows(tower, tokens, ["dog"])
    padded = rows(tower, tokens, ["dog", "a photo of a very long name that has many word pieces."])
    np.testing.assert_allclose(alone[0], padded[0], atol=1e-5)


def test_case_and_accents_do_not_matter_but_words_do(tower, tokens):
    a, b, c = rows(tower, tokens, ["a Café.", "a cafe.", "a lake."])
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert a @ c < 0.9


@pytest.mark.parametrize("name", ["a photo of a {}.", "{}"])
def test_a_word_is_nearer_to_its_kind_than_to_another(tower, tokens, name):
    kinds = [("terrier", "spaniel"), ("truck", "bus"), ("oak", "maple"), ("sandal", "boot")]
    out = rows(tower, tokens, [name.replace("{}", w) for pair in kinds for w in pair])
    near = out[::2] @ out[1::2].T
    assert (near.argmax(axis=1) == np.arange(len(kinds))).all()


def test_the_first_text_that_was_cut_is_named(tokens):
    long = "word " * 200
    inputs, cut = tokens.encode(["short", long, long])
    assert cut == 1
    assert inputs["input_ids"].shape == (3, tokens.window)
    assert tokens.encode(["short"])[1] is None


def test_an_empty_text_and_unknown_letters_are_finite(tower, tokens):
    assert np.isfinite(rows(tower, tokens, ["", "日本", "🙂"])).all()


def test_matrices_survive_int8_within_half_a_step():
    state = {"m": torch.randn(5, 7), "v": torch.randn(7)}
    back = dequantize(quantize(state))
    step = state["m"].abs().amax(dim=1, keepdim=True) / 127
    assert ((back["m"] - state["m"]).abs() <= step / 2 + 1e-6).all()
    assert torch.equal(back["v"], state["v"])


def test_the_files_are_small_and_say_where_they_come_from():
    assert sum(p.stat().st_size for p in FOLDER.iterdir()) < 10_000_000
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert config["licence"]
    assert "MiniLM" in config["origin"]
    assert 0 < config["logit_scale"] < 100


def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "photo"))


@pytest.mark.parametrize("name", ["config.json", "text.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("harm", ["missing", "cut"])
def test_a_missing_or_cut_file_is_named(tmp_path, name, harm):
    folder = copy(tmp_path)
    if harm == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:100])
    reader = PhotoTokens if name == "tokenizer.json" else PhotoText
    with pytest.raises(InputError, match=re.escape(str(folder / name))):
        reader.from_folder(folder)


def test_weights_of_another_shape_are_refused(tmp_path):
    folder = copy(tmp_path)
    tensors = load_file(folder / "text.safetensors")
    del tensors["norm.weight"]
    save_file(tensors, folder / "text.safetensors")
    with pytest.raises(InputError, match=r"text\.safetensors"):
        PhotoText.from_folder(folder)
