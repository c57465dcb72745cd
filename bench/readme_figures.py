"""The README's figures of `handful doctor`, `explain` and `evaluate`, on drawn photos.

Usage: python bench/readme_figures.py [--out docs/images]

A playground task of 16 photos a class, in which two photos lie in a wrong folder and one twice.
The photos are drawn, so the figures show nobody's.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from handful.data import playground

TASK, SHOTS, SEED = "novel-materials", 16, 700


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photos = playground.write(playground.task(TASK, SHOTS, SEED), root / "photos")
        spoil(photos / "train")
        handful(root, "fit", "photos", "--out", "skill")
        handful(root, "doctor", "photos/train", "--out", "found")
        query = sorted((photos / "test").rglob("*.png"))[0].relative_to(root)
        handful(root, "explain", "skill", str(query), "--images", "photos", "--out", "why.png")
        handful(root, "evaluate", "skill", "photos", "--out", "report")
        for made in ("found/doctor.png", "why.png", "report/reliability.png"):
            shutil.copy(root / made, arguments.out / Path(made).name)


def spoil(train: Path) -> None:
    """Two photos into the next class's folder, and one copied within its own."""
    classes = sorted(path for path in train.iterdir() if path.is_dir())
    for i in (0, 3):
        first = sorted(classes[i].iterdir())[0]
        first.rename(classes[i + 1] / f"moved-from-{classes[i].name}.png")
    last = sorted(classes[5].iterdir())[-1]
    shutil.copy(last, last.with_name("copy.png"))


def handful(root: Path, *arguments: str) -> None:
    print("$ handful", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "handful", *arguments], cwd=root, check=True)


if __name__ == "__main__":
    main()
