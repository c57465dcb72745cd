"""The embedded encoder `photo`: accuracy on real photos by shots, and how fast it encodes.

Two tables. The speeds compare the image tower as it is with the same network step by step, in torch
and in ONNX Runtime where that is installed; one thread or several, by OMP_NUM_THREADS.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from handful import compare, encoders, metrics, plugins
from handful.contracts import Encoder, ImageRef
from handful.encoders.backends._photo import convolution, efficientnet, weights
from handful.features import extract_features
from handful.features.store import FeatureStore
from handful.protocols.compare import Comparison
from handful.protocols.task import SHOTS
from samples import photos as made_photos
from tables import Times, head, in_turns, interval, median_ratio, row, table, timed

METHODS = ("auto", "scikit_logistic", "class_mean", "zero_shot")
PLAIN = "network as published, torch float32"
ONNX = "network as published, ONNX Runtime"


@table(
    "photo", title="Real photos through `photo`", seconds=900, needs=["photos"], seeds=1, shots=(1,)
)
def real_photos(
    photos: tuple[str, ...] = (), seeds: int = 10, shots: tuple[int, ...] = SHOTS
) -> Iterator[str]:
    """Each folder holds `train/<class>/` and `test/<class>/`; default settings, float32.

    `photo` beside `tiny`, and `auto` beside a plain logistic regression on the same features.
    """
    plugins.add_folder(Path(__file__).parent / "reference")
    for folder in map(Path, photos):
        yield f"### {folder.name}\n"
        yield head("encoder", "method", *(f"{k} shots" for k in shots), left=2)
        for name in ("photo", "tiny"):
            encoder = encoders.load(name, precision="float32", device="cpu")
            found, failures = compare(
                folder, encoder=encoder, methods=METHODS, shots=shots, seeds=seeds
            )
            for method in METHODS:
                yield row(f"`{name}`", f"`{method}`", *(cell(found, method, k) for k in shots))
        yield f"\n{len(failures)} images could not be read.\n"
    yield (
        f"Accuracy in percent on the photos of `test/`, {seeds} draws of the support set, the same "
        "for all methods. ± is half of the 95 % interval (Student's t) over the draws; where "
        "`train/` has no more photos than the shots, every draw is the same and the interval in "
        "brackets is that of the test photos (Wilson). "
        "`scikit_logistic` is scikit-learn's own (C = 10)."
    )


def cell(found: Comparison, method: str, shots: int) -> str:
    """Mean over the draws; where all draws are the same, the interval of one of them."""
    of = [t for t in found.trials if (t.method, t.shots) == (method, shots)]
    values = [t.accuracy for t in of]
    if max(values) - min(values) > 0:
        return interval(values)
    count = of[0].images
    low, high = metrics.wilson_interval(round(values[0] / 100 * count), count)
    return f"{values[0]:.1f} ({100 * low:.1f} to {100 * high:.1f})"


# ---- speed


@table("photo_speed", title="How fast `photo` encodes", seconds=120, images=8, rounds=1)
def speed(
    photos: tuple[str, ...] = (), images: int = 64, rounds: int = 7, batch: int = 4
) -> Iterator[str]:
    """Pictures a second on ready tensors, then from JPEG files to stored features.

    Args:
        photos: folders of JPEGs, of which the first is taken; made ones where not given.
        images: how many.
        rounds: of which the median is shown.
        batch: pictures in one pass.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(photos[0]) if photos else made_photos(Path(scratch) / "photos", images, 0.2)
        files = sorted(folder.rglob("*.jp*g"))
        files = files[:: max(1, len(files) // images)][:images]
        ours = encoders.load("photo", precision="float32", device="cpu")
        half = encoders.load("photo", precision="bfloat16", device="cpu")
        prepared = [ours.prepare(Image.open(f)) for f in files]
        pixels = torch.cat([ours.pixels([p])["pixel_values"] for p in prepared]).contiguous()
        plain = Published().eval()
        folded = ours.model.vision
        runs: dict[str, Callable[[], Any]] = {
            PLAIN: lambda: by_parts(plain, pixels, batch),
            "norms folded, channels last": lambda: unfused(folded, pixels, batch),
            "`photo`, float32 (default)": lambda: by_parts(folded, pixels, batch),
            "`photo`, bfloat16": lambda: by_parts(half.model.vision, pixels, batch),
        }
        runs |= onnx(plain, pixels, batch, Path(scratch))
        runs |= {
            "decoding alone, from JPEG": lambda: [ours.prepare(Image.open(f)) for f in files],
            f"{PLAIN}, from JPEG, one after another": lambda: plainly(plain, ours, files),
            "`photo`, float32, from JPEG": lambda: from_files(ours, files),
        }
        with torch.inference_mode():
            exact = functional.normalize(by_parts(plain, pixels, batch))
            rounded = functional.normalize(by_parts(half.model.vision, pixels, batch))
            wall, cores = warmed(runs, rounds)
    yield from speeds(wall, cores, len(files))
    lowest = float((exact * rounded).sum(dim=1).min())
    contestants = {"ours": lambda: one(folded, pixels), **onnx_one(plain, pixels)}
    alone = in_turns(contestants, 3 * rounds)[0]
    times = ", ".join(f"{name} {1000 * statistics.median(v):.1f} ms" for name, v in alone.items())
    yield (
        f"\nLowest cosine of bfloat16's features to float32's on these {len(files)} pictures: "
        f"{lowest:.4f}. One picture alone: {times}. torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {batch} pictures a pass, median of {rounds} rounds, "
        f"load of the machine at the end {os.getloadavg()[0]:.1f}."
    )


def warmed(runs: dict[str, Callable[[], Any]], rounds: int) -> tuple[Times, Times]:
    """As `in_turns`, each run right after one that is not counted.

    What ran before leaves the memory in a state that costs a contestant up to half of its speed;
    a user's process encodes one batch after another.
    """
    wall: Times = {name: [] for name in runs}
    cores: Times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            spent = timed(run)
            wall[name].append(spent[0])
            cores[name].append(spent[1])
    return wall, cores


def speeds(wall: Times, cores: Times, images: int) -> Iterator[str]:
    yield head("", "pictures/s", "of the published network", "processor time a picture, ms", left=1)
    for name in wall:
        rate = images / statistics.median(wall[name])
        other = next(n for n in wall if n.startswith(PLAIN) and ("JPEG" in n) == ("JPEG" in name))
        cost = 1000 * statistics.median(cores[name]) / images
        yield row(name, f"{rate:.1f}", f"{median_ratio(wall, name, other):.2f} x", f"{cost:.1f}")


class Published(nn.Module):
    """EfficientNet-Lite0 as published: a convolution, then its batch norm, then ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        found = weights.image_tensors().values()
        self.values = nn.ParameterList(v for v in found if v.is_floating_point())
        self.requires_grad_(False)

    def forward(self, pixels: Tensor) -> Tensor:
        """`[N, 3, 224, 224]` to `[N, 1280]`."""
        values = iter(self.values)

        def conv(x: Tensor, stride: int, depthwise: bool = False) -> Tensor:
            kernel, gamma, beta, mean, variance = (next(values) for _ in range(5))
            size, side = x.shape[2], kernel.shape[2]
            lack = max((-(-size // stride) - 1) * stride + side - size, 0)
            before = lack // 2
            x = functional.pad(x, (before, lack - before, before, lack - before))
            x = functional.conv2d(x, kernel, stride=stride, groups=x.shape[1] if depthwise else 1)
            return functional.batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

        x = functional.relu6(conv(pixels, 2))
        for repeats, _, stride, expansion, _ in efficientnet.STAGES:
            for place in range(repeats):
                y = functional.relu6(conv(x, 1)) if expansion > 1 else x
                y = functional.relu6(conv(y, 1 if place else stride, depthwise=True))
                y = conv(y, 1)
                x = x + y if place else y
        return functional.relu6(conv(x, 1)).mean(dim=(2, 3))


def by_parts(tower: Callable[[Tensor], Tensor], pixels: Tensor, batch: int) -> Tensor:
    with torch.inference_mode():
        return torch.cat([tower(pixels[i : i + batch]) for i in range(0, len(pixels), batch)])


def unfused(tower: nn.Module, pixels: Tensor, batch: int) -> Tensor:
    known, convolution.available = convolution.available, lambda: False
    try:
        return by_parts(tower, pixels, batch)
    finally:
        convolution.available = known


def one(tower: nn.Module, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        return tower(pixels[:1])


def plainly(tower: nn.Module, encoder: Encoder, files: list[Path]) -> None:
    for file in files:
        ready = encoder.prepare(Image.open(file))
        with torch.inference_mode():
            tower(encoder.pixels([ready])["pixel_values"].contiguous())


def from_files(encoder: Encoder, files: list[Path]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # a new store: nothing is known
        extract_features(encoder, [ImageRef.of(f) for f in files], store=FeatureStore(folder))


def session(plain: nn.Module, pixels: Tensor, folder: Path) -> Any:
    """An ONNX Runtime session of the published network with as many threads as torch, or None."""
    try:
        import onnxruntime
    except ImportError:
        return None
    path = folder / "lite0.onnx"
    torch.onnx.export(
        plain, (pixels[:1],), str(path), dynamo=False, input_names=["pixels"],
        dynamic_axes={"pixels": {0: "n"}}, opset_version=17,
    )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(path), options)


def onnx(
    plain: nn.Module, pixels: Tensor, batch: int, folder: Path
) -> dict[str, Callable[[], Any]]:
    made = session(plain, pixels, folder)
    if made is None:
        return {}
    ready = [np.ascontiguousarray(p) for p in pixels.numpy()]
    parts = [np.stack(ready[i : i + batch]) for i in range(0, len(ready), batch)]
    return {ONNX: lambda: [made.run(None, {"pixels": p}) for p in parts]}


def onnx_one(plain: nn.Module, pixels: Tensor) -> dict[str, Callable[[], Any]]:
    with tempfile.TemporaryDirectory() as folder:
        made = session(plain, pixels, Path(folder))
    if made is None:
        return {}
    first = pixels[:1].numpy()
    return {"ONNX Runtime": lambda: made.run(None, {"pixels": first})}
