"""Class names to text features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from handful.contracts import Array
from handful.encoders import prompts
from handful.errors import InputError


class Tower:
    """Reads by hashing; remembers what it was asked."""

    dim, scale = 8, 50.0

    def __init__(self) -> None:
        self.read: list[str] = []

    def texts(self, batch: Sequence[str]) -> Array:
        self.read.extend(batch)
        rows = [np.random.default_rng([ord(c) for c in t]).normal(size=self.dim) for t in batch]
        return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("annual_crop", "annual crop"),
        ("annual__crop_", "annual crop"),
        ("AnnualCrop", "annual crop"),
        ("HerbaceousVegetation", "herbaceous vegetation"),
        ("SeaLake", "sea lake"),
        ("Forest", "Forest"),
        ("McLaren", "McLaren"),
        ("DeLorean DMC", "DeLorean DMC"),
        ("FedEx", "FedEx"),
        ("iPhone", "iPhone"),
        ("BMW_X5", "BMW X5"),
        ("AGRICULTURE", "AGRICULTURE"),
        ("Boeing 737-800", "Boeing 737-800"),
        ("黄猫", "黄猫"),
        ("{}", "{}"),
    ],
)
def test_how_a_class_name_is_read(name: str, read: str) -> None:
    assert prompts.readable_name(name) == read


def test_embed_is_one_row_a_class_and_template_in_order() -> None:
    tower = Tower()
    text = prompts.embed(tower, ["sea_lake", "cat"], ["a {}.", "the {}."])
    assert tower.read == ["a sea lake.", "the sea lake.", "a cat.", "the cat."]
    assert text.classes == ("sea_lake", "cat")
    assert text.embeddings.shape == (2, 2, 8)
    assert text.scale == 50.0
    wanted = Tower().texts(["the sea lake."])[0]
    np.testing.assert_allclose(text.embeddings[0, 1], wanted / np.linalg.norm(wanted), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(text.weights, axis=1), 1, rtol=1e-5)


def test_a_prompt_that_repeats_is_read_once() -> None:
    tower = Tower()
    text = prompts.embed(tower, ["AnnualCrop", "annual_crop", "cat"], ["a {}."])
    assert tower.read == ["a annual crop.", "a cat."]
    np.testing.assert_array_equal(text.embeddings[0], text.embeddings[1])


def test_braces_in_a_class_name_are_only_letters() -> None:
    tower = Tower()
    prompts.embed(tower, ["a{}b", "{0}"], ["see {} here, {}"])
    assert tower.read == ["see a{}b here, a{}b", "see {0} here, {0}"]


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        ([], "no template given"),
        (["a photo"], r"template 'a photo' has no \{\}.*'a photo of a \{\}\.'"),
        (["a {}", "a {name}"], r"'a \{name\}' has no \{\}"),
        ("a photo of a {}", "expected a list of templates"),
    ],
)
def test_templates_that_cannot_work(templates: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        prompts.check_templates(templates)
    with pytest.raises(InputError, match=words):
        prompts.embed(Tower(), ["a", "b"], templates)


def test_every_set_of_templates_is_usable_and_named_sets_expand() -> None:
    for name, templates in prompts.TEMPLATES.items():
        prompts.check_templates(templates)
        assert prompts.expand_templates([name]) == templates
    assert len(prompts.TEMPLATES["imagenet"]) == 7
    mixed = prompts.expand_templates(["pets", "a {}", "pets"])
    assert mixed == ("a photo of a {}, a type of pet.", "a {}")
    with pytest.raises(InputError, match="did you mean 'satellite'"):
        prompts.expand_templates(["satelite"])


def test_class_names_are_checked() -> None:
    with pytest.raises(InputError, match="repeat"):
        prompts.embed(Tower(), ["cat", "Cat"])
