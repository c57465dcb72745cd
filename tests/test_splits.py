"""Draws, held-out parts and leaks."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handful.contracts import ImageRef
from handful.data import draw_from_digests, draw_shots, draw_to_digests, holdout, leaks, remaining
from handful.data.augmentation import random_view
from handful.data.dataset import groups_in_several_splits
from handful.data.splits import seeded_generator
from handful.errors import ImageError, InputError

LABELS = ["cat"] * 20 + ["dog"] * 20 + ["owl"] * 20

# 2 shots, seed 0: may never change, or old reports cannot be repeated
FIXED = [10, 12, 20, 28, 41, 58]


def names(labels: list[str], drawn: list[int]) -> Counter[str]:
    return Counter(labels[i] for i in drawn)


def test_a_draw_is_k_of_each_class_and_follows_the_seed() -> None:
    drawn = draw_shots(LABELS, 4, seed=1)
    assert names(LABELS, drawn) == {"cat": 4, "dog": 4, "owl": 4}
    assert drawn == sorted(set(drawn)) == draw_shots(tuple(LABELS), 4, seed=1)
    assert len({tuple(draw_shots(LABELS, 4, seed=s)) for s in range(20)}) == 20


def test_every_image_is_drawn_about_equally_often() -> None:
    times = Counter(i for seed in range(400) for i in draw_shots(LABELS, 5, seed))
    assert len(times) == 60
    assert all(60 < n < 140 for n in times.values())  # 100 expected, deviation about 9


def test_a_class_s_draw_does_not_depend_on_the_other_classes() -> None:
    alone = draw_shots(LABELS[:20], 4, seed=3)
    assert draw_shots(LABELS, 4, seed=3)[:4] == alone
    mixed = [LABELS[i] for i in np.random.default_rng(0).permutation(60)]
    cats = [i for i, label in enumerate(mixed) if label == "cat"]
    assert [cats.index(i) for i in draw_shots(mixed, 4, seed=3) if mixed[i] == "cat"] == alone


def test_a_larger_draw_contains_the_smaller() -> None:
    for few, more in ((1, 2), (2, 4), (4, 16), (16, 20)):
        assert set(draw_shots(LABELS, few, seed=5)) < set(draw_shots(LABELS, more, seed=5))


def test_a_draw_is_the_same_on_every_machine() -> None:
    assert draw_shots(LABELS, 2, seed=0) == FIXED
    labels = "['cat']*20+['dog']*20+['owl']*20"
    code = f"from handful.data import draw_shots; print(draw_shots({labels}, 2, 0))"
    for hashing in ("1", "2"):  # Python's own hash differs from run to run
        answer = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hashing, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == str(FIXED)


@pytest.mark.parametrize("seed", [-1, 1 << 63, 10**22, 1.5, None])
def test_a_seed_that_is_none_is_refused_everywhere(seed: Any) -> None:
    for use in (
        lambda: draw_shots(LABELS, 2, seed),
        lambda: holdout(LABELS, None, 0.25, seed),
        lambda: random_view(Image.new("RGB", (4, 4)), seed, 0),
    ):
        with pytest.raises(InputError, match="seed: expected a whole number from 0 to 9223372036"):
            use()


def test_too_few_images() -> None:
    labels = ["cat"] * 5 + ["dog"] * 2 + ["owl"]
    with pytest.raises(InputError, match=r"too few images for 4 shots a class: dog \(2\), owl"):
        draw_shots(labels, 4, seed=0)
    assert names(labels, draw_shots(labels, 4, seed=0, allow_fewer=True)) == {
        "cat": 4,
        "dog": 2,
        "owl": 1,
    }
    with pytest.raises(InputError, match="expected at least 1 shot a class, got 0"):
        draw_shots(labels, 0, seed=0)


def test_shots_come_from_as_many_groups_as_there_are() -> None:
    groups = ["burst 1"] * 17 + ["burst 2", "burst 3", ""]
    for seed in range(20):
        drawn = draw_shots(["cat"] * 20, 4, seed, groups)
        assert len({groups[i] or i for i in drawn}) == 4
    assert len(draw_shots(["cat"] * 20, 6, 0, groups)) == 6
    with pytest.raises(InputError, match="expected 20 groups, one an image, got 3"):
        draw_shots(["cat"] * 20, 2, 0, ["a", "b", "c"])


def test_the_rest_shares_no_group_with_the_draw() -> None:
    groups = ["a", "a", "b", "b", "", ""]
    assert remaining(6, [0, 4], groups) == [2, 3, 5]
    assert remaining(6, [0, 4]) == [1, 2, 3, 5]


def test_a_generator_hears_every_part() -> None:
    keys = [(0, "ab"), (1, "ab"), (0, "a", "b"), ("0", "b", "a"), (0, "ab", "")]
    assert len({seeded_generator(*k).integers(2**62) for k in keys}) == len(keys)


# ---------------------------------------------------------------------------- held-out parts


def test_a_part_of_every_class_is_held_out() -> None:
    labels = ["cat"] * 20 + ["dog"] * 8 + ["owl"] * 2 + ["elk"]
    train, test = holdout(labels, None, 0.25, seed=0)
    assert names(labels, test) == {"cat": 5, "dog": 2, "owl": 1}
    assert sorted(train + test) == list(range(31))
    assert holdout(labels, None, 0.25, seed=1)[1] != test
    assert holdout(labels[:20], None, 0.25, seed=0)[1] == [i for i in test if i < 20]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", *"uvwxyz"])), min_size=1),
    st.floats(0.05, 0.9),
    st.integers(0, 5),
)
def test_groups_never_straddle_and_every_class_stays_to_learn(
    pairs: list[tuple[str, str]], fraction: float, seed: int
) -> None:
    labels, groups = [p[0] for p in pairs], [p[1] for p in pairs]
    try:
        train, test = holdout(labels, groups, fraction, seed)
    except InputError:
        homes = {c: {g or i for i, (name, g) in enumerate(pairs) if name == c} for c in set(labels)}
        shared = {g for _, g in pairs if g}
        assert all(len(h) == 1 for h in homes.values()) or shared
        return
    assert test
    assert sorted(train + test) == list(range(len(pairs)))
    assert {labels[i] for i in train} == set(labels)
    assert not {groups[i] for i in train} & {groups[i] for i in test} - {""}


def test_nothing_to_hold_out() -> None:
    with pytest.raises(InputError, match="every class needs images in at least two groups"):
        holdout(["a", "a", "b", "b"], ["x", "x", "y", "y"], 0.5, seed=0)
    for fraction in (0, 1, -0.5):
        with pytest.raises(InputError, match="expected a fraction between 0 and 1"):
            holdout(LABELS, None, fraction, seed=0)


def test_straddling_groups_are_named() -> None:
    splits = ["train", "test", "train", "test", "val"]
    assert groups_in_several_splits(["a", "a", "", "", "a"], splits) == ["a"]
    assert groups_in_several_splits(["b", "c", "b", "c", "d"], splits) == []


# ---------------------------------------------------------------------------- equal bytes


def refs(*contents: bytes) -> list[ImageRef]:
    return [ImageRef.of(c, f"image {i}") for i, c in enumerate(contents)]


def test_byte_identical_images_are_found(tmp_path: Path) -> None:
    (tmp_path / "copy.png").write_bytes(b"two")
    test = [ImageRef.of(tmp_path / "copy.png"), *refs(b"three", b"one", b"one")]
    test.append(ImageRef.of(tmp_path / "gone.png"))
    support = [*refs(b"one", b"two", b"two"), ImageRef.of(tmp_path / "gone too.png")]
    pairs = [(1, 0), (2, 0), (0, 2), (0, 3)]
    assert leaks(support, test) == pairs
    assert leaks([r.digest() for r in support[:3]], test) == pairs
    assert leaks(support, refs(b"three")) == []


def test_a_draw_is_kept_by_content(tmp_path: Path) -> None:
    images = refs(*(str(i).encode() for i in range(60)))
    drawn = draw_shots(LABELS, 3, seed=2)
    kept = draw_to_digests(images, drawn)
    order = np.random.default_rng(1).permutation(60)
    moved = [ImageRef.of(images[i].content(), f"renamed {i}") for i in order]
    found = draw_from_digests(kept, moved)
    assert [int(order[i]) for i in found] == drawn
    assert draw_from_digests(kept, [i.digest() for i in images]) == drawn
    with pytest.raises(InputError, match="3 of the 9 images of this draw are not among the 40"):
        draw_from_digests(kept, images[20:])
    with pytest.raises(ImageError):
        draw_to_digests([ImageRef.of(tmp_path / "gone.png")], [0])
