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
NOTHING = 255
_COVERED = 0.25  # share of a patch from which an object counts as being in it
SHAPES, COLOURS, TEXTURES = playground.SHAPES, tuple(playground.COLOURS), playground.TEXTURES
ATTRIBUTES = (
    len(SHAPES) + len(COLOURS) + len(TEXTURES)
    + len(SHAPES) * len(COLOURS) + len(SHAPES) * len(TEXTURES) + len(COLOURS) * len(TEXTURES)
)  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """The scenes as a training step needs them.

    `pixels` [N, 64, 64, 3] uint8, `texts` N x WORDINGS captions, `attributes` [N, A] bool,
    `cells` [N, 64, 3] uint8: shape, colour and texture of what covers each patch, else `NOTHING`.
    """

    pixels: np.ndarray
    texts: list[list[str]]
    attributes: np.ndarray
    cells: np.ndarray


def attributes(scene: playground.Scene) -> np.ndarray:
    """`[A]`: which shapes, colours and textures occur, alone and in pairs on one object."""
    shape = np.zeros(len(SHAPES), bool)
    colour = np.zeros(len(COLOURS), bool)
    texture = np.zeros(len(TEXTURES), bool)
    sc = np.zeros((len(SHAPES), len(COLOURS)), bool)
    st = np.zeros((len(SHAPES), len(TEXTURES)), bool)
    ct = np.zeros((len(COLOURS), len(TEXTURES)), bool)
    for thing in scene.things:
        s, c = SHAPES.index(thing.shape), COLOURS.index(thing.colour)
        t = TEXTURES.index(thing.texture)
        shape[s] = colour[c] = texture[t] = sc[s, c] = st[s, t] = ct[c, t] = True
    return np.concatenate([shape, colour, texture, sc.ravel(), st.ravel(), ct.ravel()])


def cells(scene: playground.Scene) -> np.ndarray:
    """`[64, 3]`: which shape, colour and texture lies in each 8 x 8 patch."""
    cover = playground.masks(scene, 8).reshape(len(scene.things), 64)
    which = cover.argmax(0)
    kinds = np.array(
        [
            (SHAPES.index(t.shape), COLOURS.index(t.colour), TEXTURES.index(t.texture))
            for t in scene.things
        ],
        np.uint8,
    )
    return np.where(cover.max(0)[:, None] > _COVERED, kinds[which], np.uint8(NOTHING))


def make(folder: Path, count: int, processes: int) -> Pool:
    """Render `count` scenes into `folder`, or read those that lie there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"pixels-{count}.npy"
    words = folder / f"texts-{count}.json"
    known = [folder / f"{what}-{count}.npy" for what in ("attributes", "cells")]
    if not all(f.exists() for f in (file, words, *known)):
        fresh = not file.exists()
        side = (count, 64, 64, 3)
        np.lib.format.open_memmap(file, "w+" if fresh else "r", np.uint8, side)
        jobs = [(str(file), s, min(_CHUNK, count - s), fresh) for s in range(0, count, _CHUNK)]
        texts: list[list[str]] = []
        marks = []
        with ProcessPoolExecutor(processes) as workers:
            for captions, *found in workers.map(_chunk, jobs):
                texts += captions
                marks.append(found)
        for path, parts in zip(known, zip(*marks, strict=True), strict=True):
            np.save(path, np.concatenate(parts))
        words.write_text(json.dumps(texts))
    return Pool(np.load(file, "r"), json.loads(words.read_text()), *(np.load(f) for f in known))


def _chunk(job: tuple[str, int, int, bool]) -> tuple[list[list[str]], np.ndarray, np.ndarray]:
    file, start, count, fresh = job
    pixels = np.load(file, "r+") if fresh else None
    texts, marks, patches = [], [], []
    for i in range(start, start + count):
        scene = playground.scene(_FIRST + i)
        if pixels is not None:
            pixels[i] = playground.render(scene)
        texts.append(playground.captions(scene, np.random.default_rng([i, 77]), WORDINGS))
        marks.append(attributes(scene))
        patches.append(cells(scene))
    return texts, np.stack(marks), np.stack(patches)
