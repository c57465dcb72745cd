"""The formulas and draws by which the text tower of `photo` was made (scripts/train_photo.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import photo_alignment as alignment
import photo_dictionary as dictionary
from photo_dictionary import Entry, Texts

DOG = Entry("n1", ("dog", "domestic dog"), "a member of the genus Canis, with a wet nose")
CRANE = Entry("n2", ("crane",), "lifts and moves heavy objects; has a long arm")
BIRD = Entry("n3", ("crane",), "large long-necked wading bird with a wet nose")
KNOWN = [DOG, CRANE, BIRD]


def rows(count: int, width: int, seed: int = 0) -> np.ndarray:
    return alignment.unit(np.random.default_rng(seed).normal(size=(count, width)))


def test_folds_hold_out_each_class_once():
    unseen = [u for _, u in alignment.splits(1000)]
    assert sorted(np.concatenate(unseen)) == list(range(1000))
    assert all(not set(s) & set(u) for s, u in alignment.splits(1000))


def test_hits_count_the_first_and_the_first_five():
    made = np.eye(10)
    assert alignment.hits(made, made).tolist() == [100, 100]
    assert alignment.hits(made, np.roll(made, 1, axis=0)).tolist()[0] == 0


@pytest.mark.parametrize("fit", [alignment.ridge, alignment.kernel_ridge])
def test_a_small_penalty_returns_what_was_fitted(fit):
    texts, values = rows(20, 30), rows(20, 8, seed=1)
    np.testing.assert_allclose(fit(texts, values, 1e-9)(texts), values, atol=1e-5)


def test_what_all_images_share_is_taken_out_of_every_text_vector():
    weights, direction = rows(6, 12), rows(1, 12, seed=1)[0]
    left = alignment.without(weights, direction)
    np.testing.assert_allclose(left @ direction, 0, atol=1e-12)
    np.testing.assert_allclose(alignment.without(left, direction), left, atol=1e-12)


def test_text_vectors_that_are_the_classifiers_rows_have_its_own_scale():
    known = rows(50, 16)
    scale, slope, error = alignment.logit_scale(known, known, 2.0, 15.0)
    assert (round(scale, 6), round(slope, 6), round(error, 6)) == (30, 1, 0)


def test_the_less_a_text_tells_the_smaller_the_scale():
    known, noise = rows(200, 16), rows(200, 16, seed=1)
    scales = [alignment.logit_scale(known + k * noise, known, 2.0, 15.0)[0] for k in (0, 0.5, 1, 3)]
    assert scales == sorted(scales, reverse=True)
    assert scales[-1] > 0


def test_a_text_is_drawn_with_what_it_means():
    texts = Texts(KNOWN, ["wet nose"], {"dog", "crane"}, seed=0)
    drawn, places = texts.draw(200, "name")
    assert set(zip(drawn, places, strict=True)) == {
        ("dog", 0), ("dogs", 0), ("domestic dog", 0), ("domestic dogs", 0),
        ("crane", 1), ("cranes", 1), ("crane", 2), ("cranes", 2),
    }  # fmt: skip
    assert all("{}" not in text for text in texts.draw(200, "prompt")[0])
    assert texts.draw(1, "phrase") == (["wet nose"], [3])
    assert DOG.whole in texts.draw(50, "definition")[0]


def test_phrases_are_words_in_a_row_that_two_definitions_have():
    assert set(dictionary.phrases(KNOWN)) == {"wet", "nose", "wet nose"}
