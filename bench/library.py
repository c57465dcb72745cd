"""What a library of many skills costs: time an image, loading, memory.

Usage: python bench/library.py [--most 100] [--figure FILE.png]

Packs of 20 classes and 16 shots on features of width 512 are made by lot: one task is fitted, the
others are it in turned coordinates, so that they lie apart. The encoder has the size of a ViT-B/32
and random weights: what an image costs is the same. All on one thread. An answer without a name
asks the router and the skills, with `unknown` also whether the image is of any task. Memory is what
the process holds after loading (what it gave free is handed back to the system first), less what it
held before, in a process of its own.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handful.adapters import create_adapter
from handful.contracts import Array, ClassText, unit
from handful.library import LibraryFolder
from handful.library.ensemble import SkillEnsemble
from handful.library.skill import Skill
from handful.packs import Pack
from handful.packs.support import Support

WIDTH, CLASSES, SHOTS = 512, 20, 16
COUNTS = (1, 5, 10, 25, 50, 100)
BATCHES = (1, 32)
METHODS = ("text_gda", "auto")


class Tower:
    """Stands in for the encoder when packs are made; it looks at golden pictures alone."""

    name, precision, scale, dim = "made", "float32", 100.0, WIDTH
    fingerprint = "model:made weights:00"

    def __init__(self) -> None:
        self.matrix = np.random.default_rng(1).standard_normal((16 * 16 * 3, WIDTH))

    def prepare(self, image: Any) -> np.ndarray:
        """A picture's pixels."""
        return np.asarray(image.resize((16, 16)), dtype=np.float32).ravel() - 100

    def images(self, batch: Any) -> Array:
        """`[N, D]` unit rows."""
        return unit(np.stack(batch) @ self.matrix)

    def texts(self, batch: Any) -> Array:
        """`[N, D]` unit rows; nothing reads them."""
        return unit(np.ones((len(batch), WIDTH)))


def fitted(method: str) -> tuple[Any, Support]:
    """A method fitted to a task made by lot."""
    rng = np.random.default_rng(0)
    means = 1.5 * rng.standard_normal((1, WIDTH)) + rng.standard_normal((CLASSES, WIDTH))
    y = np.repeat(np.arange(CLASSES), SHOTS)
    X = unit(means[y] + 1.2 * rng.standard_normal((len(y), WIDTH)))
    names = tuple(f"class {c}" for c in range(CLASSES))
    text = ClassText(means[:, None] + rng.standard_normal((CLASSES, 1, WIDTH)), names, 100.0)
    ids = tuple(f"{i:064x}" for i in range(len(y)))
    adapter = create_adapter(method, 0).fit(X, np.array(names)[y], text)
    return adapter, Support(X, y, text, ids, tuple(f"{i}.jpg" for i in range(len(y))))


def turned(adapter: Any, support: Support, seed: int, tower: Tower) -> Pack:
    """The pack of another task that is as hard: all of it in turned coordinates.

    Without what takes long to state (`handful.packs.statements`), which answers do not need.
    """
    rng = np.random.default_rng(seed)
    order, signs = rng.permutation(WIDTH), rng.choice([-1.0, 1.0], WIDTH).astype(np.float32)
    names = tuple(f"task {seed} class {c}" for c in range(CLASSES))
    made = copy.copy(adapter)
    state = adapter.module_.state_dict()
    made.module_ = type(adapter.module_)(
        **{
            n: t[..., order] * torch.from_numpy(signs) if t.ndim and t.shape[-1] == WIDTH else t
            for n, t in state.items()
        }
    ).eval()
    made.classes_ = np.array(names)
    text = ClassText(support.text.embeddings[..., order] * signs, names, 100.0)
    other = replace(support, features=support.features[:, order] * signs, text=text)
    pack = Pack.of(
        made, text, tower, templates=["a photo of a {}."], support_ids=support.ids, training={}
    )
    told = pack.manifest | {"support": other.stated()}
    return replace(pack, manifest=told, tensors=pack.tensors | other.tensors())


def fill(folder: Path, method: str, count: int) -> None:
    tower = Tower()
    library = LibraryFolder.init(folder, tower)
    one = fitted(method)
    for seed in range(count):
        library.add(turned(*one, seed, tower), f"skill {seed:03d}")


def held() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    with suppress(OSError):  # another C library keeps what was freed; the figure is then too high
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def skills(folder: Path, most: int) -> SkillEnsemble:
    """As `Library` reads them, the first `most`."""
    library = LibraryFolder.open(folder)
    found = []
    for name in library.names()[:most]:
        found.append(Skill.from_pack(name, library.load(name)))
    return SkillEnsemble(found)


def child(folder: Path, most: int) -> None:
    """Load once more in a process of its own and tell how long it took and what it holds."""
    torch.set_num_threads(1)
    skills(folder, 1)  # imports and first calls are not what packs cost
    before, began = held(), time.perf_counter()
    known = skills(folder, most)
    loaded, inside = time.perf_counter() - began, held() - before
    began = time.perf_counter()
    _ = known.router
    routed = time.perf_counter() - began
    began = time.perf_counter()
    _ = known.open_set
    strange = time.perf_counter() - began
    print(json.dumps({
        "load": loaded, "router": routed, "unknown": strange, "held": inside,
        "after": held() - before,
    }))  # fmt: skip


def tensors(folder: Path, most: int) -> int:
    files = sorted(folder.glob("*/weights.safetensors"))[:most]
    return sum(file.stat().st_size for file in files)


def encoder_seconds(batch: int) -> float:
    """Seconds an image of an encoder of a ViT-B/32's size."""
    from handful.encoders.backends._libraries import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "projection_dim": WIDTH}
    layers = {"num_hidden_layers": 12, "num_attention_heads": 12}
    config = transformers.CLIPVisionConfig(**sizes, **layers, image_size=224, patch_size=32)
    model = transformers.CLIPVisionModelWithProjection(config).eval()
    pixels = torch.randn(batch, 3, 224, 224)
    with torch.inference_mode():
        return best(lambda: model(pixel_values=pixels), 5) / batch


def best(call: Any, times: int) -> float:
    call()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return float(np.median(found))


def queries(known: SkillEnsemble, count: int) -> Array:
    """Images of different tasks, so that different skills are asked."""
    rows = [s.support.features[7 * i % len(s.support.features)] for i, s in enumerate(known.skills)]
    return np.stack([rows[i % len(rows)] for i in range(count)])


def measure(method: str, counts: tuple[int, ...], top: Path) -> list[dict[str, float]]:
    folder = top / method
    fill(folder, method, max(counts))
    rows = []
    for count in counts:
        command = [sys.executable, __file__, "--child", str(folder), str(count)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        row = {"packs": count, "tensors": tensors(folder, count), **json.loads(said)}
        known = skills(folder, count)
        for batch in BATCHES:
            X = queries(known, batch)
            times = 30 if batch == 1 else 10
            row[f"answer {batch}"] = best(partial(known.predict, X), times) / batch
            if known.open_set is not None:
                row[f"unknown {batch}"] = best(partial(known.predict, X, 0.05), times) / batch
        rows.append(row)
    return rows


def tell(method: str, rows: list[dict[str, float]], encoder: dict[int, float]) -> None:
    print(f"\n### {method}\n")
    heads = [f"ms an image, batch of {b}" for b in BATCHES]
    more = [f"more than with one pack, batch of {b}, %" for b in BATCHES]
    names = [
        "packs",
        *heads,
        *more,
        "load, s",
        "router, s",
        "unknown, s",
        "held, MB",
        "tensors, MB",
    ]
    print("| " + " | ".join(names) + " |\n" + "|---:" * len(names) + "|")
    for row in rows:
        cells = [f"{row['packs']:.0f}"]
        cells += [f"{1e3 * (encoder[b] + row[f'answer {b}']):.2f}" for b in BATCHES]
        for b in BATCHES:
            one = encoder[b] + rows[0][f"answer {b}"]
            cells.append(f"{100 * (row[f'answer {b}'] - rows[0][f'answer {b}']) / one:.2f}")
        cells += [f"{row[k]:.2f}" for k in ("load", "router", "unknown")]
        cells += [f"{row[k] / 1e6:.1f}" for k in ("held", "tensors")]
        print("| " + " | ".join(cells) + " |")
    last, first = rows[-1], next(r for r in rows if r["packs"] >= min(10, rows[-1]["packs"] - 1))
    span = last["tensors"] - first["tensors"]
    grown = [100 * (last[key] - first[key]) / span for key in ("held", "after")]
    print(
        f"\nFrom {first['packs']:.0f} packs on memory grows by {grown[0]:.0f} % of the tensors' "
        f"bytes ({grown[1]:.0f} % once router and unknown are there). With {last['packs']:.0f} "
        f"packs, one image at a time, an answer takes {1e3 * last['answer 1']:.2f} ms beside the "
        f"encoder, {1e3 * last.get('unknown 1', 0):.2f} ms where it may be `unknown`."
    )


def draw(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (method, rows), colour in zip(found.items(), ("#0072B2", "#D55E00"), strict=False):
        counts = [r["packs"] for r in rows]
        left.plot(
            counts, [r["held"] / 1e6 for r in rows], "-o", color=colour, label=f"{method}, held"
        )
        sizes = [r["tensors"] / 1e6 for r in rows]
        left.plot(counts, sizes, "--", color=colour, alpha=0.6, label=f"{method}, tensors on disk")
        times = [1e3 * r["answer 32"] for r in rows]
        right.plot(counts, times, "-o", color=colour, label=method)
    left.set_ylabel("memory, MB")
    right.set_ylabel("answering beside the encoder,\nms an image, batch of 32")
    for axes in (left, right):
        axes.set_xlabel("packs of 20 classes")
        axes.set_ylim(0, None)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize="x-small")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=COUNTS[-1])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(Path(arguments.child[0]), int(arguments.child[1]))
        return
    torch.set_num_threads(1)
    counts = tuple(c for c in COUNTS if c <= arguments.most)
    encoder = {batch: encoder_seconds(batch) for batch in BATCHES}
    told = " and ".join(f"{1e3 * s:.1f} ms an image in batches of {b}" for b, s in encoder.items())
    print(f"The encoder alone takes {told}; the times below are with it.")
    with tempfile.TemporaryDirectory() as top:
        found = {method: measure(method, counts, Path(top)) for method in METHODS}
    for method, rows in found.items():
        tell(method, rows, encoder)
    if arguments.figure:
        draw(found, arguments.figure)


if __name__ == "__main__":
    main()
