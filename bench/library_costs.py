"""What a library of many skills costs: time an image, loading, memory."""

from __future__ import annotations

import copy
import ctypes
import gc
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handful.adapters import create_adapter
from handful.contracts import Array, ClassText
from handful.library import LibraryFolder
from handful.library.ensemble import SkillEnsemble
from handful.library.skill import Skill
from handful.packs import Pack
from handful.packs.support import Support
from samples import StandIn, clustered, random_clip, support_of
from tables import apart, head, memory, row, seconds, table, timed

WIDTH, CLASSES, SHOTS = 512, 20, 16
COUNTS = (1, 5, 10, 25, 50, 100)
BATCHES = (1, 32)

Costs = dict[str, float]  # what to seconds or bytes, of one number of packs


@table("library", title="A library of many skills", seconds=300, most=5, methods=("text_gda",))
def library(
    most: int = COUNTS[-1], methods: tuple[str, ...] = ("text_gda", "auto"), figures: str = ""
) -> Iterator[str]:
    """Packs of 20 classes and 16 shots on features of width 512, made by lot.

    One task is fitted, the others are it in turned coordinates, so that they lie apart. The encoder
    has the size of a ViT-B/32 and random weights: what an image costs is the same. All on one
    thread. An answer without a name asks the router and the skills, with `unknown` also whether the
    image is of any task. Memory is what the process holds after loading (what it gave free is
    handed back to the system first), less what it held before, in a process of its own.
    """
    torch.set_num_threads(1)
    counts = tuple(c for c in COUNTS if c <= most)
    encoder = {batch: encoder_seconds(batch) for batch in BATCHES}
    each = " and ".join(f"{1e3 * s:.1f} ms an image in batches of {b}" for b, s in encoder.items())
    yield f"The encoder alone takes {each}; the times below are with it."
    found = {}
    with tempfile.TemporaryDirectory() as top:
        for method in methods:
            folder = Path(top) / method
            fill(folder, method, counts[-1])
            found[method] = [costs(folder, count) for count in counts]
            yield from method_table(method, found[method], encoder)
    if figures:
        draw(found, Path(figures) / "library.png")


def encoder_seconds(batch: int) -> float:
    """Seconds an image of an encoder of a ViT-B/32's size."""
    model, pixels = random_clip(num_hidden_layers=1), torch.randn(batch, 3, 224, 224)
    with torch.inference_mode():
        return median_seconds(lambda: model.get_image_features(pixel_values=pixels), 5) / batch


def median_seconds(call: Callable[[], Any], times: int) -> float:
    """After one call that is not counted."""
    call()
    return statistics.median(seconds(call, times))


# ---- the packs


def fill(folder: Path, method: str, count: int) -> None:
    """A library of `count` packs."""
    encoder = StandIn(WIDTH)
    library = LibraryFolder.init(folder, encoder)
    task = clustered(CLASSES, SHOTS, 1, noise=1.2, width=WIDTH)
    support = support_of(task.X, task.y, task.text)
    adapter = create_adapter(method, 0).fit(task.X, np.array(support.labels), task.text)
    for seed in range(count):
        library.add(turned(adapter, support, seed, encoder), f"skill {seed:03d}")


def turned(adapter: Any, support: Support, seed: int, encoder: StandIn) -> Pack:
    """The pack of another task that is as hard: all of it in turned coordinates.

    Without what takes long to state (`handful.skills.statements`), which answers do not need.
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
        made, text, encoder, templates=["a photo of a {}."], support_ids=support.ids, training={}
    )
    manifest = pack.manifest | {"support": other.stated()}
    return replace(pack, manifest=manifest, tensors=pack.tensors | other.tensors())


# ---- what they cost


def costs(folder: Path, count: int) -> Costs:
    """Of the first `count` packs."""
    files = sorted(folder.glob("*/weights.safetensors"))[:count]
    found = {"packs": float(count), "tensors": float(sum(file.stat().st_size for file in files))}
    found |= apart(loading, folder, count)
    known = skills(folder, count)
    for batch in BATCHES:
        X = queries(known, batch)
        times = 30 if batch == 1 else 10
        found[f"answer {batch}"] = median_seconds(partial(known.predict, X), times) / batch
        if known.open_set is not None:
            asked = partial(known.predict, X, 0.05)
            found[f"unknown {batch}"] = median_seconds(asked, times) / batch
    return found


def loading(folder: Path, count: int) -> Costs:
    """Load once more and tell how long it took and what this process holds."""
    torch.set_num_threads(1)
    skills(folder, 1)  # imports and first calls are not what packs cost
    before = held()
    loaded, _, known = timed(lambda: skills(folder, count))
    inside = held() - before
    router, unknown = (timed(lambda n=n: getattr(known, n))[0] for n in ("router", "open_set"))
    after = held() - before
    return {"load": loaded, "router": router, "unknown": unknown, "held": inside, "after": after}


def held() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    with suppress(OSError):  # another C library keeps what was freed; the figure is then too high
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return memory()


def skills(folder: Path, count: int) -> SkillEnsemble:
    """As `Library` reads them, the first `count`."""
    library = LibraryFolder.open(folder)
    return SkillEnsemble([Skill.from_pack(n, library.load(n)) for n in library.names()[:count]])


def queries(known: SkillEnsemble, count: int) -> Array:
    """Images of different tasks, so that different skills are asked."""
    rows = [s.support.features[7 * i % len(s.support.features)] for i, s in enumerate(known.skills)]
    return np.stack([rows[i % len(rows)] for i in range(count)])


# ---- table and figure


def method_table(method: str, rows: list[Costs], encoder: Mapping[int, float]) -> Iterator[str]:
    yield f"\n### {method}\n"
    yield head(
        "packs",
        *(f"ms an image, batch of {b}" for b in BATCHES),
        *(f"more than with one pack, batch of {b}, %" for b in BATCHES),
        *("load, s", "router, s", "unknown, s", "held, MB", "tensors, MB"),
        left=0,
    )
    for each in rows:
        times = (1e3 * (encoder[b] + each[f"answer {b}"]) for b in BATCHES)
        ones = ((b, encoder[b] + rows[0][f"answer {b}"]) for b in BATCHES)
        more = (100 * (encoder[b] + each[f"answer {b}"] - one) / one for b, one in ones)
        spent = (each[k] for k in ("load", "router", "unknown"))
        sizes = (f"{each[k] / 1e6:.1f}" for k in ("held", "tensors"))
        shown = (f"{value:.2f}" for value in (*times, *more, *spent))
        yield row(f"{each['packs']:.0f}", *shown, *sizes)
    last, first = rows[-1], next(r for r in rows if r["packs"] >= min(10, rows[-1]["packs"] - 1))
    span = last["tensors"] - first["tensors"]
    grown = [100 * (last[k] - first[k]) / span if span else 0 for k in ("held", "after")]
    yield (
        f"\nFrom {first['packs']:.0f} packs on memory grows by {grown[0]:.0f} % of the tensors' "
        f"bytes ({grown[1]:.0f} % once router and unknown are there). With {last['packs']:.0f} "
        f"packs, one image at a time, an answer takes {1e3 * last['answer 1']:.2f} ms beside the "
        f"encoder, {1e3 * last.get('unknown 1', 0):.2f} ms where it may be `unknown`."
    )


def draw(found: Mapping[str, list[Costs]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (method, rows), colour in zip(found.items(), ("#0072B2", "#D55E00"), strict=False):
        counts = [r["packs"] for r in rows]
        sizes = {k: [r[k] / 1e6 for r in rows] for k in ("held", "tensors")}
        left.plot(counts, sizes["held"], "-o", color=colour, label=f"{method}, held")
        tensors = f"{method}, tensors on disk"
        left.plot(counts, sizes["tensors"], "--", color=colour, alpha=0.6, label=tensors)
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
