"""The training pool of `tiny`: scenes rendered once, their captions as tokens, their attributes."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful.data import playground

WORDINGS = 8  # captions kept of every scene
_FIRST = 10_000_000  # seeds of the pool; tests and tasks draw from other ranges
_CHUNK = 2_000
SHAPES, COLOURS, TEXTURES = playground.SHAPES, tuple(playground.COLOURS), playground.TEXTURES
ATTRIBUTES = (
    len(SHAPES) + len(COLOURS) + len(TEXTURES)
    + len(SHAPES) * len(COLOURS) + len(SHAPES) * len(TEXTURES) + len(COLOURS) * len(TEXTURES)
)  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """The scenes as a training step needs them.

    `pixels` [N, 64, 64, 3] uint8, `texts` N x WORDINGS captions, `attributes` [N, A] bool.
    """

    pixels: np.ndarray
    texts: list[list[str]]
    attributes: np.ndarray


def attributes(scene: playground.Scene) -> np.ndarray:
    """`[A]`: which shapes, colours and textures occur, alone and in pairs on one object."""
    shape = np.zeros(len(SHAPES), bool)
    colour = np.zeros(len(COLOURS), bool)
    texture = np.zeros(len(TEXTURES), bool)
    sc = np.zeros((len(SHAPES), len(COLOURS)), bool)
    st = np.zeros((len(SHAPES), len(TEXTURES)), bool)
    ct = np.zeros((len(COLOURS), len(TEXTURES)), bool)
    for thing in scene.objects:
        s, c = SHAPES.index(thing.shape), COLOURS.index(thing.colour)
        t = TEXTURES.index(thing.texture)
        shape[s] = colour[c] = texture[t] = sc[s, c] = st[s, t] = ct[c, t] = True
    return np.concatenate([shape, colour, texture, sc.ravel(), st.ravel(), ct.ravel()])


def make(folder: Path, count: int, processes: int) -> Pool:
    """Render `count` scenes into `folder`, or read those that lie there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"pixels-{count}.npy"
    words = folder / f"texts-{count}.json"
    known = folder / f"attributes-{count}.npy"
    if not all(f.exists() for f in (file, words, known)):
        fresh = not file.exists()
        side = (count, 64, 64, 3)
        np.lib.format.open_memmap(file, "w+" if fresh else "r", np.uint8, side)
        jobs = [(str(file), s, min(_CHUNK, count - s), fresh) for s in range(0, count, _CHUNK)]
        texts: list[list[str]] = []
        marks = []
        with ProcessPoolExecutor(processes) as workers:
            for captions, found in workers.map(_chunk, jobs):
                texts += captions
                marks.append(found)
        np.save(known, np.concatenate(marks))
        words.write_text(json.dumps(texts))
    return Pool(np.load(file, "r"), json.loads(words.read_text()), np.load(known))


def _chunk(job: tuple[str, int, int, bool]) -> tuple[list[list[str]], np.ndarray]:
    file, start, count, fresh = job
    pixels = np.load(file, "r+") if fresh else None
    texts, marks = [], []
    for i in range(start, start + count):
        scene = playground.scene(_FIRST + i)
        if pixels is not None:
            pixels[i] = playground.render(scene)
        texts.append(playground.captions(scene, np.random.default_rng([i, 77]), WORDINGS))
        marks.append(attributes(scene))
    return texts, np.stack(marks)
