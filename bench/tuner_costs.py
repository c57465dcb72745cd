"""What tuning the inside of an encoder costs: a CLIP as large as ViT-B/32, of random weights.

Usage: python bench/tuner_costs.py [--shots 16] [--classes 20] [--epochs 10] [--rounds 1] [--part]

First, training on kept activations against a plain loop that decodes the photos once, keeps their
pixels and encodes them in every epoch, with the same kernels, the same order of the photos and the
same start; dropout is off so that losses can be compared. Then what each tuner takes: numbers,
memory, time. Every measurement of memory is a process of its own. Weights do not matter for cost.
Set OMP_NUM_THREADS=1 on a busy machine and look at the processor time.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import save
from torch.nn.functional import cross_entropy, normalize

from encode import photos
from handful import data, encoders, plugins
from handful.contracts import ImageRef
from handful.encoders import prompts
from handful.encoders.backends._libraries import transformers
from handful.encoders.towers import Tunable
from handful.features.store import ActivationStore
from handful.tuners import Delta, Recipe, TunedEncoder, Tuner, fit

BATCH = 32
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--part", choices=["epochs", "costs"], help="only one of the two tables")
    options = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        folder = photos(scratch / "photos", options.shots * options.classes, 0.2)
        refs = [ImageRef.of(file) for file in sorted(folder.iterdir())]
        encoder = encoders.load(str(checkpoint(scratch / "model")), precision="float32")
        names = [f"kind {chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(options.classes)]
        words = prompts.write(names, ["a photo of a {}."])
        labels = [names[i % len(names)] for i in range(len(refs))]
        task = (encoder, refs, labels, words)
        print(
            f"{options.shots} shots x {options.classes} classes, batches of {BATCH}, float32, "
            f"{torch.get_num_threads()} thread(s); encoder of "
            f"{(encoder.vision.size + encoder.text.size) / 1e6:.1f} million numbers\n"
        )
        if options.part != "epochs":
            costs(task, scratch)
        if options.part != "costs":
            epochs(task, scratch, options)


def checkpoint(folder: Path) -> Path:
    """CLIP ViT-B/32 with both towers of its size, and words by letters."""
    letters = "abcdefghijklmnopqrstuvwxyz. "
    tokens = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    n = len(tokens)
    text = {"vocab_size": 49408, "bos_token_id": n - 2, "eos_token_id": n - 1}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text))
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():  # so large that features of two photos differ
        for p in model.parameters():
            if p.ndim > 1:
                p.normal_(0, 1 / math.sqrt(p[0].numel()), generator=draw)
        model.logit_scale.fill_(math.log(100))
    model.save_pretrained(folder)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    transformers.CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
    return folder


# ---- kept activations against encoding anew


def epochs(task: tuple[Any, ...], scratch: Path, options: argparse.Namespace) -> None:
    """The table of the trick that makes it fast."""
    encoder = task[0]
    count = len(encoder.vision.blocks)
    print(
        f"{options.epochs} epochs, adapters in the upper blocks of both towers; seconds of the "
        "clock, of the processor in brackets. Where other work slows the clock, trust the ratio of "
        "the processor's: with one thread it is what the clock of an idle machine shows. Both read "
        "the photos anew; `training` is what a second training on the same photos takes, of the "
        "clock. The bound is what counting the image tower's blocks allows.\n"
    )
    print(
        "| blocks | encoded anew | kept | ratio | of the processor | bound | training | "
        "first and last loss | largest difference of an epoch's loss |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---|---:|")
    for first in (count - 2, count // 2):
        tuner = plugins.get("tuners", "block")(blocks=f"{first}-", dropout=0.0)
        recipe = Recipe(epochs=options.epochs, batch=BATCH)
        spent: dict[str, list[tuple[float, float]]] = {"anew": [], "kept": []}
        alone = []
        for turn in range(options.rounds):
            wanted, seconds = timed(partial(plain, *task, tuner, recipe))
            spent["anew"].append(seconds)
            with ActivationStore(scratch / f"store-{first}-{turn}") as store:
                got, seconds = timed(partial(fit, [tuner], *task, recipe=recipe, store=store))
            spent["kept"].append(seconds)
            alone.append(got.report.seconds)
        line = row(first, count, options.epochs, spent, alone, wanted, got.report.losses)
        print(line, flush=True)


def row(
    first: int,
    count: int,
    epochs: int,
    spent: Mapping[str, list[tuple[float, float]]],
    alone: list[float],
    wanted: list[float],
    got: list[float],
) -> str:
    """One line of the table; the bound counts blocks forward and, above the first, backward."""
    tuned = count - first
    bound = (count + tuned - 1) / ((count - tuned) / epochs + 2 * tuned - 1)
    wall, work = ({k: statistics.median(x[i] for x in v) for k, v in spent.items()} for i in (0, 1))
    told = {k: f"{wall[k]:.1f} ({work[k]:.1f})" for k in spent}
    gap = max(abs(a - b) for a, b in zip(wanted, got, strict=True))
    return (
        f"| {first}-{count - 1} | {told['anew']} | {told['kept']} | "
        f"{wall['anew'] / wall['kept']:.2f} | **{work['anew'] / work['kept']:.2f}** | {bound:.2f} "
        f"| {statistics.median(alone):.1f} | "
        f"{wanted[0]:.3f}, {wanted[-1]:.3f} | {gap:.1e} |"
    )


def timed(run: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """What it gives; seconds of the clock and of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    found = run()
    return found, (time.perf_counter() - started, time.process_time() - worked)


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
                seen = normalize(encoder.vision.forward({"pixel_values": pixels[rows]}), dim=-1)
                said = normalize(encoder.text.forward(tokens), dim=-1)
                loss = cross_entropy(encoder.scale * seen @ said.T, targets[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total, step = total + float(loss.detach()) * len(rows), step + 1
            means.append(total / len(refs))
    return means


# ---- what each tuner takes


def costs(task: tuple[Any, ...], scratch: Path) -> None:
    """The table of tuners."""
    print(
        "Memory is the peak while training, above the loaded encoder, in MB. Seconds are the "
        f"processor's for an epoch of {len(task[1])} photos in one view, after they were read. "
        "`ready` is the time from a delta's values to an encoder that has it, and back; each call "
        "then puts it in and takes it out.\n"
    )
    shown = " | ".join(f"MB, {name}" for name in SAVINGS)
    print(
        "| tuner | numbers | share | kB on disk | s an epoch | with checkpointing | in bf16 | "
        f"ready, ms | in and out, ms | {shown} |"
    )
    print("|---" + "|---:" * (8 + len(SAVINGS)) + "|")
    for name in TUNERS:
        apart(task, scratch, name, READ)
        found = {saving: apart(task, scratch, name, saving) for saving in SAVINGS}
        one, batches = found["as it is"], math.ceil(len(task[1]) / BATCH)
        ways = ("as it is", "checkpointing", "bf16")
        times = " | ".join(f"{found[way]['step'] * batches:.1f}" for way in ways)
        memory = " | ".join(f"{each['memory'] / 1e6:.0f}" for each in found.values())
        print(
            f"| {name} | {one['size']:,} | {one['share']:.3%} | {one['kept'] / 1e3:,.0f} | "
            f"{times} | {one['ready']:.1f} | {one['call']:.2f} | {memory} |",
            flush=True,
        )


def apart(task: tuple[Any, ...], scratch: Path, name: str, saving: str) -> dict[str, float]:
    """One measurement in a process of its own, on the encoder that is loaded here."""
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_measured, args=(theirs, task, scratch, name, saving))
    child.start()
    theirs.close()
    try:
        found: dict[str, float] = json.loads(ours.recv())
    except EOFError as error:
        raise SystemExit(f"{name}, {saving}: the measurement ended early") from error
    child.join()
    return found


class _Steps:
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


def _measured(out: Any, task: tuple[Any, ...], scratch: Path, name: str, saving: str) -> None:
    encoder, refs, labels, words = task
    tuners = [plugins.get("tuners", kind)(**params) for kind, params in TUNERS[name]]
    own = replace(tuners[0].recipe, views=1, augmentation="none")
    more = SAVINGS.get(saving, {"epochs": 0})
    recipe = replace(own, **{"epochs": 1, "batch": BATCH, **more})
    steps, loaded = _Steps(), resident()
    with ActivationStore(scratch / "costs") as store:
        made = fit(
            tuners, encoder, refs[: 2 * BATCH], labels[: 2 * BATCH], words,
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


def resident() -> int:
    """Bytes that the process holds now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith("VmRSS:"))


if __name__ == "__main__":
    main()
