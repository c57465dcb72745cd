"""What bfloat16 costs in numbers and gains in speed, with a ViT-B/32 of random weights.

Usage: python bench/precision.py [--images 16] [--rounds 5] [--encoder tiny]

Every round runs all variants after each other, in turning order, and gives ratios of its own; the
table shows their median. The error of a variant is against float32 on the same pictures and
texts: the worst 1 - cosine of a feature, the worst change of a logit (scale x cosine; the scale is
100 in the first table) against the mean change of its picture (a shift of all logits changes no
answer), and the worst change of a probability among ten texts. The last table has the errors of a
trained encoder, because random weights round more kindly than trained ones, whose channels differ
more in size.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from handful import encoders
from handful.encoders import kernels, precision, prompts
from handful.encoders.backends._libraries import transformers
from handful.errors import MissingModelError

CPU = torch.device("cpu")
PLAIN = "float32, as the library computes it"
OURS = "float32, oneDNN products (ours)"
MIXED = "bfloat16 products, float32 between (ours)"
CLASSES = (
    "red circle", "blue square", "green triangle", "yellow star", "white ring", "black cross",
    "small red square", "large blue circle", "striped star", "dotted ring",
)  # fmt: skip

Pair = tuple[np.ndarray, np.ndarray]


def vit_b32() -> Any:
    """Towers of CLIP ViT-B/32, random weights from seed 0."""
    torch.manual_seed(0)
    return transformers.CLIPModel(transformers.CLIPConfig()).eval().requires_grad_(False)


def pictures(count: int, side: int) -> list[Image.Image]:
    """Made pictures with coarse and fine structure."""
    result = []
    for i in range(count):
        rng = np.random.default_rng(i)
        total = np.zeros((side, side, 3), np.float32)
        for part, weight in ((4, 80), (24, 50), (side, 8)):
            noise = Image.fromarray(rng.integers(0, 256, (part, part, 3), dtype=np.uint8))
            grown = noise.resize((side, side), Image.Resampling.BICUBIC)
            total += weight / 128 * (np.asarray(grown, np.float32) - 128)
        result.append(Image.fromarray((total + 128).clip(0, 255).astype(np.uint8)))
    return result


def variants(model: Any) -> dict[str, Callable[[str, torch.Tensor], Any]]:
    """Name to a function of (tower, input) that gives features."""

    def of(changed: Any, kind: torch.dtype = torch.float32) -> Callable[[str, torch.Tensor], Any]:
        def run(tower: str, x: torch.Tensor) -> Any:
            if tower == "text":
                return changed.get_text_features(input_ids=x).pooler_output.float()
            return changed.get_image_features(pixel_values=x.to(kind)).pooler_output.float()

        return run

    def autocast(tower: str, x: torch.Tensor) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return of(model)(tower, x)

    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    ours, mixed = copy.deepcopy(model), copy.deepcopy(model)
    kernels.use_onednn(ours, CPU)
    kernels.use_onednn(mixed, CPU)
    precision.to_bfloat16(mixed.vision_model, lambda: 1.0, force=True)
    last = torch.channels_last
    return {
        PLAIN: of(model),
        "float32, attention without sdpa": of(eager),
        OURS: of(ours),
        "the same, pictures channels-last": lambda t, x: of(ours)(
            t, x if t == "text" else x.contiguous(memory_format=last)
        ),
        "bfloat16, the whole model": of(copy.deepcopy(model).bfloat16(), torch.bfloat16),
        "bfloat16 by torch.autocast": autocast,
        MIXED: of(mixed),
    }


def errors(wanted: Pair, got: Pair, scale: float = 100.0) -> str:
    """Cells of the table: what rounding changed in images and texts and what follows from it."""
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (*wanted, *got)]
    lost = max(1 - float((a * b).sum(1).min()) for a, b in zip(unit[:2], unit[2:], strict=True))
    before, after = scale * unit[0] @ unit[1].T, scale * unit[2] @ unit[3].T
    moved = after - before
    moved -= moved.mean(axis=1, keepdims=True)
    p = [functional.softmax(torch.from_numpy(x), dim=1).numpy() for x in (before, after)]
    shift = float(np.abs(p[1] - p[0]).max())
    return f"{max(lost, 0):.1e} | {float(np.abs(moved).max()):.4f} | {shift:.5f}"


def compared(images: int, rounds: int) -> None:
    runs = variants(vit_b32())
    rng = np.random.default_rng(0)
    raw = np.stack([np.asarray(p, np.float32) for p in pictures(images, 224)])
    pixels = torch.from_numpy(raw / 64 - 2).permute(0, 3, 1, 2).contiguous()
    ids = torch.from_numpy(rng.integers(10, 40_000, (10, 12)))
    ids[:, 0], ids[:, -1] = 49406, 49407
    names = list(runs)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with torch.inference_mode():
        answers = {n: tuple(runs[n](t, x).double().numpy() for t, x in
                            (("image", pixels), ("text", ids))) for n in names}  # fmt: skip
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                start = time.perf_counter()
                runs[name]("image", pixels)
                seconds[name].append(time.perf_counter() - start)
    print("| picture tower | pictures/s | x plain | worst 1-cos | worst logit | worst p |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in names:
        ratio = statistics.median(a / b for a, b in zip(seconds[PLAIN], seconds[name], strict=True))
        speed = images / statistics.median(seconds[name])
        print(f"| {name} | {speed:.0f} | {ratio:.2f} | {errors(answers[PLAIN], answers[name])} |")
    print("\n| pictures a batch | " + " | ".join(str(b) for b in BATCHES) + " |")
    print("|---|" + "---:|" * len(BATCHES))
    for name in (OURS, MIXED):
        print(f"| {name}, pictures/s | {batches(runs[name], pixels)} |")


BATCHES = (1, 4, 16, 64)


def batches(run: Callable[[str, torch.Tensor], Any], pixels: torch.Tensor) -> str:
    """Speed at several batch sizes, as cells."""
    cells = []
    with torch.inference_mode():
        for size in BATCHES:
            part = pixels.repeat(-(-size // len(pixels)), 1, 1, 1)[:size].contiguous()
            taken = []
            for _ in range(2):
                start = time.perf_counter()
                run("image", part)
                taken.append(time.perf_counter() - start)
            cells.append(f"{size / min(taken):.0f}")
    return " | ".join(cells)


def trained(name: str) -> None:
    try:
        plain = encoders.load(name, precision="float32", device="cpu")
        half = encoders.load(name, precision="bfloat16", device="cpu")
    except MissingModelError as error:
        print(f"\nNo trained encoder was compared: {error}")
        return
    seen = pictures(256, 160)
    texts = [prompts.DEFAULT[0].replace("{}", c) for c in CLASSES]
    answers = [
        (e.images([e.prepare(p) for p in seen]).astype(float), e.texts(texts).astype(float))
        for e in (plain, half)
    ]
    print("\n| trained encoder | worst 1-cos | worst logit | worst p |\n|---|---:|---:|---:|")
    print(
        f"| {name} (scale {plain.scale:.1f}), bfloat16 products, 256 pictures | "
        f"{errors(*answers, plain.scale)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16, help="pictures a batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--encoder", default="tiny", help="the trained one")
    arguments = parser.parse_args()
    native = "has" if precision.has_bfloat16(CPU) else "has no"
    print(f"ViT-B/32, random weights, {torch.get_num_threads()} threads of {os.cpu_count()}; "
          f"this processor {native} bfloat16 units.\n")  # fmt: skip
    compared(arguments.images, arguments.rounds)
    trained(arguments.encoder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("HANDFUL_HOME", str(Path(cache)))
        main()
