"""Random views: what they show, and that they come again."""

from __future__ import annotations

import hashlib
import itertools
import math
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from handful.contracts import ImageRef
from handful.data import _semantic_views, playground
from handful.data.augmentation import KINDS, LARGEST, RATIO, SCALE, _crop, random_view
from handful.data.splits import seeded_generator
from handful.errors import InputError, MissingExtraError


def ramp(width: int, height: int) -> Image.Image:
    """Red tells the column, green the row: a view tells where it was taken."""
    x = np.linspace(0, 255, width)[None].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, 0 * x], axis=2).round().astype(np.uint8))


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.tobytes() == b.tobytes()


def test_a_view_comes_again_and_every_part_of_its_name_counts() -> None:
    image = ramp(80, 60)
    first = random_view(image, 0, 0)
    assert same(first, random_view(image.copy(), 0, 0))
    for other in (
        random_view(image, 0, 1),
        random_view(image, 1, 0),
        random_view(image, 0, 0, key="digest"),
    ):
        assert not same(first, other)


def test_index_0_is_a_random_view_like_the_others() -> None:
    image = ramp(64, 64)
    assert not any(same(random_view(image, seed, 0), image) for seed in range(20))


@pytest.mark.parametrize("size", [(640, 480), (100, 400), (64, 64), (33, 20)])
def test_crops_have_the_published_areas_and_ratios(size: tuple[int, int]) -> None:
    width, height = size
    areas, fallbacks = [], 0
    for seed in range(400):
        left, top, w, h = _crop(width, height, seeded_generator(seed))
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
        red, green, _ = np.moveaxis(
            np.asarray(random_view(ramp(40, 40), seed, 0)).astype(int), 2, 0
        )
        mirrored += bool(red[:, 0].mean() > red[:, -1].mean())
        assert green[0].mean() < green[-1].mean()  # never upside down
    assert 110 < mirrored < 190


def test_a_view_is_a_square_of_about_the_crop_s_size() -> None:
    sides = [random_view(ramp(80, 60), seed, 0).size for seed in range(50)]
    assert all(w == h for w, h in sides)
    assert all(math.sqrt(0.5 * 4800) - 1 <= w <= math.sqrt(4800) + 1 for w, _ in sides)
    assert random_view(ramp(2000, 1500), 0, 0).size == (LARGEST, LARGEST)
    assert random_view(ramp(80, 60), 0, 0, size=224).size == (224, 224)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_tiny_and_narrow_pictures(size: tuple[int, int]) -> None:
    for seed in range(30):
        shown = random_view(Image.new("RGB", size, (9, 8, 7)), seed, 0)
        assert set(map(tuple, np.asarray(shown).reshape(-1, 3).tolist())) == {(9, 8, 7)}


def test_the_picture_itself_is_not_changed_and_threads_agree() -> None:
    image = ramp(50, 40)
    before = image.tobytes()
    alone = [random_view(image, 3, i).tobytes() for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: random_view(image, 3, i).tobytes(), range(40))) == alone
    assert image.tobytes() == before


@pytest.mark.parametrize("arguments", [{"index": -1}, {"index": 0, "size": 0}])
def test_arguments_that_cannot_be_meant(arguments: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected an index from 0 and a size from 1"):
        random_view(ramp(4, 4), 0, **arguments)


def test_the_view_of_a_decoded_image() -> None:
    from handful.data import decode

    image = decode(ImageRef.of(np.asarray(ramp(30, 20))))
    assert random_view(image, 0, 0).mode == "RGB"


def test_crops_are_bit_for_bit_those_that_stores_hold() -> None:
    """Features of views lie on people's disks under the seed and the index; made before kinds."""
    whole = hashlib.sha256()
    for size in ((80, 60), (33, 120), (700, 600)):
        for index in range(6):
            shown = random_view(ramp(*size), 7, index, key="digest")
            assert same(shown, random_view(ramp(*size), 7, index, key="digest", kind="crop"))
            whole.update(repr(shown.size).encode() + shown.tobytes())
    assert whole.hexdigest() == "7cd3107b5405ce36a5f37f1f8f92c8c5d2edd31064695c5928f81e1bfba7c38a"


def test_a_kind_that_is_none() -> None:
    with pytest.raises(InputError, match="among crop, semantic, got 'wild'"):
        random_view(ramp(4, 4), 0, 0, kind="wild")


def semantic(image: Image.Image, seed: int, index: int, **given: object) -> Image.Image:
    pytest.importorskip("kornia")
    return random_view(image, seed, index, kind="semantic", **given)  # type: ignore[arg-type]


def test_a_semantic_view_comes_again_and_every_part_of_its_name_counts() -> None:
    image = ramp(80, 60)
    first = semantic(image, 0, 0)
    assert same(first, semantic(image.copy(), 0, 0))
    for other in ((image, 0, 1), (image, 1, 0)):
        assert not same(first, semantic(*other))
    assert not same(first, semantic(image, 0, 0, key="digest"))


def test_semantic_views_of_many_threads_are_those_of_one() -> None:
    image = ramp(90, 70)
    before, state = image.tobytes(), torch.random.get_rng_state()
    alone = [semantic(image, 3, i).tobytes() for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: semantic(image, 3, i).tobytes(), range(60))) == alone
    assert torch.equal(torch.random.get_rng_state(), state)  # and it draws from nobody's generator
    torch.manual_seed(11)
    assert [semantic(image, 3, i).tobytes() for i in range(60)] == alone
    torch.random.set_rng_state(state)
    assert image.tobytes() == before


def test_semantic_views_depend_neither_on_mixed_precision_nor_on_the_threads_of_torch() -> None:
    image = Image.fromarray(playground.render(playground.scene(1), 224))
    plain = [semantic(image, 0, i).tobytes() for i in range(6)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert [semantic(image, 0, i).tobytes() for i in range(6)] == plain
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if before > 1 else 2)
        assert [semantic(image, 0, i).tobytes() for i in range(6)] == plain
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("size", [(640, 480), (100, 400), (64, 64), (33, 20)])
def test_semantic_views_keep_proportions_and_show_nearly_everything(size: tuple[int, int]) -> None:
    width, height = size
    for index in range(20):
        shown = semantic(ramp(width, height), 0, index)
        assert shown.mode == "RGB"
        assert abs(shown.width * height - shown.height * width) <= 2 * max(size)
        limit = _semantic_views.LARGEST * 1.01
        assert math.sqrt(shown.width * shown.height) <= limit
        if max(size) < 300:
            assert 0.85 * width - 1 <= shown.width <= width
    assert min(semantic(ramp(width, height), 0, 0, size=96).size) == 96


def change(**given: float) -> _semantic_views.SemanticParams:
    """A change that changes nothing, but for what is given."""
    still = {"scale": 1.0, "left": 0.0, "top": 0.0, "angle": 0.0}
    light = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    rest = {"blur": 0.0, "noise": 0.0, "flip": False}
    return _semantic_views.SemanticParams(**{**still, **light, **rest, **given})  # type: ignore[arg-type]


def pixels(image: Image.Image, **given: float) -> np.ndarray:
    """`[H, W, 3]` of the changed picture, whole numbers."""
    pytest.importorskip("kornia")
    side = math.sqrt(image.width * image.height) * given.get("scale", 1.0)
    made = _semantic_views.apply_params(image, change(**given), side, seeded_generator("noise"))
    return np.asarray(made).astype(int)


def test_a_change_of_nothing_gives_the_picture_back() -> None:
    image = Image.fromarray(playground.render(playground.scene(2), 64))
    assert np.abs(pixels(image) - np.asarray(image).astype(int)).max() <= 1


def test_each_change_does_what_it_says() -> None:
    image = ramp(61, 41)
    before = np.asarray(image).astype(int)
    assert np.abs(pixels(image, flip=True) - before[:, ::-1]).max() <= 1
    inner = pixels(image, scale=0.9, left=1.0, top=0.0)
    assert np.abs(inner - before[:37, 61 - 55 :]).max() <= 1  # the upper right corner
    assert np.abs(pixels(image, brightness=0.9) - 0.9 * before).max() <= 1
    middle = before.mean()
    expected = np.clip(middle + 0.8 * (before - middle), 0, 255)
    assert np.abs(pixels(image, contrast=0.8) - expected).max() <= 2
    noisy = pixels(image, noise=0.02) - before
    inside = noisy[(before > 20) & (before < 235)]
    assert 0.9 * 0.02 * 255 < inside.std() < 1.1 * 0.02 * 255
    assert abs(inside.mean()) < 0.5


def test_turning_keeps_the_middle_and_turns_around_it() -> None:
    spot = np.zeros((41, 61, 3), dtype=np.uint8)
    spot[19:22, 29:32] = 255  # the middle
    spot[19:22, 49:52] = 255  # and 20 pixels to the right of it
    turned = pixels(Image.fromarray(spot), angle=8.0)[:, :, 0]
    rows, columns = np.nonzero(turned > 128)
    left, right = columns < 40, columns >= 40
    assert abs(rows[left].mean() - 20) < 0.5
    assert abs(columns[left].mean() - 30) < 0.5
    lift = abs(rows[right].mean() - 20)
    assert abs(lift - 20 * math.sin(math.radians(8))) < 0.5


def test_blur_takes_detail_and_leaves_the_mean() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    image = Image.fromarray(np.stack([board] * 3, axis=2).astype(np.uint8))
    blurred = pixels(image, blur=0.02)
    assert blurred.std() < 40 < np.asarray(image).std()
    assert abs(blurred.mean() - board.mean()) < 2


@pytest.mark.parametrize("name", playground.COLOURS)
def test_the_playground_s_colours_keep_their_names(name: str) -> None:
    """Colours are classes there: even at the ends of all limits each is nearest to itself."""
    pytest.importorskip("kornia")
    names = list(playground.COLOURS)
    others = np.stack([lab(np.array(playground.COLOURS[n])) for n in names])
    image = Image.new("RGB", (4, 4), playground.COLOURS[name])
    ends = (
        _semantic_views.BRIGHTNESS,
        _semantic_views.BRIGHTNESS,
        _semantic_views.SATURATION,
        (-_semantic_views.HUE, _semantic_views.HUE),
    )
    for light, contrast, saturation, hue in itertools.product(*ends):
        seen = pixels(image, brightness=light, contrast=contrast, saturation=saturation, hue=hue)
        distance = np.linalg.norm(others - lab(seen[0, 0]), axis=1)
        assert names[int(distance.argmin())] == name


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB, in which distances are about what people see."""
    from kornia.color import rgb_to_lab

    return rgb_to_lab(torch.from_numpy(rgb / 255).view(1, 3, 1, 1)).view(3).numpy()


def test_what_is_drawn_stays_within_its_limits_and_reaches_them() -> None:
    drawn = [
        _semantic_views.SemanticParams.sample(seeded_generator("limits", i)) for i in range(3000)
    ]

    def reaches(name: str, low: float, high: float) -> None:
        values = np.array([getattr(c, name) for c in drawn])
        assert low <= values.min() <= low + 0.02 * (high - low)
        assert high >= values.max() >= high - 0.02 * (high - low)

    reaches("scale", *_semantic_views.SCALE)
    reaches("angle", -_semantic_views.ANGLE, _semantic_views.ANGLE)
    reaches("hue", -_semantic_views.HUE, _semantic_views.HUE)
    for name in ("brightness", "contrast"):
        reaches(name, *_semantic_views.BRIGHTNESS)
    reaches("saturation", *_semantic_views.SATURATION)
    assert not any(c.blur and c.noise for c in drawn)
    for name in ("blur", "noise"):
        assert 0.3 < np.mean([getattr(c, name) > 0 for c in drawn]) < 0.37
    assert 0.45 < np.mean([c.flip for c in drawn]) < 0.55


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (3, 400)])
def test_semantic_views_of_tiny_and_narrow_pictures(size: tuple[int, int]) -> None:
    for index in range(20):
        shown = np.asarray(semantic(Image.new("RGB", size, (128, 128, 128)), 0, index)).astype(int)
        assert shown.size > 0
        assert np.abs(shown - 128).max() < 70  # nothing from outside of the picture, no NaN


def test_without_kornia_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[tune\]'"):
        random_view(ramp(8, 8), 0, 0, kind="semantic")
    assert random_view(ramp(8, 8), 0, 0, kind=KINDS[0]).mode == "RGB"
