"""Methods on real features: CLIP ViT-B/32 on WHU-RS19, 1005 aerial photos of 19 classes.

Usage: python bench/whu_rs19.py FOLDER [--seeds 3]

FOLDER holds `clip_vit_b32.safetensors` and `meta.json`. Each seed draws its support per class; all
other images are the test set. Nothing is tuned: every method runs on its defaults.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from handful import metrics, plugins, report
from handful.comparison import Comparison
from handful.contracts import Array, ClassText, unit
from handful.trials import compare_features


def load(folder: Path) -> tuple[Array, np.ndarray, ClassText]:
    """`[1005, 512]` features, `[1005]` columns and the text of the 19 classes."""
    meta = json.loads((folder / "meta.json").read_text())
    tensors = load_file(folder / "clip_vit_b32.safetensors")
    text = ClassText(tensors["prompts"], tuple(meta["classes"]), meta["logit_scale"])
    return unit(tensors["images"]), tensors["labels"], text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    features, labels, text = load(arguments.folder)
    zero_shot = metrics.accuracy(text.scale * features @ text.weights.T, labels)
    print(f"Zero-shot on all {len(labels)} images: {100 * zero_shot:.2f} %.\n")
    trials = compare_features(
        features,
        labels,
        text,
        methods=plugins.names("adapters"),
        seeds=range(arguments.seeds),
    )
    facts = {
        "encoder": "OpenAI CLIP ViT-B/32 (features as published)",
        "text": f"{text.embeddings.shape[1]} templates a class, renormalised mean",
        "seeds": arguments.seeds,
        "test": "all images outside the support set",
        "hyper-parameters": "each method's defaults; no validation set",
        "note": "when the trained methods were first written, settings were tried on this set; "
        "CLIP-Adapter's rate was then chosen anew on the playground (see the defaults above), its "
        "300 steps and the linear probe's settings were kept, so read these two rows as slightly "
        "optimistic",
    }
    print(report.comparison_markdown(Comparison(tuple(trials), facts)))


if __name__ == "__main__":
    main()
