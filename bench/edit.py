"""What it takes to change a skill, and how far the result is from a fit from nothing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import torch

from handful import plugins
from handful.contracts import Array, ClassText
from handful.packs import Pack
from handful.packs.support import Support
from handful.skills.edit.add_features import add_features
from handful.skills.edit.edited import Edited
from handful.skills.edit.merge import merge
from handful.skills.edit.refit import restate
from handful.skills.edit.remove import remove
from handful.skills.statements import state
from samples import StandIn, support_of, with_modality_gap
from tables import head, row, seconds, table, timed

METHODS = ("tip", "class_mean", "gda", "text_gda", "zero_shot", "ss_text", "linear", "tip_f")


@table(
    "edit", title="Changing a skill", seconds=120,
    classes=6, shots=4, repeats=1, methods=("tip", "gda"),
)  # fmt: skip
def edit(
    methods: tuple[str, ...] = METHODS,
    classes: int = 100,
    shots: int = 16,
    width: int = 512,
    repeats: int = 5,
    threads: int = 1,
) -> Iterator[str]:
    """A skill of all classes but the last learns it, forgets it, forgets one image, two are merged.

    Each result is compared with a fit of the same images from nothing: the largest difference of a
    logit on queries, over the largest logit. Everything that a change does is timed; nothing is
    encoded. "States" is what the commands do besides: finding out anew what the skill states of
    itself (`restate`).
    """
    torch.set_num_threads(threads)
    task = with_modality_gap(classes, shots, width)
    support = support_of(task.X, task.y, task.text)
    fit("tip", support)  # the first call of everything is slow
    yield head(
        "method", "add a class", "drop it", "remove an image", "merge halves", "states",
        "difference", left=1,
    )  # fmt: skip
    for method in methods:
        yield row(method, *measured(method, support, task.Q, repeats))
    yield (
        f"\n{classes} classes x {shots} x {width}, {threads} thread{'s' * (threads > 1)}, medians "
        f"of {repeats}; in brackets the fit alone. Difference: the largest of the four changes' "
        "logits from a fit from nothing, relative; 0 is bit for bit. Goal: a class added "
        "in less than 50 ms, and differences up to 1e-5."
    )


def measured(method: str, support: Support, queries: Array, repeats: int) -> list[str]:
    """Cells of a row."""
    count = len(support.text.classes)
    last = classes(support, count - 1, count)
    before, _ = fit(method, classes(support, 0, count - 1))
    whole, alone = fit(method, support)
    less, _ = fit(method, support.subset(np.arange(1, len(support.ids))))
    halves = [
        fit(method, classes(support, *ends))[0] for ends in ((0, count // 2), (count // 2, count))
    ]
    new = (last.features, last.labels, last.ids, last.names, last.text)
    cases = (
        (partial(add_features, before, *new), whole),
        (partial(edited, remove, whole, drop=last.text.classes), before),
        (partial(edited, remove, whole, [0]), less),
        (partial(edited, merge, *halves), whole),
    )
    cells, gaps = [], []
    for change, expected in cases:
        cells.append(f"{1000 * statistics.median(seconds(change, repeats)):.0f} ms")
        given, wanted = change().logits(queries), expected.logits(queries)
        gaps.append(float(np.abs(given - wanted).max() / np.abs(wanted).max()))
    cells[0] += f" ({1000 * alone:.0f})"
    return [*cells, f"{1000 * timed(lambda: restate(whole))[0]:.0f} ms", f"{max(gaps):.1g}"]


def edited(change: Callable[..., Edited], *skills: Any, **how: Any) -> Pack:
    """The new skill alone, without what it states of itself."""
    return change(*skills, statements=False, **how).pack


def fit(method: str, support: Support) -> tuple[Pack, float]:
    """A skill from nothing, and how long its adapter alone takes."""
    adapter = plugins.get("adapters", method)()
    labels = np.array(support.labels)
    spent, _, _ = timed(lambda: adapter.fit(support.features, labels, support.text))
    pack = Pack.of(
        adapter,
        support.text,
        StandIn(support.features.shape[1]),
        templates=["{}"],
        support_ids=support.ids,
        support=support,
        statements=state(adapter, support),
        training={"counts": support.counts},
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return pack, spent


def classes(support: Support, first: int, last: int) -> Support:
    """Classes `first` to `last` alone, with their images."""
    rows = np.flatnonzero((support.targets >= first) & (support.targets < last))
    text = support.text
    named = ClassText(text.embeddings[first:last], text.classes[first:last], text.scale)
    some = support.subset(rows)
    return Support(some.features, some.targets - first, named, some.ids, some.names)
