"""Draw the figures of docs/tiny.md: the made world, and how the training went.

Usage: python scripts/figures_tiny.py --log runs/tiny/log.jsonl runs/final/log.jsonl [--out docs]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw

from handful.data import playground

ACROSS, SIDE = 10, 112


def world(file: Path) -> None:
    """Training scenes in two rows, a row of shifted styles, then two classes of every task."""
    rows = [[("", playground.scene(3000 + i)) for i in range(ACROSS)]]
    rows.append([("", playground.scene(3100 + i, objects=3)) for i in range(ACROSS)])
    shifted = [s for s in playground.STYLES if s != "photo"][:ACROSS]
    rows.append([(s, playground.scene(3200 + i, style=s)) for i, s in enumerate(shifted)])
    cells = [[(label, playground.render(made, SIDE)) for label, made in row] for row in rows]
    names = playground.tasks()
    for start in range(0, len(names), ACROSS // 2):
        row = []
        for name in names[start : start + ACROSS // 2]:
            task = playground.task(name, 1, 0, queries_per_class=1, size=SIDE)
            row += [(f"{name}: {c}", task.support[i]) for i, c in enumerate(task.classes[:2])]
        cells.append(row)
    step = SIDE + 14
    sheet = Image.new("RGB", (ACROSS * step, len(cells) * (step + 12)), "white")
    draw = ImageDraw.Draw(sheet)
    for y, row in enumerate(cells):
        for x, (label, pixels) in enumerate(row):
            sheet.paste(Image.fromarray(pixels), (x * step + 7, y * (step + 12)))
            for line, text in enumerate(label.split(": ")):
                draw.text((x * step + 7, y * (step + 12) + SIDE + 1 + 11 * line), text, "black")
    sheet.save(file, quality=88)


def curves(logs: Sequence[Path], file: Path) -> None:
    """Loss and held-out accuracy over pairs seen; the logs follow one another."""
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    pairs = np.array([x["pairs"] for x in lines]) / 1e6
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    left.plot(pairs, [x["loss"] for x in lines], "o-", color="tab:blue")
    left.set(xlabel="pairs seen, millions", ylabel="contrastive loss, 512 pairs", ylim=(0, None))
    right.plot(pairs, [x["held_out"] for x in lines], "o-", color="tab:orange")
    right.axhline(100 / len(playground.HELD_OUT), color="gray", ls=":", label="chance")
    right.set(xlabel="pairs seen, millions", ylabel="right of 59 held-out compositions, %")
    right.set(ylim=(0, 100))
    right.legend(frameon=False)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    a = parser.parse_args()
    mpl.use("agg")
    world(a.out / "tiny-world.jpg")
    curves(a.log, a.out / "tiny-training.png")


if __name__ == "__main__":
    main()
