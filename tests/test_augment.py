"""Random views: what they show, and that they come again."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from handful.contracts import ImageRef
from handful.data.augment import LARGEST, RATIO, SCALE, _crop, view
from handful.data.splits import generator
from handful.errors import InputError


def ramp(width: int, height: int) -> Image.Image:
    """Red tells the column, green the row: a view tells where it was taken."""
    x = np.linspace(0, 255, width)[None].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, 0 * x], axis=2).round().astype(np.uint8))


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.tobytes() == b.tobytes()


def test_a_view_comes_again_and_every_part_of_its_name_counts() -> None:
    image = ramp(80, 60)
    first = view(image, 0, 0)
    assert same(first, view(image.copy(), 0, 0))
    for other in (view(image, 0, 1), view(image, 1, 0), view(image, 0, 0, key="digest")):
        assert not same(first, other)


def test_index_0_is_a_random_view_like_the_others() -> None:
    image = ramp(64, 64)
    assert not any(same(view(image, seed, 0), image) for seed in range(20))


@pytest.mark.parametrize("size", [(640, 480), (100, 400), (64, 64), (33, 20)])
def test_crops_have_the_published_areas_and_ratios(size: tuple[int, int]) -> None:
    width, height = size
    areas, fallbacks = [], 0
    for seed in range(400):
        left, top, w, h = _crop(width, height, generator(seed))
        assert 0 <= left <= width - w
        assert 0 <= top <= height - h
        assert RATIO[0] * 0.9 < w / h < RATIO[1] * 1.1
        area = w * h / (width * height)
        if area < SCALE[0] * 0.93:
            fallbacks += 1
            assert (left, top) == ((width - w) // 2, (height - h) // 2)
        else:
            areas.append(area)
            assert area < SCALE[1] * 1.001
    if width < height / 2:
        assert fallbacks == 400  # no crop of half the area fits: the middle is taken
    else:
        assert fallbacks == 0
        assert 0.6 < np.mean(areas) < 0.8
        assert max(areas) - min(areas) > 0.3


def test_half_of_the_views_are_mirrored() -> None:
    mirrored = 0
    for seed in range(300):
        red, green, _ = np.moveaxis(np.asarray(view(ramp(40, 40), seed, 0)).astype(int), 2, 0)
        mirrored += bool(red[:, 0].mean() > red[:, -1].mean())
        assert green[0].mean() < green[-1].mean()  # never upside down
    assert 110 < mirrored < 190


def test_a_view_is_a_square_of_about_the_crop_s_size() -> None:
    sides = [view(ramp(80, 60), seed, 0).size for seed in range(50)]
    assert all(w == h for w, h in sides)
    assert all(math.sqrt(0.5 * 4800) - 1 <= w <= math.sqrt(4800) + 1 for w, _ in sides)
    assert view(ramp(2000, 1500), 0, 0).size == (LARGEST, LARGEST)
    assert view(ramp(80, 60), 0, 0, size=224).size == (224, 224)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_tiny_and_narrow_pictures(size: tuple[int, int]) -> None:
    for seed in range(30):
        shown = view(Image.new("RGB", size, (9, 8, 7)), seed, 0)
        assert set(map(tuple, np.asarray(shown).reshape(-1, 3).tolist())) == {(9, 8, 7)}


def test_the_picture_itself_is_not_changed_and_threads_agree() -> None:
    image = ramp(50, 40)
    before = image.tobytes()
    alone = [view(image, 3, i).tobytes() for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: view(image, 3, i).tobytes(), range(40))) == alone
    assert image.tobytes() == before


@pytest.mark.parametrize("arguments", [{"index": -1}, {"index": 0, "size": 0}])
def test_arguments_that_cannot_be_meant(arguments: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected an index from 0 and a size from 1"):
        view(ramp(4, 4), 0, **arguments)


def test_the_view_of_a_decoded_image() -> None:
    from handful.data import decode

    image = decode(ImageRef.of(np.asarray(ramp(30, 20))))
    assert view(image, 0, 0).mode == "RGB"
