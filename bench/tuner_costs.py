"""What tuning the inside of an encoder costs: a CLIP as large as ViT-B/32, of random weights.

Two tables, hence long. Weights do not matter for cost. On a busy machine set OMP_NUM_THREADS=1 and
look at the processor time.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save
from torch.nn.functional import cross_entropy, normalize

from handful import data, encoders, plugins
from handful.contracts import ImageRef
from handful.encoders import prompts
from handful.encoders.backends._libraries import transformers
from handful.encoders.towers import Tunable
from handful.features.store import ActivationStore
from handful.tuners import Delta, Recipe, TunedEncoder, Tuner, fit
from samples import ENDS, photos, random_clip, save_clip
from tables import head, memory, row, table, timed

TUNERS: dict[str, tuple[tuple[str, Mapping[str, Any]], ...]] = {
    "block": (("block", {}),),
    "block, both towers' blocks 6-11": (("block", {"blocks": "6-11"}),),
    "block, both towers' blocks 10-11": (("block", {"blocks": "10-11"}),),
    "lora": (("lora", {}),),
    "norm": (("norm", {}),),
    "projection": (("projection", {}),),
    "soft_prompt": (("soft_prompt", {"length": 4}),),
    "block + soft_prompt": (("block", {}), ("soft_prompt", {"length": 4})),
    "full": (("full", {}),),
}
READ = "read"  # no training: what is computed once gets into the store
SAVINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "accumulation=4": {"accumulation": 4},
    "checkpointing": {"checkpointing": True},
    "chunk=5": {"chunk": 5},
    "bf16": {"precision": "bf16"},
}


Task = tuple[Any, list[ImageRef], list[str], Any]  # encoder, images, labels, prompts


@table(
    "tuner_costs", title="Tuners: what they cost", seconds=7200,
    shots=2, classes=2, epochs=1, tuners=("projection",), batch=2,
)  # fmt: skip
def tuner_costs(
    shots: int = 16,
    classes: int = 20,
    epochs: int = 10,
    rounds: int = 1,
    tuners: tuple[str, ...] = tuple(TUNERS),
    batch: int = 32,
    part: str = "costs and epochs",
) -> Iterator[str]:
    """Numbers, memory and time of each tuner; then training on kept activations.

    The second table compares with a plain loop that decodes the photos once, keeps their pixels and
    encodes them in every epoch, with the same kernels, the same order of the photos and the same
    start; dropout is off so that losses can be compared. Every measurement of memory is a process
    of its own. `part` may name one of the two tables.
    """
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = photos(scratch / "photos", shots * classes, 0.2)
        refs = [ImageRef.of(file) for file in sorted(folder.iterdir())]
        encoder: Any = encoders.load(str(checkpoint(scratch / "model")), precision="float32")
        names = [f"kind {chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(classes)]
        labels = [names[i % len(names)] for i in range(len(refs))]
        task = (encoder, refs, labels, prompts.class_prompts(names, ["a photo of a {}."]))
        yield (
            f"{shots} shots x {classes} classes, batches of {batch}, float32, "
            f"{torch.get_num_threads()} thread(s); encoder of "
            f"{(encoder.vision.size + encoder.text.size) / 1e6:.1f} million numbers\n"
        )
        if "costs" in part:
            yield from costs(task, scratch, tuners, batch)
        if "epochs" in part:
            yield from kept_activations(task, scratch, epochs, rounds, batch)


def checkpoint(folder: Path) -> Path:
    """CLIP ViT-B/32 with both towers of its size, and words by letters."""
    model = random_clip(vocab_size=49408, **ENDS)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # so large that features of two photos differ
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0, 1 / math.sqrt(p[0].numel()), generator=generator)
        model.logit_scale.fill_(math.log(100))
    return save_clip(model, folder)


# ---- what each tuner takes


def costs(task: Task, scratch: Path, names: tuple[str, ...], batch: int) -> Iterator[str]:
    yield (
        "Memory is the peak while training, above the loaded encoder, in MB. Seconds are the "
        f"processor's for an epoch of {len(task[1])} photos in one view, after they were read. "
        "`ready` is the time from a delta's values to an encoder that has it, and back; each call "
        "then puts it in and takes it out.\n"
    )
    yield head(
        "tuner", "numbers", "share", "kB on disk", "s an epoch", "with checkpointing", "in bf16",
        "ready, ms", "in and out, ms", *(f"MB, {saving}" for saving in SAVINGS), left=1,
    )  # fmt: skip
    for name in names:
        forked(task, scratch, name, READ, batch)
        found = {saving: forked(task, scratch, name, saving, batch) for saving in SAVINGS}
        one, batches = found["as it is"], math.ceil(len(task[1]) / batch)
        times = (found[way]["step"] * batches for way in ("as it is", "checkpointing", "bf16"))
        yield row(
            name, f"{one['size']:,}", f"{one['share']:.3%}", f"{one['kept'] / 1e3:,.0f}",
            *(f"{spent:.1f}" for spent in times), f"{one['ready']:.1f}", f"{one['call']:.2f}",
            *(f"{each['memory'] / 1e6:.0f}" for each in found.values()),
        )  # fmt: skip


def forked(task: Task, scratch: Path, name: str, saving: str, batch: int) -> dict[str, float]:
    """One measurement in a process of its own, on the encoder that is loaded here."""
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=measured, args=(theirs, task, scratch, name, saving, batch))
    child.start()
    theirs.close()
    try:
        found: dict[str, float] = json.loads(ours.recv())
    except EOFError as error:
        raise SystemExit(f"{name}, {saving}: the measurement ended early") from error
    child.join()
    return found


class Steps:
    """Remembers how much the processor had worked at each step."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def on_start(self, settings: Any) -> None:
        """Nothing yet."""

    def on_step(self, step: int, losses: Any) -> None:
        """Now."""
        self.at.append(time.process_time())

    def on_end(self, report: Any) -> None:
        """Nothing more."""


def measured(out: Any, task: Task, scratch: Path, name: str, saving: str, batch: int) -> None:
    encoder, refs, labels, words = task
    tuners = [plugins.get("tuners", kind)(**params) for kind, params in TUNERS[name]]
    own = replace(tuners[0].recipe, views=1, augmentation="none")
    more = SAVINGS.get(saving, {"epochs": 0})
    recipe = replace(own, **{"epochs": 1, "batch": batch, **more})
    steps, loaded = Steps(), memory()
    with ActivationStore(scratch / "costs") as store:
        made = fit(
            tuners, encoder, refs[: 2 * batch], labels[: 2 * batch], words,
            recipe=recipe, store=store, callbacks=(steps,),
        )  # fmt: skip
    if saving == READ:
        out.send("{}")
        return
    deltas = made.encoder.deltas
    size = sum(delta.size for delta in deltas.values())
    ready, call = swapping(encoder, deltas)
    found = {
        "size": size,
        "share": size / (encoder.vision.size + encoder.text.size),
        "kept": sum(len(save(dict(delta.tensors))) for delta in deltas.values()),
        "step": statistics.median(b - a for a, b in zip(steps.at, steps.at[1:], strict=False)),
        "memory": made.report.peak_memory - loaded,
        "ready": 1000 * ready,
        "call": 1000 * call,
    }
    out.send(json.dumps(found))


def swapping(encoder: Tunable, deltas: Mapping[str, Delta]) -> tuple[float, float]:
    """Seconds of the processor: attach and detach by name, and in and out of a call."""
    ready, call = [], []
    for _ in range(5):
        started = time.process_time()
        tuned: Any = TunedEncoder(encoder, deltas)
        left = tuned
        for name in deltas:
            left = left.detach(name)
        ready.append(time.process_time() - started)
        if left is not encoder:
            raise SystemExit("all is detached, and it is not the encoder itself")
        started = time.process_time()
        with tuned.attached():
            pass
        call.append(time.process_time() - started)
    return statistics.median(ready), statistics.median(call)


# ---- kept activations against encoding anew


def kept_activations(
    task: Task, scratch: Path, epochs: int, rounds: int, batch: int
) -> Iterator[str]:
    encoder = task[0]
    count = len(encoder.vision.blocks)
    yield (
        f"{epochs} epochs, adapters in the upper blocks of both towers; seconds of the "
        "clock, of the processor in brackets. Where other work slows the clock, trust the ratio of "
        "the processor's: with one thread it is what the clock of an idle machine shows. Both read "
        "the photos anew; `training` is what a second training on the same photos takes, of the "
        "clock. The bound is what counting the image tower's blocks allows.\n"
    )
    yield (
        "| blocks | encoded anew | kept | ratio | of the processor | bound | training | "
        "first and last loss | largest difference of an epoch's loss |\n"
        "|---|---:|---:|---:|---:|---:|---:|---|---:|"
    )
    for first in (count - 2, count // 2):
        tuner = plugins.get("tuners", "block")(blocks=f"{first}-", dropout=0.0)
        recipe = Recipe(epochs=epochs, batch=batch)
        anew, kept, alone = [], [], []
        for turn in range(rounds):
            *spent, wanted = timed(partial(plain, *task, tuner, recipe))
            anew.append(spent)
            with ActivationStore(scratch / f"store-{first}-{turn}") as store:
                *spent, got = timed(partial(fit, [tuner], *task, recipe=recipe, store=store))
            kept.append(spent)
            alone.append(got.report.seconds)
        # blocks are counted forward and, above the first tuned one, backward
        tuned = count - first
        bound = (count + tuned - 1) / ((count - tuned) / epochs + 2 * tuned - 1)
        plainly, ours = ([statistics.median(x) for x in zip(*s, strict=True)] for s in (anew, kept))
        losses = got.report.losses
        gap = max(abs(a - b) for a, b in zip(wanted, losses, strict=True))
        yield row(
            f"{first}-{count - 1}", *(f"{wall:.1f} ({work:.1f})" for wall, work in (plainly, ours)),
            f"{plainly[0] / ours[0]:.2f}", f"**{plainly[1] / ours[1]:.2f}**", f"{bound:.2f}",
            f"{statistics.median(alone):.1f}", f"{wanted[0]:.3f}, {wanted[-1]:.3f}", f"{gap:.1e}",
        )  # fmt: skip


def plain(
    encoder: Tunable, refs: list[ImageRef], labels: list[str], words: Any, tuner: Tuner, how: Recipe
) -> list[float]:
    """Mean loss of each epoch of a loop as one writes it; frozen blocks record no gradient."""
    names = list(words.classes)
    pixels = encoder.pixels([encoder.prepare(data.decode(ref)) for ref in refs])["pixel_values"]
    targets = torch.tensor([names.index(label) for label in labels])
    tokens = encoder.tokens(words.texts)
    module = tuner.create_module(encoder, words.names, how.seed).train()
    large = [p for p in module.parameters() if p.ndim > 1]
    small = [p for p in module.parameters() if p.ndim < 2]
    groups = [{"params": large}, {"params": small, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, how.learning_rate, weight_decay=how.weight_decay)
    steps, step, means = how.steps(len(refs)), 0, []
    warm = round(how.warmup * steps)
    with tuner._attach(encoder, module):
        for epoch in range(how.epochs):
            order = torch.Generator().manual_seed(how.seed * 1_000_003 + epoch)
            total = 0.0
            for rows in torch.split(torch.randperm(len(refs), generator=order), how.batch):
                late = (step - warm) / max(1, steps - warm)
                factor = (step + 1) / warm if step < warm else (1 + math.cos(math.pi * late)) / 2
                for group in optimiser.param_groups:
                    group["lr"] = how.learning_rate * factor
                images = normalize(encoder.vision.forward({"pixel_values": pixels[rows]}), dim=-1)
                texts = normalize(encoder.text.forward(tokens), dim=-1)
                loss = cross_entropy(encoder.scale * images @ texts.T, targets[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total, step = total + float(loss.detach()) * len(rows), step + 1
            means.append(total / len(refs))
    return means
