"""The vocabulary refuses what it cannot mean, with cause and cure."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from sklearn.utils.validation import _num_samples

from handful import errors
from handful.contracts import ClassText, Features, ImageRef, class_names, unit
from handful.errors import HandfulError, ImageError, InputError


def test_class_text_averages_and_renormalises():
    text = ClassText([[[2, 0], [0, 3]], [[0, 1], [0, 1]]], ["a", "b"], 100.0)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(text.weights, [[half, half], [0, 1]], atol=1e-6)
    assert text.embeddings.dtype == np.float32
    assert text.classes == ("a", "b")


def test_class_text_cannot_be_sliced_by_scikit_learn():
    # it slices every fit argument that has a length, a shape or an __array__
    text = ClassText(np.ones((3, 1, 2)), ("a", "b", "c"), 1.0)
    for name in ("__len__", "shape", "__array__", "__getitem__"):
        assert not hasattr(text, name)
    with pytest.raises(TypeError):
        _num_samples(text)


@pytest.mark.parametrize(
    ("embeddings", "classes", "scale", "words"),
    [
        (np.ones((2, 3)), ("a", "b"), 1.0, r"\[C, P, D\], got \[2, 3\]"),
        (np.ones((2, 0, 3)), ("a", "b"), 1.0, r"got \[2, 0, 3\]"),
        (np.ones((2, 1, 3)), ("a", "b", "c"), 1.0, "2 rows for 3 classes"),
        (np.ones((2, 1, 3)), ("a", "A"), 1.0, "class names repeat: 'a' and 'A'"),
        (np.ones((2, 1, 3)), ("a", " "), 1.0, "empty"),
        (np.zeros((2, 1, 3)), ("a", "b"), 1.0, "row of zeros"),
        (np.full((2, 1, 3), np.nan), ("a", "b"), 1.0, "NaN"),
        (np.ones((2, 1, 3)), ("a", "b"), 0.0, "positive logit scale within float32, got 0"),
        (np.ones((2, 1, 3)), ("a", "b"), np.inf, "logit scale"),
        (np.ones((2, 1, 3)), ("a", "b"), np.nan, "logit scale"),
        (np.ones((2, 1, 3)), ("a", "b"), 1e40, "logit scale within float32, got 1e"),
    ],
)
def test_class_text_refuses(embeddings, classes, scale, words):
    with pytest.raises(InputError, match=words):
        ClassText(embeddings, classes, scale)


def test_prompts_that_cancel_out_have_no_mean():
    text = ClassText([[[1, 0], [-1, 0]], [[0, 1], [0, 1]]], ("a", "b"), 1.0)
    with pytest.raises(InputError, match="mean of the prompts"):
        _ = text.weights


@given(arrays(np.float32, (4, 3), elements=st.floats(0.015625, 1e6, width=32)))
def test_unit_rows_are_unit(rows):
    np.testing.assert_allclose(np.linalg.norm(unit(rows), axis=1), 1, rtol=1e-5)


def test_features_need_an_id_a_row():
    with pytest.raises(InputError, match=r"N = 1 ids, got \[2, 3\]"):
        Features(np.ones((2, 3), np.float32), ("x",), "model:x")


def test_class_names():
    assert class_names(["b", "a"]) == ("b", "a")
    with pytest.raises(InputError, match="no class names"):
        class_names([])


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\nlines", "a\u2028b", "a\x9bb", "nul\0"])
def test_class_names_with_control_characters_are_refused_and_shown_escaped(name):
    with pytest.raises(InputError, match="control character or a line break") as caught:
        class_names(["cat", name])
    assert repr(name) in str(caught.value)
    assert str(caught.value).isprintable()
    assert class_names(["क्\u200dष", "naïve cat"])  # joiners belong to some scripts


def test_image_references_name_the_same_bytes_alike(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"bytes")
    digest = hashlib.sha256(b"bytes").hexdigest()
    assert ImageRef.of(path).digest() == ImageRef.of(b"bytes").digest() == digest
    assert ImageRef.of(str(path)).name == str(path)
    assert ImageRef.of(path, "my cat").name == "my cat"
    same = ImageRef.of(b"x")
    assert ImageRef.of(same) is same


def test_pixels_of_another_shape_are_another_image():
    flat, tall = np.zeros((2, 8, 3), np.uint8), np.zeros((8, 2, 3), np.uint8)
    assert ImageRef.of(flat).digest() != ImageRef.of(tall).digest()


def test_a_pil_image_is_known_by_how_it_looks():
    looks = [Image.new("L", (8, 2)), Image.new("L", (2, 8)), Image.new("1", (8, 2))]
    looks += [Image.new("RGBA", (8, 2), (0, 0, 0, alpha)) for alpha in (0, 255)]
    turned = Image.new("L", (8, 2))
    turned.getexif()[0x0112] = 6
    turned.info["exif"] = turned.getexif().tobytes()
    palettes = [Image.new("P", (8, 2)), Image.new("P", (8, 2))]
    palettes[0].putpalette([1, 2, 3])
    palettes[1].putpalette([3, 2, 1])
    clear = Image.new("L", (8, 2))
    clear.info["transparency"] = 0
    looks += [turned, clear, *palettes]
    assert len({ImageRef.of(look).digest() for look in looks}) == len(looks)
    assert ImageRef.of(looks[0].copy()).digest() == ImageRef.of(looks[0]).digest()
    named = Image.new("L", (8, 2))
    named.info["comment"] = "says nothing of how it looks"
    assert ImageRef.of(named).digest() == ImageRef.of(looks[0]).digest()


def test_a_pil_image_may_be_drawn_on_afterwards():
    canvas = Image.new("L", (8, 2))
    ref = ImageRef.of(canvas)
    before = ref.digest()
    canvas.paste(255, (0, 0, 4, 2))
    assert ref.digest() == before != ImageRef.of(canvas).digest()
    with pytest.raises(InputError, match="expected a picture, got one of size"):
        ImageRef.of(Image.new("RGB", (0, 3)))


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2)), np.zeros((2, 2, 3)), np.zeros((0, 2, 3), np.uint8)]
)
def test_image_references_refuse(pixels):
    with pytest.raises(InputError, match=r"pixels \[H, W, 3\] uint8"):
        ImageRef.of(pixels)


def test_an_image_has_one_source():
    for given_ in ({}, {"data": b"x", "pixels": np.zeros((1, 1, 3), np.uint8)}):
        with pytest.raises(InputError, match="exactly one"):
            ImageRef("x", **given_)


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(ImageError, match=r"nowhere\.jpg: does not exist"):
        ImageRef.of(tmp_path / "nowhere.jpg").digest()


def test_every_error_is_ours_and_of_a_built_in_kind():
    kinds = [
        k for k in vars(errors).values() if isinstance(k, type) and k.__module__ == "handful.errors"
    ]
    assert len(kinds) > 5
    for kind in kinds:
        assert issubclass(kind, HandfulError)
        if kind is not HandfulError:
            assert issubclass(kind, ValueError | ImportError | OSError | KeyError)


def test_messages_read_as_written():
    assert str(errors.UnknownNameError("no 'x'")) == "no 'x'"  # a KeyError would show its repr
    text = str(errors.MissingExtraError("pyarrow", "parquet", "Reading tables"))
    assert text.startswith("Reading tables needs the library 'pyarrow'")
    assert "pip install -e '.[parquet]'" in text
