"""How fast a folder of photos becomes features or activations, with a ViT-B/32 of random weights.

Two tables, hence long. Weights do not matter for speed, so none are downloaded. On a very busy
machine set OMP_NUM_THREADS=1 and look at the processor time: threads that wait for each other burn
it too.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from handful import data, encoders
from handful.contracts import Encoder, ImageRef
from handful.encoders.backends._libraries import transformers
from handful.features import BATCH, extract_activations, extract_features, processors
from handful.features.store import ActivationStore, FeatureStore, space
from samples import ENDS, TOKENS, StandIn, photos, random_clip, save_clip
from tables import Times, head, in_turns, median_ratio, ratios, row, table, timed

PLAIN = "plain loop, float32"
READY = "encoder alone, ready inputs"
READY_32 = "encoder alone, ready inputs, float32"
OURS = "handful, first run"
AGAIN = "handful, second run"
HASHING = "hashing the files, one thread"
HASHING_THREADS = "hashing the files, in threads"


@table(
    "encode", title="Encoding a folder of photos", seconds=240,
    images=8, known=50, kilobytes=10, rounds=1,
)  # fmt: skip
def encode(
    photos: tuple[str, ...] = (),
    megapixels: float = 0.2,
    images: int = 192,
    known: int = 2000,
    kilobytes: int = 100,
    batch: int = BATCH,
    workers: int = 0,
    rounds: int = 5,
) -> Iterator[str]:
    """Every round gives ratios of its own; the table shows their median.

    Args:
        photos: folders of JPEGs, of which the first is taken; made ones where not given.
        megapixels: of a made photo.
        images: how many of them.
        known: files of the second run.
        kilobytes: size of each of them.
        batch: images at a time.
        workers: threads that decode; 0 for as many as processors.
        rounds: of the first run; the second is measured three times as often.
    """
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = Path(photos[0]) if photos else made(scratch, images, megapixels)
        files = sorted(f for f in folder.rglob("*.jp*g"))[:images]
        if not files:
            raise SystemExit(f"{folder}: no JPEGs")
        pixels = statistics.median(w * h for w, h in (Image.open(f).size for f in files)) / 1e6
        model = checkpoint(scratch)
        runs, facts = contestants(model, files, scratch, batch, workers)
        wall, cores = in_turns(runs, rounds)
        more = in_turns(lookups(scratch, known, kilobytes, workers), 3 * rounds)
    yield from speeds(wall | more[0], cores | more[1], len(files), (known, kilobytes))
    facts |= {
        "images": f"{len(files)} JPEGs, median {pixels:.2f} megapixels",
        "batch": str(batch),
        "rounds": str(rounds),
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "load of the machine at the end": f"{os.getloadavg()[0]:.1f}",
    }
    yield "\n" + "\n".join(f"- {name}: {value}" for name, value in facts.items())


def speeds(wall: Times, cores: Times, images: int, known: tuple[int, int]) -> Iterator[str]:
    yield head("", "images/s", "of the plain loop", "processor time an image, ms", left=1)
    for name in (PLAIN, READY_32, READY, OURS):
        speed = statistics.median(images / s for s in wall[name])
        cost = 1000 * statistics.median(cores[name]) / images
        yield row(name, f"{speed:.1f}", f"{median_ratio(wall, name, PLAIN):.2f} x", f"{cost:.0f}")
    files = f"{known[0]} known files of {known[1]} kB"
    yield "\n" + head(files, "ms", "of hashing in one thread", left=1)
    for name in (HASHING, HASHING_THREADS, AGAIN):
        ratio = f"{median_ratio(wall, HASHING, name):.2f} x"
        yield row(name, f"{1000 * statistics.median(wall[name]):.0f}", ratio)
    yield "\n| goal | wanted | median | lowest to highest |\n|---|---|---:|---|"
    for name, wanted, found in (
        ("first run, speed / encoder alone", "0.90", ratios(wall, OURS, READY)),
        ("the same by processor time", "0.90", ratios(cores, OURS, READY)),
        ("first run, speed / plain loop", "2", ratios(wall, OURS, PLAIN)),
        ("the same by processor time", "2", ratios(cores, OURS, PLAIN)),
        ("second run, time / hashing alone", "little above 1", ratios(wall, HASHING, AGAIN)),
    ):
        span = f"{min(found):.2f} to {max(found):.2f}"
        yield row(name, wanted, f"{statistics.median(found):.2f}", span)


def made(scratch: Path, count: int, megapixels: float) -> Path:
    return photos(scratch / "photos", count, megapixels)


def checkpoint(scratch: Path) -> Path:
    """A CLIP with the picture tower of ViT-B/32, a small text tower and random weights."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    words = {"vocab_size": len(TOKENS), "pad_token_id": len(TOKENS) - 1, **ENDS}
    return save_clip(random_clip(**words, num_hidden_layers=1), scratch / "model")


class Plain:
    """The textbook loop: open, the library's processor, `get_image_features`, float32."""

    def __init__(self, folder: Path, batch: int) -> None:
        self.model = transformers.CLIPModel.from_pretrained(folder).eval()
        self.processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
        self.batch = batch

    def features(self, files: list[Path]) -> np.ndarray:
        """`[N, D]` unit rows."""
        rows = []
        for start in range(0, len(files), self.batch):
            images = [Image.open(f).convert("RGB") for f in files[start : start + self.batch]]
            inputs = self.processor(images=images, return_tensors="pt")
            with torch.no_grad():
                out: Any = self.model.get_image_features(**inputs)
            out = out if isinstance(out, torch.Tensor) else out.pooler_output
            rows.append(torch.nn.functional.normalize(out, dim=-1).numpy())
        return np.concatenate(rows)


def alone(encoder: Encoder, inputs: list[Any], batch: int) -> np.ndarray:
    return np.concatenate(
        [encoder.images(inputs[at : at + batch]) for at in range(0, len(inputs), batch)]
    )


def contestants(
    folder: Path, files: list[Path], scratch: Path, batch: int, workers: int
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """What encodes, and facts about the encoder."""
    encoder = encoders.load(str(folder))
    encoder_32 = encoders.load(str(folder), precision="float32")
    refs = [ImageRef.of(f) for f in files]
    inputs = [encoder.prepare(data.decode(ref)) for ref in refs]
    plain = Plain(folder, batch)
    counter = iter(range(10**6))

    def first() -> np.ndarray:
        with FeatureStore(scratch / f"store-{next(counter)}") as store:
            return extract_features(
                encoder, refs, store, batch_size=batch, workers=workers or None
            ).features.values

    agreement = float((plain.features(files[:32]) * first()[:32]).sum(axis=1).min())
    return {
        PLAIN: lambda: plain.features(files),
        READY_32: lambda: alone(encoder_32, inputs, batch),
        READY: lambda: alone(encoder, inputs, batch),
        OURS: first,
    }, {
        "handful's precision": encoder.precision,
        "lowest cosine of its features to the plain loop's, 32 images": f"{agreement:.5f}",
    }


class NeverAsked(StandIn):
    """An encoder of whose images everything is known."""

    def prepare(self, image: Image.Image) -> Any:
        """Never called."""
        raise SystemExit("the second run decoded something")


def lookups(
    scratch: Path, known: int, kilobytes: int, workers: int
) -> dict[str, Callable[[], Any]]:
    """What only looks up: many files whose features are in the store."""
    folder = scratch / "known"
    folder.mkdir()
    rng = np.random.default_rng(0)
    refs = []
    for i in range(known):
        path = folder / f"{i:05d}.jpg"
        path.write_bytes(rng.bytes(1000 * kilobytes))
        refs.append(ImageRef.of(path))
    encoder, rows = NeverAsked(), rng.normal(size=(known, 512))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with FeatureStore(scratch / "store") as store:
        key = space(encoder.fingerprint, encoder.precision)
        store.put(key, [ref.digest() for ref in refs], rows.astype(np.float32))

    def second() -> None:
        with FeatureStore(scratch / "store") as store:
            extract_features(encoder, refs, store, workers=workers or None)

    def hash_one_by_one() -> None:
        for ref in refs:
            ref.digest()

    def hash_in_threads() -> None:
        with ThreadPoolExecutor(workers or processors()) as pool:
            list(pool.map(ImageRef.digest, refs))

    return {HASHING: hash_one_by_one, HASHING_THREADS: hash_in_threads, AGAIN: second}


# ---- activations


@table("activations", title="The activation store", seconds=240, images=8, blocks=(10,), rounds=1)
def activations(
    images: int = 320,
    megapixels: float = 0.2,
    blocks: tuple[int, ...] = (6, 10),
    views: int = 1,
    rounds: int = 3,
    precision: str = "float32",
    workers: int = 0,
) -> Iterator[str]:
    """What keeping the activations costs an image; docs/store.md has the table.

    Every round computes them with no store to write to, computes and stores them, and reads them
    back; medians of the time, and of the processor time in brackets.
    """
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        refs = [ImageRef.of(file) for file in sorted(made(scratch, images, megapixels).iterdir())]
        encoder: Any = encoders.load(str(checkpoint(scratch)), precision=precision)
        yield f"{len(refs)} images, {views} views, {encoder.precision}, ms an image"
        yield head(
            "first block", "computed, not kept", "computed and kept", "read back", "kB a row",
            "disk", left=1,
        )  # fmt: skip
        for block in blocks:
            run = partial(
                extract_activations, encoder, refs,
                lambda batch, b=block: encoder.vision.forward_until(encoder.pixels(batch), b),
                block=block, views=views, augmentation="crop", workers=workers or None,
            )  # fmt: skip
            yield activation_row(run, block, scratch, rounds, len(refs))


def activation_row(
    run: Callable[..., Any], block: int, scratch: Path, rounds: int, count: int
) -> str:
    times: dict[str, list[tuple[float, float]]] = {"none": [], "kept": [], "read": []}
    for turn in range(rounds):
        with ActivationStore(scratch / f"no-{block}-{turn}", max_bytes=0) as store:
            times["none"].append(timed(partial(run, store=store))[:2])
        with ActivationStore(scratch / f"yes-{block}-{turn}") as store:
            *spent, first = timed(partial(run, store=store))
            times["kept"].append((spent[0], spent[1]))
            *spent, second = timed(partial(run, store=store))
            times["read"].append((spent[0], spent[1]))
            size = store.size
            if second.encoded or not np.array_equal(first.values, second.values):
                raise SystemExit("the second run is not the first")
    middle = 1000 * np.array([np.median(spent, axis=0) for spent in times.values()]) / count
    shown = (f"{wall:.2f} ({cores:.2f})" for wall, cores in middle)
    kilobytes, ratio = first.values[0, 0].nbytes / 1000, size / first.values.nbytes
    return row(block, *shown, f"{kilobytes:.0f}", f"{ratio:.3f}")
