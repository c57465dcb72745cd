"""What training sees of pictures that nothing can be computed of once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from handful import encoders
from handful.contracts import ImageRef
from handful.tuners import Recipe
from handful.tuners.training import images

BEFORE = -1
VIEWS = Recipe(views=3, augmentation="crop")


@pytest.fixture(scope="module")
def tiny():
    return encoders.load("tiny", precision="float32", device="cpu")


def refs(count: int = 4) -> list[ImageRef]:
    rng = np.random.default_rng(0)
    made = (rng.integers(0, 256, (80, 70, 3), np.uint8) for _ in range(count))
    return [ImageRef.of(Image.fromarray(pixels)) for pixels in made]


def seen(tiny, recipe: Recipe, monkeypatch) -> tuple[torch.Tensor, int]:
    """Features of three epochs, and how often a picture was decoded for them."""
    prepared = images.prepare_images(tiny, refs(), BEFORE, recipe)
    assert prepared.values is None
    decoded = []
    plain = images.data.decode
    monkeypatch.setattr(images.data, "decode", lambda ref: decoded.append(ref) or plain(ref))
    rows = torch.arange(4).repeat(3)
    views = torch.tensor([0, 1, 2, 0] * 3)
    with torch.no_grad():
        found = torch.cat(
            [prepared.features(r, v) for r, v in zip(rows.split(4), views.split(4), strict=True)]
        )
    monkeypatch.undo()
    return found, len(decoded)


def test_pictures_are_prepared_once_and_only_where_keeping_is_allowed(tiny, monkeypatch):
    kept, few = seen(tiny, VIEWS, monkeypatch)
    anew, many = seen(tiny, replace(VIEWS, cache=False), monkeypatch)
    assert (few, many) == (4, 12)
    assert torch.equal(kept, anew)
    assert torch.equal(kept[:4], kept[8:])


def test_no_more_pictures_are_held_than_there_is_room_for(tiny, monkeypatch):
    size = tiny.prepare(Image.new("RGB", (9, 9))).nbytes
    monkeypatch.setattr(images, "_CACHE_BYTES", 2 * size)
    prepared = images.prepare_images(tiny, refs(), BEFORE, Recipe())
    for _ in range(2):
        prepared.features(torch.arange(4), torch.zeros(4, dtype=torch.long))
        assert sorted(prepared._cache) == [(0, 0), (1, 0)]
