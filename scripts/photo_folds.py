"""How an alignment of `photo` is measured: folds over classes, and nested folds for its penalty."""

from __future__ import annotations

import numpy as np

from photo_alignment import (
    Fit,
    hits,
    interval,
    kernel_ridge,
    logit_scale,
    ridge,
    splits,
    targets,
    unit,
)

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
IMAGE_NORM = 15.6
"""Mean length of the image features of the three photos that scikit-learn and matplotlib carry."""


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
    found: dict[str, list[np.ndarray]] = {}
    for seen, unseen in splits(len(rows)):
        part = {form: t[seen] for form, t in texts.items()}
        used = best_penalty(fit, part, rows[seen]) if penalty is None else penalty
        values = targets(rows, seen)
        fitted = fit(*stacked(part, values[seen]), used)
        vectors = {form: unit(fitted(t[unseen])) for form, t in texts.items()}
        vectors["all three"] = np.mean(list(vectors.values()), axis=0)
        for form, v in vectors.items():
            found.setdefault(form, []).append(hits(values[unseen], v))
    return found


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
