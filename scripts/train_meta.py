"""Learn the weights of the Meta-Adapter that Handful ships, from tasks of the playground.

Usage: python scripts/train_meta.py [--tasks 160] [--steps 2000] [--seed 0]

No class, combination of attributes, made-up word or style of the playground's hard tasks occurs:
they are what it is judged by (bench/accuracy.py), and tests/test_meta.py holds it to that.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from handful import encoders
from handful.adapters import meta
from handful.data import playground
from handful.data.playground.sampling import scene_seed
from handful.data.playground.tasks import TASKS
from handful.encoders import prompts
from handful.protocols.meta_training import train
from handful.protocols.task import Task

STYLES = ("photo", "photo", "poster", "blurred", "noisy", "faint", "mono")
WORDS = (
    "gazzer", "modi", "pilk", "tarn", "snorf", "quib", "vask", "jorb",
    "lemp", "crand", "hoxel", "yirt",
)  # fmt: skip
IMAGES = 26  # a class: sixteen shots and some to ask about
FIELDS = {
    "shape": playground.SHAPES,
    "colour": tuple(playground.COLOURS),
    "texture": playground.TEXTURES,
    "size": tuple(playground.SIZES),
}
Fixed = Mapping[str, Any]


@dataclass(frozen=True)
class TrainingTask:
    """A task to learn from: names and what they fix of an object, in a style."""

    name: str
    classes: Mapping[str, Fixed]
    style: str


def evaluation_classes() -> list[Fixed]:
    """What the classes of the hard tasks fix, which no class here may fix."""
    return [
        fixed for kind in TASKS.values() for several in kind.classes.values() for fixed in several
    ]


def tasks(count: int, seed: int) -> list[TrainingTask]:
    """Tasks by lot: half with the words of the world, half with made-up ones."""
    rng = np.random.default_rng(seed)
    taken = [dict(f) for f in evaluation_classes()]
    found = []
    while len(found) < count:
        fields = sorted(rng.choice(sorted(FIELDS), size=2, replace=False))
        ways = int(rng.integers(3, 9))
        grid = [
            dict(zip(fields, (str(v) for v in values), strict=True))
            for values in product(*(FIELDS[f] for f in fields))
        ]
        free = [g for g in grid if not any(_meets(g, t) for t in taken)]
        if len(free) < ways:
            continue
        chosen = [free[i] for i in rng.permutation(len(free))[:ways]]
        novel = rng.random() < 0.5
        names: Sequence[str] = list(rng.permutation(WORDS)[:ways])
        if not novel:
            names = [_phrase(fixed) for fixed in chosen]
        style = str(rng.choice(STYLES))
        classes = dict(zip(names, chosen, strict=True))
        name = f"task{len(found)}-{'novel' if novel else 'known'}-{style}"
        found.append(TrainingTask(name, classes, style))
    return found


def _meets(a: Fixed, b: Fixed) -> bool:
    """Whether one class is the other, or a part of what it is."""
    shared = a.keys() & b.keys()
    return bool(len(shared) > 1 and all(a[k] == b[k] for k in shared))


def _phrase(fixed: Fixed) -> str:
    order = ("size", "texture", "colour", "shape")
    words = [str(fixed[k]) for k in order if k in fixed]
    return " ".join(words if "shape" in fixed else [*words, "shape"])


def pool(encoder: Any, made: TrainingTask, seed: int) -> Task:
    """Features of a task's images."""
    pictures, targets = [], []
    for column, (name, fixed) in enumerate(made.classes.items()):
        for i in range(IMAGES):
            key = f"meta/{made.name}/{name}/{seed}/{i}"
            scene = playground.scene(
                scene_seed(key), objects=1, compositions="any", fixed=[fixed], style=made.style
            )
            pictures.append(playground.render(scene, 64))
            targets.append(column)
    from PIL import Image

    values = encoder.images([encoder.prepare(Image.fromarray(p)) for p in pictures])
    text = prompts.embed(encoder, list(made.classes))
    return Task.of_features(made.name, values, np.array(targets), text, encoder=encoder.fingerprint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=160)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    encoder = encoders.load("tiny", precision="float32")
    pools = [pool(encoder, made, options.seed) for made in tasks(options.tasks, options.seed)]

    def show_progress(done: int, total: int, loss: float) -> None:
        if done % 200 == 0:
            print(f"{done} of {total} steps, loss {loss:.4f}", flush=True)

    refiner = train(pools, steps=options.steps, seed=options.seed, progress=show_progress)
    facts = {
        "command": f"python scripts/train_meta.py --tasks {options.tasks} --steps {options.steps} "
        f"--seed {options.seed}",
        "encoder": encoder.fingerprint,
        "tasks": len(pools),
        "seed": options.seed,
    }
    path = meta.weights_path(meta.SHIPPED)
    meta.save(refiner, path, facts)
    print(f"{sum(p.numel() for p in refiner.parameters())} numbers in {path}")


if __name__ == "__main__":
    main()
