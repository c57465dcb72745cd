"""How fast a folder of photos becomes features, with a ViT-B/32 of random weights.

Usage: python bench/encode.py [FOLDER] [--megapixels 12] [--images 192] [--rounds 5] [--json FILE]

Every round runs all contestants after each other, in turning order, and gives ratios of its own;
the table shows their median, so that a machine busy with other work stays fair. Where it is very
busy, set OMP_NUM_THREADS=1 and look at the processor time: threads that wait for each other's turn
burn it too. Weights do not matter for speed, so none are downloaded. Without FOLDER the photos are
made.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from handful import data, encoders
from handful.contracts import Encoder, ImageRef
from handful.encoders.backends._libraries import transformers
from handful.features import BATCH, extract_features, processors
from handful.features.store import FeatureStore, space

Times = dict[str, list[float]]  # a contestant's name to its seconds, round by round

PLAIN = "plain loop, float32"
READY = "encoder alone, ready inputs"
READY_32 = "encoder alone, ready inputs, float32"
OURS = "handful, first run"
AGAIN = "handful, second run"
HASHING = "hashing the files, one thread"
HASHING_THREADS = "hashing the files, in threads"


def checkpoint(folder: Path) -> Path:
    """A CLIP with the picture tower of ViT-B/32, a small text tower and random weights."""
    letters = "abcdefghijklmnopqrstuvwxyz "
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    n = len(tokens)
    words = {"vocab_size": n, "bos_token_id": n - 2, "eos_token_id": n - 1, "pad_token_id": n - 1}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config={**words, "num_hidden_layers": 1})
    transformers.CLIPModel(config).save_pretrained(folder)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def photos(folder: Path, count: int, megapixels: float) -> Path:
    """Made JPEGs with about the detail of a photo: noise of several sizes on a gradient."""
    folder.mkdir(parents=True)
    width, height = round((megapixels * 4e6 / 3) ** 0.5), round((megapixels * 3e6 / 4) ** 0.5)
    for i in range(count):
        rng = np.random.default_rng(i)
        picture = np.zeros((height, width, 3), np.float32)
        for part, weight in ((8, 60), (64, 40), (512, 25), (max(width, height), 6)):
            size = (max(2, part * width // max(width, height)), max(2, part * height // width))
            noise = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            grown = Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)
            picture += weight / 128 * (np.asarray(grown, np.float32) - 128)
        done = Image.fromarray((picture + 128).clip(0, 255).astype(np.uint8))
        done.save(folder / f"{i:04d}.jpg", quality=90)
    return folder


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


def encoding(
    folder: Path, files: list[Path], scratch: Path, options: argparse.Namespace
) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """Contestants that encode, and facts about the encoder."""
    batch = options.batch
    encoder = encoders.load(str(folder))
    encoder_32 = encoders.load(str(folder), precision="float32")
    refs = [ImageRef.of(f) for f in files]
    inputs = [encoder.prepare(data.decode(ref)) for ref in refs]
    plain = Plain(folder, batch)
    counter = iter(range(10**6))

    def first() -> np.ndarray:
        with FeatureStore(scratch / f"store-{next(counter)}") as store:
            return extract_features(
                encoder, refs, store, batch_size=batch, workers=options.workers
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


class Known:
    """An encoder that must not be asked: everything is known."""

    name, fingerprint, precision, dim, scale = "known", "model:known", "float32", 512, 100.0

    def prepare(self, image: Image.Image) -> Any:
        """Never called."""
        raise SystemExit("the second run decoded something")

    def images(self, batch: Any) -> Any:
        """Never called."""
        raise SystemExit("the second run encoded something")

    def texts(self, batch: Any) -> Any:
        """Never called."""
        raise SystemExit("nobody asked for texts")


def knowing(scratch: Path, options: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """Contestants that only look up: many files whose features are in the store."""
    folder = scratch / "known"
    folder.mkdir()
    rng = np.random.default_rng(0)
    refs = []
    for i in range(options.known):
        path = folder / f"{i:05d}.jpg"
        path.write_bytes(rng.bytes(1000 * options.kilobytes))
        refs.append(ImageRef.of(path))
    encoder, rows = Known(), rng.normal(size=(options.known, 512))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with FeatureStore(scratch / "store") as store:
        key = space(encoder.fingerprint, encoder.precision)
        store.put(key, [ref.digest() for ref in refs], rows.astype(np.float32))

    def second() -> None:
        with FeatureStore(scratch / "store") as store:
            extract_features(encoder, refs, store, workers=options.workers)

    def hash_one_by_one() -> None:
        for ref in refs:
            ref.digest()

    def hash_in_threads() -> None:
        with ThreadPoolExecutor(options.workers or processors()) as pool:
            list(pool.map(ImageRef.digest, refs))

    return {HASHING: hash_one_by_one, HASHING_THREADS: hash_in_threads, AGAIN: second}


def measure(runs: dict[str, Callable[[], Any]], rounds: int, work: Times) -> Times:
    """Seconds of each contestant in each round; `work` gets the processor seconds beside them."""
    seconds: Times = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            started, worked = time.perf_counter(), time.process_time()
            runs[name]()
            seconds[name].append(time.perf_counter() - started)
            work.setdefault(name, []).append(time.process_time() - worked)
        print(f"round {turn + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return seconds


def ratios(seconds: Times, one: str, other: str) -> list[float]:
    """How many times as fast `one` is as `other`, round by round."""
    return [b / a for a, b in zip(seconds[one], seconds[other], strict=True)]


def table(seconds: Times, work: Times, count: int, options: argparse.Namespace) -> str:
    lines = ["| | images/s | of the plain loop | processor time an image, ms |"]
    lines += ["|---|---:|---:|---:|"]
    for name in (PLAIN, READY_32, READY, OURS):
        speed = statistics.median(count / s for s in seconds[name])
        times = statistics.median(ratios(seconds, name, PLAIN))
        cost = 1000 * statistics.median(work[name]) / count
        lines.append(f"| {name} | {speed:.1f} | {times:.2f} x | {cost:.0f} |")
    files = f"{options.known} known files of {options.kilobytes} kB"
    lines += ["", f"| {files} | ms | of hashing in one thread |", "|---|---:|---:|"]
    for name in (HASHING, HASHING_THREADS, AGAIN):
        times = statistics.median(ratios(seconds, HASHING, name))
        lines.append(f"| {name} | {1000 * statistics.median(seconds[name]):.0f} | {times:.2f} x |")
    lines += ["", "| goal | wanted | median | lowest to highest |", "|---|---|---:|---|"]
    goals = (
        ("first run, speed / encoder alone", "0.90", ratios(seconds, OURS, READY)),
        ("the same by processor time", "0.90", ratios(work, OURS, READY)),
        ("first run, speed / plain loop", "2", ratios(seconds, OURS, PLAIN)),
        ("the same by processor time", "2", ratios(work, OURS, PLAIN)),
        ("second run, time / hashing alone", "little above 1", ratios(seconds, HASHING, AGAIN)),
    )
    for name, wanted, found in goals:
        median = statistics.median(found)
        lines.append(f"| {name} | {wanted} | {median:.2f} | {min(found):.2f} to {max(found):.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="JPEGs; made ones where not given")
    parser.add_argument("--megapixels", type=float, default=0.2, help="of the made photos")
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--known", type=int, default=2000, help="files of the second run")
    parser.add_argument("--kilobytes", type=int, default=100, help="size of each of them")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = options.folder or photos(scratch / "photos", options.images, options.megapixels)
        files = sorted(f for f in folder.rglob("*.jp*g"))[: options.images]
        if not files:
            raise SystemExit(f"{folder}: no JPEGs")
        pixels = statistics.median(w * h for w, h in (Image.open(f).size for f in files)) / 1e6
        runs, facts = encoding(checkpoint(scratch / "model"), files, scratch, options)
        work: Times = {}
        seconds = measure(runs, options.rounds, work)
        seconds |= measure(knowing(scratch, options), 3 * options.rounds, work)
    facts |= {
        "images": f"{len(files)} JPEGs, median {pixels:.2f} megapixels",
        "batch": str(options.batch),
        "rounds": str(options.rounds),
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "load of the machine at the end": f"{os.getloadavg()[0]:.1f}",
    }
    print(table(seconds, work, len(files), options) + "\n")
    print("\n".join(f"- {name}: {value}" for name, value in facts.items()))
    if options.json:
        result = {"facts": facts, "images": len(files), "seconds": seconds, "work": work}
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
