"""The data of the tables: features drawn at random, tasks of the playground, photos, encoders.

Long because it holds every kind of data that more than one table is measured on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from handful import data, encoders
from handful.contracts import Array, ClassText, Encoder, ImageRef, unit
from handful.data import FeatureSet, playground
from handful.encoders.backends._libraries import transformers
from handful.packs.support import Support
from handful.protocols.demo import draw

# ---- features drawn at random


@dataclass(frozen=True, eq=False)
class Task:
    """Support `[N, D]` with columns `[N]`; queries `[M, D]` with columns `[M]`."""

    X: Array
    y: np.ndarray
    Q: Array
    targets: np.ndarray
    text: ClassText


def clustered(
    classes: int,
    shots: int,
    queries: int,
    noise: float = 1.0,
    text_noise: float = 1.0,
    width: int = 512,
) -> Task:
    """Unit rows around class means, all near one direction as CLIP's are; text near the means."""
    rng = np.random.default_rng(0)
    means = 2 * rng.standard_normal((1, width)) + rng.standard_normal((classes, width))
    y, asked = np.repeat(np.arange(classes), shots), rng.integers(0, classes, queries)
    X = unit(means[y] + noise * rng.standard_normal((len(y), width)))
    Q = unit(means[asked] + noise * rng.standard_normal((queries, width)))
    words = unit(means + text_noise * rng.standard_normal((classes, width)))[:, None]
    return Task(X, y, Q, asked, ClassText(words, names(classes), 100.0))


def with_modality_gap(classes: int, shots: int, width: int = 512, queries: int = 4) -> Task:
    """Images and texts of a class around one mean, each kind shifted by a direction of its own.

    `queries` are images of each class.
    """
    rng = np.random.default_rng(0)
    means = rng.standard_normal((classes, width))
    image_gap, text_gap = rng.standard_normal((2, 1, width))
    words = unit(means[:, None] + 0.8 * rng.standard_normal((classes, 1, width)) + 2 * text_gap)

    def images(count: int) -> tuple[Array, np.ndarray]:
        y = np.repeat(np.arange(classes), count)
        noise = 1.2 * rng.standard_normal((len(y), width))
        return unit(0.6 * means[y] + 2 * image_gap + noise), y

    return Task(*images(shots), *images(queries), ClassText(words, names(classes), 100.0))


def names(classes: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(classes))


def support_of(X: Array, y: np.ndarray, text: ClassText) -> Support:
    """A support set of images that have no files."""
    ids = tuple(f"{i:064x}" for i in range(len(y)))
    return Support(X, y, text, ids, tuple(f"{i}.jpg" for i in ids))


# ---- real features


def feature_draws(
    folder: str | Path, shots: Sequence[int], seeds: int
) -> Iterator[tuple[int, int, Task]]:
    """Shots, seed and the support set of each draw; what it leaves are the queries."""
    found = data.feature_file(Path(folder))
    labels = [found.text.classes[c] for c in found.labels]
    for k in shots:
        for seed in range(seeds):
            drawn = np.array(data.draw_shots(labels, k, seed))
            rest = np.setdiff1d(np.arange(len(labels)), drawn)
            support = found.values[drawn], found.labels[drawn]
            yield k, seed, Task(*support, found.values[rest], found.labels[rest], found.text)


# ---- the playground


@cache
def tiny() -> Any:
    """The encoder of the playground in float32."""
    return encoders.load("tiny", precision="float32", device="cpu")


def playground_draws(
    encoder: Encoder, shots: Sequence[int], seeds: Sequence[int], tasks: int = 99
) -> Iterator[tuple[str, int, int, Task]]:
    """Name, seed, shots of each draw of the hard tasks; smaller support sets begin larger ones."""
    for name in playground.tasks()[:tasks]:
        for seed in seeds:
            drawn = draw(encoder, name, max(shots), seed)
            place = np.tile(np.arange(max(shots)), len(drawn.text.classes))
            rest = drawn.values[~drawn.pool], drawn.labels[~drawn.pool]
            for k in shots:
                rows = np.flatnonzero(drawn.pool)[place < k]
                support = drawn.values[rows], drawn.labels[rows]
                yield name, seed, k, Task(*support, *rest, drawn.text)


@dataclass(frozen=True, eq=False)
class World:
    """`[N, D]` images of C classes.

    `pool` says which rows support images may come from, the others being tested on; without it they
    come from anywhere and the rest is tested on.
    """

    name: str
    values: Array
    labels: np.ndarray
    text: ClassText
    pool: np.ndarray | None = None

    def split(
        self, classes: Sequence[int], shots: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a support set of some classes, and whether a row is tested on."""
        free = np.ones(len(self.labels), bool) if self.pool is None else self.pool
        rows = [rng.permutation(np.flatnonzero(free & (self.labels == c)))[:shots] for c in classes]
        tested = np.ones(len(self.labels), bool) if self.pool is None else ~self.pool
        tested[np.concatenate(rows)] = False
        return np.concatenate(rows), tested


def worlds(features: str | None, shots: int, seed: int, tasks: int = 99) -> Iterator[World]:
    """The data set of a folder of features, where given, and the hard tasks of the playground."""
    if features:
        found = data.load_features(Path(features))
        yield World(Path(features).name, found.values, found.labels, found.text)
    encoder = encoders.load("tiny")
    for name in playground.tasks()[:tasks]:
        one = draw(encoder, name, shots, seed)
        yield World(name, one.values, one.labels, one.text, one.pool)


def encoded(encoder: Encoder, pixels: Sequence[Any]) -> Array:
    """`[N, D]` features of pictures."""
    prepared = [encoder.prepare(data.decode(ImageRef.of(p))) for p in pixels]
    parts = range(0, len(prepared), 64)
    return np.concatenate([encoder.images(prepared[s : s + 64]) for s in parts])


def part(found: FeatureSet, name: str, classes: np.ndarray) -> FeatureSet:
    """Some classes of a data set, in the order given."""
    rows = np.flatnonzero(np.isin(found.labels, classes))
    column = np.full(len(found.text.classes), -1)
    column[classes] = np.arange(len(classes))
    chosen = tuple(found.text.classes[c] for c in classes)
    text = ClassText(found.text.embeddings[classes], chosen, found.text.scale)
    labels = column[found.labels[rows]]
    return FeatureSet(name, found.values[rows], labels, text, encoder=found.encoder)


# ---- photos


def noise_picture(
    seed: int,
    size: tuple[int, int],
    octaves: Sequence[tuple[int, float]],
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Image.Image:
    """Noise of several sizes: (cells on the longer side, weight), about the detail of a photo."""
    rng, longer = np.random.default_rng(seed), max(size)
    total = np.zeros((size[1], size[0], 3), np.float32)
    for cells, weight in octaves:
        wide, high = (max(2, cells * side // longer) for side in size)
        noise = Image.fromarray(rng.integers(0, 256, (high, wide, 3), dtype=np.uint8))
        total += weight / 128 * (np.asarray(noise.resize(size, resample), np.float32) - 128)
    return Image.fromarray((total + 128).clip(0, 255).astype(np.uint8))


def photos(folder: Path, count: int, megapixels: float) -> Path:
    """A folder of made JPEGs, 4 to 3."""
    folder.mkdir(parents=True)
    width, height = round((megapixels * 4e6 / 3) ** 0.5), round((megapixels * 3e6 / 4) ** 0.5)
    octaves = ((8, 60), (64, 40), (512, 25), (max(width, height), 6))
    for i in range(count):
        noise_picture(i, (width, height), octaves).save(folder / f"{i:04d}.jpg", quality=90)
    return folder


# ---- encoders


class StandIn:
    """An encoder for packs made from features: it looks at golden pictures alone."""

    name, precision, scale, fingerprint = "made", "float32", 100.0, "model:made weights:00"

    def __init__(self, width: int = 512) -> None:
        self.dim = width
        self.matrix = np.random.default_rng(1).standard_normal((16 * 16 * 3, width))

    def prepare(self, image: Any) -> np.ndarray:
        """A picture's pixels."""
        return np.asarray(image.resize((16, 16)), dtype=np.float32).ravel() - 100

    def images(self, batch: Any) -> Array:
        """`[N, D]` unit rows."""
        return unit(np.stack(batch) @ self.matrix)

    def texts(self, batch: Any) -> Array:
        """`[N, D]` unit rows; nothing reads them."""
        return unit(np.ones((len(batch), self.dim)))


LETTERS = "abcdefghijklmnopqrstuvwxyz. "
TOKENS = [*LETTERS, *(f"{c}</w>" for c in LETTERS), "<|startoftext|>", "<|endoftext|>"]
ENDS = {"bos_token_id": len(TOKENS) - 2, "eos_token_id": len(TOKENS) - 1}


def random_clip(**text: Any) -> Any:
    """A CLIP with the picture tower of ViT-B/32 and random weights: speed does not see them."""
    torch.manual_seed(0)
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=text)).eval()


def save_clip(model: Any, folder: Path) -> Path:
    """A checkpoint whose tokenizer spells words by letters."""
    model.save_pretrained(folder)
    vocabulary = {token: i for i, token in enumerate(TOKENS)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
    return folder


@contextmanager
def own_store() -> Iterator[None]:
    """Features, activations and tunings in an empty folder: nothing is found that was computed."""
    before = os.environ.get("HANDFUL_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HANDFUL_HOME"] = folder
        yield
        os.environ.pop("HANDFUL_HOME")
        if before is not None:
            os.environ["HANDFUL_HOME"] = before
