"""What keeping the activations costs an image: a ViT-B/32 of random weights, 320 photos.

Usage: python bench/activations.py [--images 320] [--blocks 6 10] [--views 1] [--rounds 3]

Every round computes the activations with no store to write to, computes and stores them, and reads
them back; the table shows medians of the time, and of the processor time in brackets. Set
OMP_NUM_THREADS=1 on a busy machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from encode import checkpoint, photos
from handful import encoders
from handful.contracts import ImageRef
from handful.encoders.backends._libraries import transformers
from handful.features import Activations, extract_activations
from handful.features.store import ActivationStore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--megapixels", type=float, default=0.2)
    parser.add_argument("--blocks", type=int, nargs="+", default=[6, 10])
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = photos(scratch / "photos", options.images, options.megapixels)
        refs = [ImageRef.of(file) for file in sorted(folder.iterdir())]
        encoder = encoders.load(str(checkpoint(scratch / "model")), precision=options.precision)
        print(f"{len(refs)} images, {options.views} views, {encoder.precision}, ms an image")
        print(
            "| first block | computed, not kept | computed and kept | read back | kB a row | disk |"
        )
        print("|---|---:|---:|---:|---:|---:|")
        for block in options.blocks:
            print(measure(encoder, refs, block, scratch, options))


def _middle(spent: list[np.ndarray], column: int) -> float:
    return statistics.median(float(each[column]) for each in spent)


def measure(
    encoder: object,
    refs: list[ImageRef],
    block: int,
    scratch: Path,
    options: argparse.Namespace,
) -> str:
    """One line of the table."""

    def compute(batch: list[object]) -> torch.Tensor:
        return encoder.vision.entering(encoder.pixels(batch), block)

    def run(store: ActivationStore) -> tuple[np.ndarray, Activations]:
        started, worked = time.perf_counter(), time.process_time()
        found = extract_activations(
            encoder,
            refs,
            compute,
            block=block,
            views=options.views,
            augmentation="crop",
            store=store,
            workers=options.workers,
        )
        spent = np.array([time.perf_counter() - started, time.process_time() - worked])
        return 1000 * spent / len(refs), found

    times: dict[str, list[np.ndarray]] = {"none": [], "kept": [], "read": []}
    for turn in range(options.rounds):
        with ActivationStore(scratch / f"no-{block}-{turn}", max_bytes=0) as store:
            times["none"].append(run(store)[0])
        with ActivationStore(scratch / f"yes-{block}-{turn}") as store:
            seconds, first = run(store)
            times["kept"].append(seconds)
            seconds, second = run(store)
            times["read"].append(seconds)
            size = store.size
            if second.encoded or not np.array_equal(first.values, second.values):
                raise SystemExit("the second run is not the first")
    told = " | ".join(
        f"{_middle(spent, 0):.2f} ({_middle(spent, 1):.2f})" for spent in times.values()
    )
    row, ratio = first.values[0, 0].nbytes / 1000, size / first.values.nbytes
    return f"| {block} | {told} | {row:.0f} | {ratio:.3f} |"


if __name__ == "__main__":
    main()
