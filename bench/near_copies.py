"""Near copies and bursts: how many are found, and how many independent photos are taken for one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from handful import encoders
from handful.contracts import Encoder, ImageRef
from handful.data import playground
from handful.features import extract_features
from handful.skills.near_copies import find_near_copies
from tables import head, row, table

# how far a frame is cut at most, and turned at most, in degrees
MOVES = {"moved a little": (0.08, 0.0), "moved more": (0.15, 3.0)}
FRAMES = 4


@table("near_copies", title="Near copies", seconds=300, needs=["photos"], models=("tiny",), tasks=2)
def near_copies(
    photos: tuple[str, ...] = (), models: tuple[str, ...] = ("photo", "tiny"), tasks: int = 14
) -> Iterator[str]:
    """Each image alone, bursts of four frames made of each train photo, and the playground."""
    yield head("photos", "encoder", "images", "pairs joined", "precision", "recall", left=2)
    for name in models:
        yield from of_encoder(name, [Path(folder) for folder in photos], tasks)
    yield (
        f"\nBursts: of each photo of `train/` {FRAMES} frames, cut by up to 8 % (moved more: 15 %, "
        "and turned by up to 3 degrees), 5 % lighter or darker, JPEG of quality 70 to 95. pairs "
        "joined: pairs of images in one group; precision: share of them that are of one "
        "photo; recall: share of the pairs of one photo that are joined. Of photos as they are "
        "every joined pair counts as wrong, also where the set holds two photos of one thing. "
        "Bursts that are missed are of open sea and even forest, where no detail is to be seen."
    )


def of_encoder(name: str, folders: Sequence[Path], tasks: int) -> Iterator[str]:
    """The rows of one encoder."""
    encoder = encoders.load(name)
    for folder in folders:
        for part in ("train", "test"):
            images = [ImageRef.of(path) for path in sorted(folder.glob(f"{part}/*/*.jpg"))]
            if images:
                label = f"{folder.name}, {part}, as they are"
                yield line(label, encoder, images, range(len(images)))
    for folder in folders:
        paths = sorted(folder.glob("train/*/*.jpg"))
        for label, (cut, turn) in MOVES.items() if paths else ():
            images, home = bursts(paths, cut, turn)
            yield line(f"{folder.name}, bursts, {label}", encoder, images, home)
    yield drawn(encoder, tasks)


def drawn(encoder: Encoder, tasks: int) -> str:
    """Drawings of the playground, each an image of its own."""
    joined = count = 0
    for name in playground.tasks()[:tasks]:
        with tempfile.TemporaryDirectory() as folder:
            playground.write(playground.task(name, 8, 0, queries_per_class=1), Path(folder))
            images = [ImageRef.of(p) for p in sorted(Path(folder).glob("train/*/*.png"))]
            joined += len(pairs_of(groups_of(encoder, images)))
            count += len(images)
    return row("playground", encoder.name, str(count), str(joined), "-", "-")


def line(label: str, encoder: Encoder, images: Sequence[ImageRef], home: Sequence[int]) -> str:
    """A row: pairs that were joined against pairs of one photo."""
    found = pairs_of(groups_of(encoder, images))
    true = pairs_of([str(i) for i in home])
    right = len(found & true)
    precision = f"{right / len(found):.3f}" if found and true else "-"
    recall = f"{right / len(true):.3f}" if true else "-"
    return row(label, encoder.name, str(len(images)), str(len(found)), precision, recall)


def groups_of(encoder: Encoder, images: Sequence[ImageRef]) -> Sequence[str]:
    """The groups that `fit` would find."""
    rows = extract_features(encoder, images).features.values
    return find_near_copies(images, rows, ["one"] * len(images)).groups


def pairs_of(groups: Sequence[str]) -> set[tuple[int, int]]:
    """Pairs of positions that are in one group."""
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        if group:
            members.setdefault(group, []).append(i)
    return {pair for rows in members.values() for pair in combinations(rows, 2)}


def bursts(paths: Sequence[Path], cut: float, turn: float) -> tuple[list[ImageRef], list[int]]:
    """Frames of each photo, and the photo that each is of."""
    rng = np.random.default_rng(0)
    images, home = [], []
    for i, path in enumerate(paths):
        with Image.open(path) as photo:
            whole = photo.convert("RGB")
        for k in range(FRAMES):
            images.append(ImageRef.of(frame(whole, rng, cut, turn), f"{path.name} {k}"))
            home.append(i)
    return images, home


def frame(photo: Image.Image, rng: np.random.Generator, cut: float, turn: float) -> bytes:
    """A photo of the same a moment later."""
    if turn:
        photo = photo.rotate(rng.uniform(-turn, turn), Image.Resampling.BICUBIC)
        width, height = photo.size  # without the black corners
        photo = photo.crop((width // 28, height // 28, width - width // 28, height - height // 28))
    width, height = photo.size
    part = 1 - rng.uniform(0, cut)
    w, h = round(width * part), round(height * part)
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    moved = ImageEnhance.Brightness(photo.crop((x, y, x + w, y + h)))
    file = BytesIO()
    moved.enhance(rng.uniform(0.95, 1.05)).save(file, "jpeg", quality=int(rng.integers(70, 96)))
    return file.getvalue()
