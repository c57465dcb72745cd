"""What the words of `photo` are worth on photographs; prints the second table of docs/photo.md.

Usage: python scripts/evaluate_photo.py ../shared/data/clothing/train ../shared/data/eurosat/train

Zero-shot accuracy for each way to write a class name, and the logit scale that these photos would
want (of the lowest cross-entropy). Looked at when the tower was finished; nothing is chosen by it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from handful import data, encoders, metrics
from handful.encoders import prompts
from handful.features import extract_features

TEMPLATES = {
    "a photo of a {}.": ("a photo of a {}.",),
    "{}": ("{}",),
    "satellite": prompts.TEMPLATES["satellite"],
    "imagenet (7 templates)": prompts.TEMPLATES["imagenet"],
}
SCALES = np.geomspace(1, 100, 81)


def wanted_scale(cosines: np.ndarray, targets: np.ndarray) -> float:
    """The scale with the lowest cross-entropy of `[N, C]` cosines."""
    rows = np.arange(len(targets))
    loss = [-log_softmax(s * cosines, axis=1)[rows, targets].mean() for s in SCALES]
    return float(SCALES[int(np.argmin(loss))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--encoder", default="photo")
    options = parser.parse_args()
    encoder = encoders.load(options.encoder, precision="float32")
    print(f"Encoder {encoder.name}, logit scale {encoder.scale:.1f}\n")
    print("| photos | prompts | classes | right, % | scale wanted |")
    print("|---|---|---|---|---|")
    for folder in options.folders:
        photos = data.folder(folder)
        values = extract_features(encoder, photos.images).features.values
        targets = np.array([photos.classes.index(label) for label in photos.labels])
        for name, templates in TEMPLATES.items():
            text = prompts.embed(encoder, photos.classes, templates)
            cosines = values @ text.weights.T
            right = cosines.argmax(axis=1) == targets
            low, high = metrics.wilson_interval(int(right.sum()), len(right))
            share = f"{100 * right.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"
            scale = wanted_scale(cosines, targets)
            where = "/".join(folder.resolve().parts[-2:])
            print(f"| {where} | {name} | {len(photos.classes)} | {share} | {scale:.0f} |")


if __name__ == "__main__":
    main()
