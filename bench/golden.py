"""How far a pack's golden image moves between float32 and bfloat16, and what checking it costs.

Usage: python bench/golden.py [--encoders tiny,vit,loud] [--pictures 30] [--skills 10]

`vit` is a ViT-B/32 of random weights with CLIP's usual scale of 100; `loud` is the same with every
matrix four times as large, which spreads the pictures as far apart as a trained model does and
rounds worse. For each encoder: skills of 2, 5 and 10 classes, whose classes are single synthetic
pictures; each pack is made in one precision and checked in the other. Beside the golden image
stands the worst of all pictures, which is what a check on an unlucky picture would have seen.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import handful
from handful import encoders, plugins
from handful.contracts import ClassText, Encoder
from handful.encoders.backends._libraries import transformers
from handful.errors import MismatchError
from handful.packs import Pack, golden

TINY = Path(handful.__file__).parent / "encoders" / "tiny"
FIRST = 1000  # pictures that are no candidates for a golden image


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


def random_vit(folder: Path, loud: float) -> Path:
    """A checkpoint of a ViT-B/32 from seed 0, with the words of `tiny`."""
    words = transformers.AutoConfig.from_pretrained(TINY).text_config
    tower = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 2}
    size = {"vocab_size": words.vocab_size, "max_position_embeddings": 77}
    ends = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    torch.manual_seed(0)
    model = transformers.CLIPModel(
        transformers.CLIPConfig(text_config={**tower, **size, **ends, "num_attention_heads": 8})
    )
    with torch.no_grad():
        model.logit_scale.fill_(np.log(100.0))
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embedding" not in name:
                parameter.mul_(loud)
    model.save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
    for file in TINY.glob("token*"):
        shutil.copy(file, folder)
    return folder


def row(name: str, folder: str, pictures: int, skills: int) -> str:
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
    cosine = (ours * theirs).sum(axis=1).min()
    return (
        f"| {name}, scale {plain.scale:.4g} | {cosine:.6f} | {len(worst)} | "
        f"{statistics.median(moved):.4f} | {max(moved):.4f} | {refused} | {max(worst):.4f} | "
        f"{1000 * cost(pack, plain.encoder):.0f} ms |"
    )


def cost(pack: Pack, encoder: Encoder) -> float:
    """Seconds of one check: one picture through the encoder, and the head."""
    times = []
    for _ in range(10):
        began = time.perf_counter()
        pack.check_encoder(encoder)
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoders", default="tiny,vit,loud")
    parser.add_argument("--pictures", type=int, default=30)
    parser.add_argument("--skills", type=int, default=10)
    arguments = parser.parse_args()
    print(
        "| encoder | lowest cosine | checks | golden image, median | largest | refused "
        "| any picture | one check |"
    )
    print("|---" * 8 + "|")
    for name in arguments.encoders.split(","):
        with tempfile.TemporaryDirectory() as folder:
            loud = {"vit": 1.0, "loud": 4.0}.get(name)
            where = name if loud is None else str(random_vit(Path(folder), loud))
            print(row(name, where, arguments.pictures, arguments.skills), flush=True)


if __name__ == "__main__":
    main()
