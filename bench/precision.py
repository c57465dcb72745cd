"""What bfloat16 costs in numbers and gains in speed.

Two tables, hence long: of the encoders themselves, and of the golden images of packs.
"""

from __future__ import annotations

import copy
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

import handful
from handful import encoders, plugins
from handful.contracts import ClassText, Encoder
from handful.encoders import kernels, prompts
from handful.encoders import precision as precisions
from handful.encoders.backends._libraries import transformers
from handful.errors import MismatchError
from handful.packs import Pack, golden
from samples import noise_picture, own_store, random_clip
from tables import head, in_turns, median_ratio, row, seconds, table

CPU = torch.device("cpu")
PLAIN = "float32, as the library computes it"
OURS = "float32, oneDNN products (ours)"
MIXED = "bfloat16 products, float32 between (ours)"
ERRORS = ("worst 1-cos", "worst logit", "worst p")
CLASSES = (
    "red circle", "blue square", "green triangle", "yellow star", "white ring", "black cross",
    "small red square", "large blue circle", "striped star", "dotted ring",
)  # fmt: skip


Run = Callable[[str, torch.Tensor], Any]  # (tower, input) to features


@table(
    "precision", title="Precision: bfloat16 against float32", seconds=180,
    images=2, rounds=1, batches=(1, 2), pictures=4,
)  # fmt: skip
def precision(
    images: int = 16,
    rounds: int = 5,
    encoder: str = "tiny",
    batches: tuple[int, ...] = (1, 4, 16, 64),
    pictures: int = 256,
) -> Iterator[str]:
    """ViT-B/32 of random weights, then a trained encoder.

    Every round gives ratios of its own; the table shows their median. The error of a variant is
    against float32 on the same pictures and texts: the worst 1 - cosine of a feature, the worst
    change of a logit (scale x cosine; the scale is 100 in the first table) against the mean change
    of its picture (a shift of all logits changes no answer), and the worst change of a probability
    among ten texts. The last table has the errors of a trained encoder, because random weights
    round more kindly than trained ones, whose channels differ more in size.
    """
    native = "has" if precisions.has_bfloat16(CPU) else "has no"
    yield (
        f"ViT-B/32, random weights, {torch.get_num_threads()} threads of {os.cpu_count()}; "
        f"this processor {native} bfloat16 units.\n"
    )
    with own_store(), torch.inference_mode():
        runs = variants(random_clip().requires_grad_(False))
        pixels, ids = inputs(images)
        towers = (("image", pixels), ("text", ids))
        answers = {n: [run(t, x).double().numpy() for t, x in towers] for n, run in runs.items()}
        wall, _ = in_turns({n: partial(run, "image", pixels) for n, run in runs.items()}, rounds)
        yield head(
            "picture tower",
            "pictures/s",
            "x plain",
            "worst 1-cos",
            "worst logit",
            "worst p",
            left=1,
        )
        for name in runs:
            speed = f"{images / statistics.median(wall[name]):.0f}"
            ratio = f"{median_ratio(wall, name, PLAIN):.2f}"
            yield row(name, speed, ratio, *errors(answers[PLAIN], answers[name]))
        yield "\n" + head("pictures a batch", *batches, left=1)
        for name in (OURS, MIXED):
            cells = (batch_speed(runs[name], pixels, size) for size in batches)
            yield row(f"{name}, pictures/s", *cells)
        yield from trained(encoder, pictures)


def inputs(images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of made pictures, and ten texts of random tokens."""
    raw = np.stack([np.asarray(picture(i, 224), np.float32) for i in range(images)])
    ids = torch.from_numpy(np.random.default_rng(0).integers(10, 40_000, (10, 12)))
    ids[:, 0], ids[:, -1] = 49406, 49407
    return torch.from_numpy(raw / 64 - 2).permute(0, 3, 1, 2).contiguous(), ids


def picture(seed: int, side: int) -> Image.Image:
    """A made picture with coarse and fine structure."""
    octaves = ((4, 80), (24, 50), (side, 8))
    return noise_picture(seed, (side, side), octaves, Image.Resampling.BICUBIC)


def variants(model: Any) -> dict[str, Run]:
    """The ways to compute that are compared."""

    def of(changed: Any, kind: torch.dtype = torch.float32) -> Run:
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
    precisions.to_bfloat16(mixed.vision_model, lambda: 1.0, force=True)
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


def errors(
    wanted: Sequence[np.ndarray], got: Sequence[np.ndarray], scale: float = 100.0
) -> tuple[str, str, str]:
    """Cells of the table: what rounding changed in images and texts and what follows from it."""
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (*wanted, *got)]
    lost = max(1 - float((a * b).sum(1).min()) for a, b in zip(unit[:2], unit[2:], strict=True))
    before, after = scale * unit[0] @ unit[1].T, scale * unit[2] @ unit[3].T
    moved = after - before
    moved -= moved.mean(axis=1, keepdims=True)
    p = [functional.softmax(torch.from_numpy(x), dim=1).numpy() for x in (before, after)]
    shift = float(np.abs(p[1] - p[0]).max())
    return f"{max(lost, 0):.1e}", f"{float(np.abs(moved).max()):.4f}", f"{shift:.5f}"


def batch_speed(run: Run, pixels: torch.Tensor, size: int) -> str:
    """Pictures a second, the better of two."""
    batch = pixels.repeat(-(-size // len(pixels)), 1, 1, 1)[:size].contiguous()
    return f"{size / min(seconds(lambda: run('image', batch), 2)):.0f}"


def trained(name: str, count: int) -> Iterator[str]:
    plain, half = (encoders.load(name, precision=p, device="cpu") for p in ("float32", "bfloat16"))
    pictures = [picture(i, 160) for i in range(count)]
    texts = [prompts.DEFAULT[0].replace("{}", c) for c in CLASSES]
    answers = [
        (e.images([e.prepare(p) for p in pictures]).astype(float), e.texts(texts).astype(float))
        for e in (plain, half)
    ]
    yield "\n" + head("trained encoder", *ERRORS, left=1)
    what = f"{name} (scale {plain.scale:.1f}), bfloat16 products, {count} pictures"
    yield row(what, *errors(*answers, plain.scale))


# ---- golden images

TINY = Path(handful.__file__).parent / "encoders" / "tiny"
FIRST = 1000  # pictures that are no candidates for a golden image


@table("golden", title="Golden images", seconds=240, encoders=("tiny",), pictures=10, skills=1)
def golden_images(
    encoders: tuple[str, ...] = ("tiny", "vit", "loud"), pictures: int = 30, skills: int = 10
) -> Iterator[str]:
    """How far a pack's golden image moves between the precisions, and what checking it costs.

    docs/packs.md has the table. `vit` is a ViT-B/32 of random weights with CLIP's usual scale of
    100; `loud` is the same with every matrix four times as large, which spreads the pictures as far
    apart as a trained model does and rounds worse. For each encoder: skills of 2, 5 and 10 classes,
    whose classes are single synthetic pictures; each pack is made in one precision and checked in
    the other. Beside the golden image stands the worst of all pictures, which is what a check on an
    unlucky picture would have seen.
    """
    yield head(
        "encoder", "lowest cosine", "checks", "golden image, median", "largest", "refused",
        "any picture", "one check",
    )  # fmt: skip
    for name in encoders:
        with tempfile.TemporaryDirectory() as folder:
            factor = {"vit": 1.0, "loud": 4.0}.get(name)
            where = name if factor is None else str(random_vit(Path(folder), factor))
            yield golden_row(name, where, pictures, skills)


class Remembering:
    """An encoder that looks at each picture once; the packs of a run share most of theirs."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.seen: dict[bytes, np.ndarray] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.encoder, name)

    def prepare(self, image: Image.Image) -> Image.Image:
        """Nothing yet: the picture itself is the key."""
        return image

    def images(self, batch: Sequence[Image.Image]) -> np.ndarray:
        """`[N, D]`, each picture encoded alone and once."""
        for image in batch:
            if image.tobytes() not in self.seen:
                prepared = [self.encoder.prepare(image)]
                self.seen[image.tobytes()] = self.encoder.images(prepared)[0]
        return np.stack([self.seen[image.tobytes()] for image in batch])


def random_vit(folder: Path, factor: float) -> Path:
    """A checkpoint of a ViT-B/32 from seed 0, with the words of `tiny`."""
    words = transformers.AutoConfig.from_pretrained(TINY).text_config
    tower = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 2}
    size = {"vocab_size": words.vocab_size, "max_position_embeddings": 77}
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    model = random_clip(**tower, **size, **ends, num_attention_heads=8)
    with torch.no_grad():
        model.logit_scale.fill_(np.log(100.0))
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embedding" not in name:
                parameter.mul_(factor)
    model.save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
    for file in TINY.glob("token*"):
        shutil.copy(file, folder)
    return folder


def golden_row(name: str, folder: str, pictures: int, skills: int) -> str:
    """Measure one encoder."""
    plain, half = (Remembering(encoders.load(folder, precision=p)) for p in ("float32", "bfloat16"))
    images = [Image.fromarray(golden.picture(FIRST + i)) for i in range(pictures)]
    ours, theirs = plain.images(images), half.images(images)
    moved, worst, refused = [], [], 0
    for classes in (2, 5, 10):
        for seed in range(skills):
            chosen = np.random.default_rng(seed).permutation(pictures)[:classes]
            for taught, used, rows in ((plain, half, ours), (half, plain, theirs)):
                names = tuple(f"class {c}" for c in chosen)
                text = ClassText(rows[chosen][:, None], names, plain.scale)
                adapter = plugins.get("adapters", "tip")()
                adapter.fit(rows[chosen], np.arange(classes), text)
                pack = Pack.of(
                    adapter, text, taught, templates=("{}",), support_ids=(), training={}
                )
                gap = pack.probabilities(ours) - pack.probabilities(theirs)
                worst.append(float(np.abs(gap).max()))
                try:
                    moved.append(pack.check_encoder(used))
                except MismatchError:
                    refused += 1
    # one check: one picture through the encoder, and the head
    check = 1000 * min(seconds(lambda: pack.check_encoder(plain.encoder), 10))
    return row(
        f"{name}, scale {plain.scale:.4g}", f"{(ours * theirs).sum(axis=1).min():.6f}", len(worst),
        f"{statistics.median(moved):.4f}", f"{max(moved):.4f}", refused, f"{max(worst):.4f}",
        f"{check:.0f} ms",
    )  # fmt: skip
