"""`auto` where the text says little: photos through `photo`, some of their classes, wrong words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import condition_cases as cases
from handful import data, encoders, metrics
from handful.adapters import create_adapter
from handful.contracts import ClassText
from handful.data import FeatureSet
from handful.encoders import prompts
from handful.features import extract_features
from handful.plugins import get
from handful.protocols.task import SHOTS
from samples import part
from tables import head, interval, row, table

_TEMPLATE = ("a photo of a {}.",)
_SOME = 5  # classes of a drawn part
# methods that say all there is to say of the others, and need a few minutes together
_METHODS = (
    "zero_shot", "class_mean", "gda", "text_gda", "linear", "logistic", "clap", "zs_lp", "proker",
)  # fmt: skip


@table(
    "weak_text", title="`auto` where the text says little", seconds=600, needs=["photos"],
    seeds=1, methods=("zero_shot", "text_gda"),
)  # fmt: skip
def weak_text(
    features: str | None = None,
    photos: tuple[str, ...] = (),
    seeds: int = 5,
    methods: tuple[str, ...] = _METHODS,
) -> Iterator[str]:
    """Each folder with `train/<class>/` and `test/<class>/` through `photo`, three times.

    All classes, five of them drawn at each seed, and all of them with the words of other classes.
    With `features` (WHU-RS19), CLIP's features as well.
    """
    torch.set_num_threads(1)
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for name, seed, case in every(features, photos, seeds):
        rows, targets = case.exams[""]
        shots = int(case.column.split()[0])
        for method in (*methods, "auto"):
            adapter = (
                get("adapters", "linear")(init="random")
                if method == "logistic"
                else create_adapter(method, seed)
            )
            adapter.fit(case.values, case.labels, case.text)
            found[name, method, shots].append(100 * metrics.accuracy(adapter.logits(rows), targets))
    yield (
        f"Encoder `photo`, float32, `{_TEMPLATE[0]}`; mean accuracy in percent over {seeds} draws "
        "of the support set from `train`, tested on `test`, with its 95 % interval (Student's t); "
        "bold is the best method in hindsight. `logistic` is `linear` with `init='random'`: "
        "logistic regression without text.\n\nAuto's constants were chosen on the training photos "
        "of these folders through `photo`, drawn, split and merged in many ways, and on other data "
        "(docs/methods.md); no test photo took part. Draws of WHU-RS19 were looked at."
    )
    names = list(dict.fromkeys(name for name, _, _ in found))
    for name in names:
        yield f"\n### {name}\n"
        yield from _section([name], methods, found)
    yield f"\n### The mean over these {len(names)}\n"
    yield from _section(names, methods, found)


def _section(
    names: list[str], methods: tuple[str, ...], found: dict[tuple[str, str, int], list[float]]
) -> Iterator[str]:
    """Methods by shots, for the mean over some sets, and how far `auto` is from the best."""

    def values(method: str, shots: int) -> list[float]:
        rows = np.mean([found[name, method, shots] for name in names], axis=0)
        return [float(v) for v in rows]

    yield head("method", *(cases.shown(k) for k in SHOTS), left=1)
    best = {k: max(methods, key=lambda m, k=k: np.mean(values(m, k))) for k in SHOTS}
    for method in methods:
        bold = {k: "**" * (best[k] == method) for k in SHOTS}
        cells = (f"{bold[k]}{interval(values(method, k))}{bold[k]}" for k in SHOTS)
        yield row(f"`{method}`", *cells)
    yield row("`auto`", *(interval(values("auto", k)) for k in SHOTS))
    gaps = (np.subtract(values("auto", k), values(best[k], k)) for k in SHOTS)
    yield row("*`auto` less the best*", *(interval(list(g), "+.1f") for g in gaps))


def every(
    features: str | None, photos: tuple[str, ...], seeds: int
) -> Iterator[tuple[str, int, cases.Case]]:
    """Name of a set, seed and case."""
    for folder in photos:
        found, pool = _encoded(Path(folder))
        count = len(found.text.classes)
        for seed in range(seeds):
            rng = np.random.default_rng([31, seed])
            chosen = np.sort(rng.permutation(count)[:_SOME])
            kept = np.isin(found.labels, chosen)
            some = part(found, "some", chosen)
            words = ClassText(
                np.roll(found.text.embeddings, 1 + seed % (count - 1), axis=0),
                found.text.classes,
                found.text.scale,
            )
            wrong = FeatureSet("wrong", found.values, found.labels, words)
            for name, set_, rows in (
                (found.name, found, pool),
                (f"{found.name}, {_SOME} classes", some, pool[kept]),
                (f"{found.name}, words of other classes", wrong, pool),
            ):
                yield from ((name, seed, c) for c in cases.growing(name, name, seed, set_, rows))
    for seed in range(seeds if features else 0):
        yield from (("CLIP: WHU-RS19", seed, c) for c in cases.whole(str(features), seed))


def _encoded(folder: Path) -> tuple[FeatureSet, np.ndarray]:
    """Features of a folder, and which rows are of its training photos."""
    encoder = encoders.load("photo", precision="float32", device="cpu")
    dataset = data.load(folder)
    text = prompts.embed(encoder, data.class_words(dataset, None), _TEMPLATE)
    found = extract_features(encoder, dataset.images)
    kept = dataset.subset(found.kept)
    labels = np.array([text.classes.index(label) for label in kept.labels])
    set_ = FeatureSet(folder.name, found.features.values, labels, text)
    return set_, np.array(kept.splits) == "train"
