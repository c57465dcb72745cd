"""A run of `handful predict` over many photos that is killed on the way: is every row there, once?

python scripts/night_run.py FOLDER --photos 20000 --kills 2

Makes the photos in FOLDER (from the playground, each with bytes of its own), teaches a skill on
`tiny`, kills `predict --resume` (SIGKILL) at moments drawn by chance, lets it end, and counts rows.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

import handful
from handful.data import playground


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--out", default="answers.csv")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    photos = asked.folder / "photos"
    if not photos.exists():
        make(asked.folder, photos, asked.photos)
    out = asked.folder / asked.out
    command = [sys.executable, "-m", "handful.cli", "predict", str(asked.folder / "skill")]
    command += [str(photos), "--out", str(out), "--resume"]
    env = {**os.environ, "HANDFUL_HOME": str(asked.folder / "home")}
    draw = random.Random(asked.seed)
    for kill in range(asked.kills):
        stop_at = asked.photos * (kill + draw.uniform(0.3, 0.9)) / (asked.kills + 1)
        started = subprocess.Popen(command, env=env)
        while started.poll() is None and rows_in(out) < stop_at:
            time.sleep(draw.uniform(0.05, 0.5))
        started.send_signal(signal.SIGKILL)
        started.wait()
        print(f"killed with {rows_in(out)} lines in {out}", flush=True)
    began = time.monotonic()
    done = subprocess.run(command, env=env, check=False)
    print(f"ended with exit code {done.returncode} after {time.monotonic() - began:.1f} s")
    with out.open(encoding="utf-8", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    print(f"{len(names)} rows, {len(set(names))} different photos of {asked.photos}")
    sys.exit(int(not len(names) == len(set(names)) == asked.photos))


def make(folder: Path, photos: Path, count: int) -> None:
    """Photos of the playground as JPEGs, turned and shifted in brightness; a skill for them."""
    task = playground.task("style-rolled", 8, 6100, queries_per_class=16)
    playground.write(task, folder / "made")
    handful.fit(folder / "made" / "train", encoder="tiny", method="tip").save(folder / "skill")
    drawn = [Image.open(p).convert("RGB") for p in sorted((folder / "made/test").glob("*/*.png"))]
    for i in range(count):
        place = photos / f"{i // 1000:02d}" / f"IMG_{i:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        held = io.BytesIO()
        turned = drawn[i % len(drawn)].rotate(90 * (i % 4))
        turned.save(held, "JPEG", quality=90, comment=f"photo {i}".encode())
        place.write_bytes(held.getvalue())


def rows_in(path: Path) -> int:
    """Lines of a file that may not be there yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


if __name__ == "__main__":
    main()
