"""How long `auto` takes to choose and fit, beside the methods it would replace; peak memory.

Usage: python bench/auto.py [--threads 4]

Features are made: classes around means that the text knows roughly. Each row is a process of its
own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from handful import plugins
from handful.contracts import ClassText, unit

SIZES = ((100, 1, 512), (100, 2, 512), (100, 16, 512), (1000, 1, 512), (1000, 16, 512))
METHODS = ("auto", "clip_adapter", "tip_f", "gda")


def task(classes: int, shots: int, width: int) -> tuple[np.ndarray, np.ndarray, ClassText]:
    """`[N, D]` features, `[N]` columns, the text."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((classes, width))
    image_gap, text_gap = rng.standard_normal((2, 1, width))
    words = unit(means[:, None] + 0.8 * rng.standard_normal((classes, 1, width)) + 2 * text_gap)
    y = np.repeat(np.arange(classes), shots)
    noise = 1.2 * rng.standard_normal((len(y), width))
    X = unit(0.6 * means[y] + 2 * image_gap + noise)
    return X, y, ClassText(words, tuple(map(str, range(classes))), 100.0)


def one(method: str, size: tuple[int, int, int], threads: int) -> None:
    torch.set_num_threads(threads)
    X, y, text = task(*size)
    adapter = plugins.get("adapters", method)()  # its imports are no part of the fit
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    adapter.fit(X, y, text)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{seconds:.2f} s, {peak / 1e6:.2f} GB (of it {before / 1e6:.2f} before the fit)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        method, *size = arguments.one
        one(method, tuple(map(int, size)), arguments.threads)
        return
    print("| classes x shots x width | " + " | ".join(METHODS) + " |")
    print("|---" * (1 + len(METHODS)) + "|")
    for size in SIZES:
        cells = []
        for method in METHODS:
            command = [sys.executable, __file__, "--threads", str(arguments.threads), "--one"]
            command += [method, *map(str, size)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            cells.append(done.stdout.strip())
        print(f"| {' x '.join(map(str, size))} | " + " | ".join(cells) + " |", flush=True)
    print(
        f"\n{arguments.threads} threads; seconds to fit and the process's peak memory. Goals for "
        "`auto`: 5 s at 100 x 16 x 512; 2 minutes and 4 GB at 1000 x 16 x 512."
    )


if __name__ == "__main__":
    main()
