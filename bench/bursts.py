"""Photos that come in bursts: does a skill still know how good it is?"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from handful import data, encoders, metrics, plugins
from handful.contracts import Array, ClassText, Encoder, ImageRef
from handful.data import playground
from handful.encoders import prompts
from handful.packs import confidence
from handful.packs.support import Support
from handful.skills import statements
from handful.skills.near_copies import find_near_copies
from samples import encoded, tiny
from tables import head, row, table

FRAMES = 5  # of every burst; of a draw each burst has 3 to 5 of them
SHOTS = (2, 4, 8)  # bursts a class


@dataclass(frozen=True, eq=False)
class Bursts:
    """`[B, FRAMES, D]` features of B bursts with columns `[B]`; `[M, D]` queries, `[M]` columns."""

    name: str
    frames: list[list[np.ndarray]]
    values: Array
    labels: np.ndarray
    queries: Array
    targets: np.ndarray
    text: ClassText


@table("bursts", title="Bursts", seconds=600, seeds=1, shots=(4,), tasks=1)
def bursts(
    photos: tuple[str, ...] = (), seeds: int = 10, shots: tuple[int, ...] = SHOTS, tasks: int = 4
) -> Iterator[str]:
    """`auto` taught with bursts of 3 to 5 frames: what it states, and the test images."""
    wanted = [f"{100 * (1 - error):g} %" for error in confidence.ERRORS]
    yield head(
        "data", "bursts a class", "support set", "stated", "tested", "stated - tested", *wanted,
        left=1,
    )  # fmt: skip
    for source in [*_photos(photos), *_playground(tasks)]:
        for count in shots:
            found: dict[str, list[list[float]]] = {}
            for seed in range(seeds):
                for way, support in _supports(source, count, seed):
                    found.setdefault(way, []).append(_measured(support, source))
            for way, rows in found.items():
                stated, tested, *covered = np.array(rows, dtype=float).T
                gap = metrics.mean_interval(list(stated - tested))
                yield row(
                    source.name, count, way, f"{stated.mean():.1f}", f"{tested.mean():.1f}",
                    f"{gap[0]:+.1f} ± {gap[1]:.1f}", *(_mean(c) for c in covered),
                )  # fmt: skip
    yield (
        f"\nIn %, means over {seeds} draws of the bursts. The frames of a burst are one photo, "
        "moved and cropped by up to 8 %, its brightness changed by up to 5 %, saved as JPEG at "
        "qualities 70 to 95; so is each test photo, once. Then coverage of the sets of answers at "
        "the coverage asked for; a dash where a support set was too small to promise it. Support "
        "sets: the first frame of each burst; all frames with `--group-by` a column, with `auto` "
        "(near copies found), with `none`. The playground is seen by `tiny`, photos by `photo`."
    )


def burst(image: Image.Image, count: int, rng: np.random.Generator) -> list[Image.Image]:
    """What a camera takes of one scene within a second."""
    width, height = image.size
    frames = []
    for _ in range(count):
        share = 1 - rng.uniform(0, 0.08)
        wide, high = share * width, share * height
        left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
        frame = image.resize(
            image.size, Image.Resampling.BICUBIC, (left, top, left + wide, top + high)
        )
        bright = np.asarray(frame, np.float32) * rng.uniform(0.95, 1.05)
        file = io.BytesIO()
        frame = Image.fromarray(bright.clip(0, 255).astype(np.uint8))
        frame.save(file, "JPEG", quality=int(rng.integers(70, 96)))
        frames.append(Image.open(file).convert("RGB"))
    return frames


def _photos(folders: tuple[str, ...]) -> Iterator[Bursts]:
    encoder = encoders.load("photo", precision="float32", device="cpu")
    for folder in folders:
        dataset = data.load(folder)
        words = data.class_words(dataset, None)
        column = {label: i for i, label in enumerate(words)}
        taught, tested = (data.split_or_all(dataset, split) for split in ("train", "test"))
        targets = [np.array([column[label] for label in part.labels]) for part in (taught, tested)]
        images = [data.decode(image) for image in taught.images]
        queries = [np.asarray(data.decode(image)) for image in tested.images]
        name = Path(folder).name
        yield _encoded(name, encoder, images, targets[0], queries, targets[1], words)


def _playground(tasks: int) -> Iterator[Bursts]:
    for name in playground.tasks()[:tasks]:
        drawn = playground.task(name, 16, 0, 20)
        column = {label: i for i, label in enumerate(drawn.classes)}
        taught, tested = (
            np.array([column[label] for label in labels])
            for labels in (drawn.support_labels, drawn.test_labels)
        )
        images = [Image.fromarray(pixels) for pixels in drawn.support]
        words = {label: label for label in drawn.classes}
        yield _encoded(name, tiny(), images, taught, list(drawn.test), tested, words)


def _encoded(
    name: str,
    encoder: Encoder,
    images: list[Image.Image],
    labels: np.ndarray,
    queries: list[np.ndarray],
    targets: np.ndarray,
    words: dict[str, str],
) -> Bursts:
    rng = np.random.default_rng(0)
    frames = [[np.asarray(f) for f in burst(image, FRAMES, rng)] for image in images]
    # a test photo is a frame of a burst too, or it would be easier than those that are left out
    queries = [np.asarray(burst(Image.fromarray(q), 1, rng)[0]) for q in queries]
    values = encoded(encoder, [f for one in frames for f in one])
    templates = prompts.expand_templates(prompts.DEFAULT)
    text = prompts.encode_prompts(encoder, prompts.class_prompts(words, templates))
    asked = encoded(encoder, queries)
    shaped = values.reshape(len(images), FRAMES, -1)
    return Bursts(name, frames, shaped, labels, asked, targets, text)


def _supports(source: Bursts, shots: int, seed: int) -> Iterator[tuple[str, Support]]:
    """The same draw of bursts in every form that a user may have it in."""
    rng = np.random.default_rng(seed)
    classes = range(len(source.text.classes))
    drawn = np.concatenate(
        [rng.permutation(np.flatnonzero(source.labels == c))[:shots] for c in classes]
    )
    sizes = rng.integers(3, FRAMES + 1, len(drawn))
    frames = [(int(b), f) for b, size in zip(drawn, sizes, strict=True) for f in range(size)]
    images = [ImageRef.of(source.frames[b][f]) for b, f in frames]
    bursts = _support(source, frames)
    found = find_near_copies(images, bursts.features, bursts.labels)
    yield "one frame of each", _support(source, [(int(b), 0) for b in drawn])
    yield "groups stated", replace(bursts, groups=tuple(f"burst {b}" for b, _ in frames))
    yield "groups found", replace(bursts, groups=found.groups)
    yield "none", bursts


def _support(source: Bursts, frames: list[tuple[int, int]]) -> Support:
    rows = np.array([b for b, _ in frames])
    X = source.values[rows, [f for _, f in frames]]
    ids = tuple(f"{FRAMES * b + f:064x}" for b, f in frames)
    return Support(X, source.labels[rows], source.text, ids, ids)


def _measured(support: Support, source: Bursts) -> list[float]:
    """Stated and tested accuracy, and coverage at each error rate; NaN where not promised."""
    adapter = plugins.get("adapters", "auto")()
    adapter.fit(support.features, support.targets, support.text, groups=support.units)
    entry, tensors = statements.confidence(adapter, support)
    logits = adapter.logits(source.queries)
    found = [100 * entry["accuracy"], 100 * metrics.accuracy(logits, source.targets)]
    for error in confidence.ERRORS:
        if error < entry["smallest"]:
            found.append(np.nan)
            continue
        sets = confidence.sets({"confidence": entry}, tensors, logits, error, "")
        found.append(100 * float(sets[np.arange(len(sets)), source.targets].mean()))
    return found


def _mean(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    return f"{known.mean():.1f}" if len(known) else "-"
