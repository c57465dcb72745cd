"""The tables of `bench/tuners.py`, from what its journal has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from handful import encoders, metrics
from handful.data import playground

Key = tuple[str, str, int]  # method, task, seed
Found = Mapping[Key, Mapping[str, Any]]
FROZEN = "frozen"
SHOWN = ("zero_shot", "auto", "clip_adapter", "linear", "tip_f")
NAMES = {"block+soft_prompt": "prompt + adapter (`block` with `soft_prompt`)"}


def page(found: Found, methods: Sequence[str]) -> str:
    """Markdown."""
    draws = sorted({key[1:] for key in found if all((m, *key[1:]) in found for m in methods)})
    if not draws:
        return "No draw has been measured with every tuner yet.\n"
    shown = {f: [d for d in draws if d[0].startswith(f)] for f in playground.FAMILIES}
    shown = {f: d for f, d in shown.items() if d}
    lines = [*_told(draws, shown), "", *_accuracy(found, methods, shown), ""]
    lines += [*_gain(found, methods, shown), "", *_costs(found, methods, draws)]
    return "\n".join(lines) + "\n"


def _told(draws: Sequence[tuple[str, int]], shown: Mapping[str, Any]) -> Iterator[str]:
    names = sorted({task for task, _ in draws})
    yield (
        f"`tiny`, 16 shots a class, 20 test images a class; {len(names)} tasks, {len(draws)} draws "
        f"({', '.join(f'{f} {len(d)}' for f, d in shown.items())}): {', '.join(names)}. Every "
        "tuner has its default recipe, which was chosen on other draws. Accuracy in percent with "
        "the 95 % interval of the mean over (task, seed) draws (Student's t); the spread between "
        "tasks is in it, so compare methods by the paired differences of the second table."
    )


def _accuracy(found: Found, methods: Sequence[str], shown: Mapping[str, Any]) -> Iterator[str]:
    yield "| features | head | " + " | ".join(shown) + " |"
    yield "|---|---|" + "---:|" * len(shown)
    for head in SHOWN:
        cells = [_mean(_column(found, FROZEN, head, draws)) for draws in shown.values()]
        yield f"| frozen | `{head}` | " + " | ".join(cells) + " |"
    best = [_best(found, draws) for draws in shown.values()]
    cells = [
        f"{_mean(_column(found, FROZEN, head, draws))} (`{head}`)"
        for head, draws in zip(best, shown.values(), strict=True)
    ]
    yield "| frozen | best of all heads, seen on these test images | " + " | ".join(cells) + " |"
    for method in methods:
        for head in () if method == FROZEN else ("zero_shot", "auto"):
            cells = [_mean(_column(found, method, head, draws)) for draws in shown.values()]
            told = "text alone" if head == "zero_shot" else "`auto`"
            yield f"| {_name(method)} | {told} | " + " | ".join(cells) + " |"


def _gain(found: Found, methods: Sequence[str], shown: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "Paired differences in points, tuned features with `auto` minus frozen features with the "
        "head named; the best head of a family is chosen with the test images in hand, in its "
        "favour. An interval that leaves out 0 is a difference."
    )
    yield ""
    yield "| tuner | against | " + " | ".join(shown) + " |"
    yield "|---|---|" + "---:|" * len(shown)
    for method in methods:
        if method == FROZEN:
            continue
        for told in ("zero-shot", "`auto`", "best head"):
            cells = []
            for draws in shown.values():
                other = {"zero-shot": "zero_shot", "`auto`": "auto"}.get(told)
                head = other or _best(found, draws)
                tuned = _column(found, method, "auto", draws)
                plain = _column(found, FROZEN, head, draws)
                cells.append(_mean([a - b for a, b in zip(tuned, plain, strict=True)], "+.1f"))
            yield f"| {_name(method)} | {told} | " + " | ".join(cells) + " |"


def _costs(found: Found, methods: Sequence[str], draws: Sequence[Any]) -> Iterator[str]:
    model = encoders.load("tiny", precision="float32").model  # type: ignore[attr-defined]
    whole = sum(p.numel() for p in model.parameters())
    yield (
        "What it costs. Seconds: processor time on one thread, views and what is computed once "
        "included, median. Memory: how much the process grew while training, one training in a "
        "fresh process. Forgetting: zero-shot accuracy of the tuned encoder on what `tiny` knew "
        "before, 59 held-out compositions under their names (docs/tiny.md), with hand-written "
        "prompts."
    )
    yield ""
    yield "| tuner | learned numbers | share of the encoder, % | seconds | memory, MB | known, % |"
    yield "|---|---:|---:|---:|---:|---:|"
    for method in methods:
        rows = [found[(method, *d)] for d in draws]
        known = _mean([r["known"] for r in rows]) if method != FROZEN else f"{rows[0]['known']:.1f}"
        if method == FROZEN:
            yield f"| none | 0 | 0 | 0 | | {known} |"
            continue
        sizes = sorted({r["parameters"] for r in rows})
        told = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        share = f"{100 * sizes[-1] / whole:.2f}"
        alone = [r["peak"] for k, r in found.items() if k[0] == method and r.get("alone")]
        memory = f"{alone[0] / 2**20:.0f}" if alone else ""
        seconds = f"{median(r['seconds'] for r in rows):.1f}"
        size = told.replace(",", " ")
        yield f"| {_name(method)} | {size} | {share} | {seconds} | {memory} | {known} |"


def _column(found: Found, method: str, head: str, draws: Sequence[Any]) -> list[float]:
    return [found[(method, *d)]["accuracy"][head] for d in draws]


def _best(found: Found, draws: Sequence[Any]) -> str:
    """The single head that is best on average, `auto` aside, which is none of its own."""
    heads: list[str] = [h for h in found[(FROZEN, *draws[0])]["accuracy"] if h != "auto"]
    return max(heads, key=lambda h: sum(_column(found, FROZEN, h, draws)))


def _mean(values: Sequence[float], form: str = ".1f") -> str:
    middle, half = metrics.mean_interval(values)
    return f"{middle:{form}}" + ("" if math.isnan(half) else f" ± {half:.1f}")


def _name(method: str) -> str:
    return NAMES.get(method, f"`{method}`")
