"""Photos that come in bursts, made from photos that do not, to see what groups are for.

Usage: python examples/bursts.py PHOTOS OUT [--bursts 2] [--frames 3]

Of each class in PHOTOS/train the first photos become bursts in OUT: `0003_0.png`, `0003_1.png`, ...
are one photo as a camera takes it within a second, a little moved and a little lighter or darker.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

SHIFT = 0.06  # of the width and height, at most
LIGHT = 0.05  # lighter or darker, at most


def frame(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The photo a moment later."""
    width, height = photo.size
    wide, high = ((1 - rng.uniform(0, SHIFT)) * side for side in (width, height))
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    box = (left, top, left + wide, top + high)
    moved = photo.resize((width, height), Image.Resampling.BICUBIC, box)
    return ImageEnhance.Brightness(moved).enhance(1 + rng.uniform(-LIGHT, LIGHT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bursts", type=int, default=2, help="of each class")
    parser.add_argument("--frames", type=int, default=3, help="of each burst")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    for folder in sorted(p for p in (given.photos / "train").iterdir() if p.is_dir()):
        (given.out / folder.name).mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir())[: given.bursts]:
            photo = Image.open(path).convert("RGB")
            for i in range(given.frames):
                frame(photo, rng).save(given.out / folder.name / f"{path.stem}_{i}.png")


if __name__ == "__main__":
    main()
