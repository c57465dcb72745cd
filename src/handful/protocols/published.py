"""Published rows beside our own: the same protocol, encoder and data sets, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handful.errors import InputError
from handful.protocols.anchors import Anchor, anchors
from handful.protocols.tables import Grid

_NAMES = {
    "few-shot": "few-shot all-to-all",
    "ablation": "few-shot all-to-all",
    "base-to-new": "base-to-new",
    "cross": "cross-data-set",
    "domain": "domain generalisation",
}
_ELEVEN = frozenset(
    {"imagenet", "caltech101", "oxfordpets", "stanfordcars", "oxfordflowers", "food101"}
    | {"fgvcaircraft", "sun397", "dtd", "eurosat", "ucf101"}
)
_VARIANTS = frozenset({"imagenetv2", "imagenetsketch", "imageneta", "imagenetr"})
_ALSO = {"describabletextures": "dtd", "imagenetadversarial": "imageneta"}
_ALSO |= {"imagenetrendition": "imagenetr"}
_ENCODER = re.compile(r"vit[-_/ ]?(?:b|base)[-_/ ]?(?:patch)?[-_/ ]?(16|32)\b|\b(rn(?:50|101))\b")
HERE, ELSEWHERE = "the same data", "other data sets, for orientation only"


@dataclass(frozen=True)
class Published:
    """One published method, its numbers under our columns; "" where there is none."""

    anchor: Anchor
    cells: tuple[str, ...]
    where: str = HERE

    @property
    def kind(self) -> str:
        """The heading above rows like this one."""
        if self.anchor.semantics == "inductive":
            return self.where
        return f"{self.where}; these learned from the test images, without labels"

    @property
    def label(self) -> str:
        """The method, marked where its number comes from a leaky protocol."""
        kind = self.anchor.semantics
        mark = "" if kind == "inductive" else f" ({kind})"
        return f"{self.anchor.method}{mark}{' †' * self.anchor.leaky}"


def encoder_of(name: str) -> str:
    """What the field calls an encoder, such as `ViT-B/32`; "" for one it has not published on.

    >>> encoder_of("openai/clip-vit-base-patch32"), encoder_of("tiny")
    ('ViT-B/32', '')
    """
    found = _ENCODER.search(name.casefold())
    # of these shapes only OpenAI's weights are in the tables
    other = re.search(r"laion|siglip|datacomp|dfn|metaclip|eva|streetclip|geo", name.casefold())
    if found is None or other:
        return ""
    return f"ViT-B/{found[1]}" if found[1] else found[2].upper()


def checked(encoder: str) -> str:
    """The name as the tables have it.

    Raises:
        InputError: nothing is published on it here.
    """
    known = sorted({a.encoder for a in anchors()})
    found = encoder if encoder in known else encoder_of(encoder)
    if found in known:
        return found
    raise InputError(
        f"--anchors {encoder!r}: no published numbers of this encoder are kept here; there are "
        f"those of {', '.join(known)}"
    )


def beside(
    protocol: str, grid: Grid, encoder: str, *, elsewhere: bool = False
) -> tuple[Published, ...]:
    """The published rows that belong to a table, the best last.

    Args:
        protocol: our name of it.
        grid: our table.
        encoder: the field's name of our encoder.
        elsewhere: where nothing is published on this data, take the averages over the field's
            own; they are marked.
    """
    rows = anchors(_NAMES[protocol], encoder) if encoder else ()
    if protocol == "base-to-new":
        # the field prints base-to-new at 16 shots alone
        return _halves(grid, rows, elsewhere) if grid.shots == 16 else ()
    if protocol in ("cross", "domain"):
        return _targets(grid, rows)
    return _by_shots(grid, rows, elsewhere)


def _by_shots(grid: Grid, rows: Sequence[Anchor], elsewhere: bool) -> tuple[Published, ...]:
    wanted = _averaged(grid.tasks) if len(grid.tasks) > 1 else canonical(grid.tasks[0])
    here = [a for a in rows if canonical(a.data_set) == canonical(wanted)]
    where = HERE if here else ELSEWHERE
    if not here and elsewhere:
        here = [a for a in rows if a.data_set == "average of 11"]
    keys = [column.split()[0] for column in grid.columns]
    found = [Published(a, tuple(_number(_at(a, k)) for k in keys), where) for a in here]
    return _sorted(found)


def _halves(grid: Grid, rows: Sequence[Anchor], elsewhere: bool) -> tuple[Published, ...]:
    """They print the harmonic mean of the averages."""
    same = len(grid.tasks) > 1 and _averaged(grid.tasks) == "average of 11"
    if not (same or elsewhere):
        return ()
    keys = ("base", "new", "", "harmonic mean")
    found = [a for a in rows if a.data_set == "average of 11"]
    where = HERE if same else ELSEWHERE
    return _sorted(
        [Published(a, tuple(_number(a.accuracy.get(k)) for k in keys), where) for a in found]
    )


def _targets(grid: Grid, rows: Sequence[Anchor]) -> tuple[Published, ...]:
    """One row a method, a column a data set."""
    names = [canonical(c.removesuffix(" (taught)")) for c in grid.columns]
    if names[0] != "imagenet":
        return ()
    targets = frozenset(n for n in names[1:] if n != canonical("mean of the others"))
    # CoCoOp's ten targets and CoOp's four variants, the only averages that are published
    mean = {_ELEVEN - {"imagenet"}: "average of 10", _VARIANTS: "average of 4 ImageNet variants"}
    last = mean.get(targets, "")
    columns = [canonical(last) if n == canonical("mean of the others") else n for n in names]
    methods: dict[tuple[str, str], dict[str, Anchor]] = {}
    for a in rows:
        if _at(a, str(grid.shots)) is not None:
            methods.setdefault((a.method, a.source), {})[canonical(a.data_set)] = a
    found = []
    for own in methods.values():
        values = [_at(own[c], str(grid.shots)) if c in own else None for c in columns]
        if any(v is not None for v in values):
            found.append(Published(next(iter(own.values())), tuple(map(_number, values))))
    return _sorted(found)


def apart(rows: Sequence[Published]) -> list[tuple[Published, ...]]:
    """The inductive rows, then those that learned from all test images; none is empty."""
    inductive = tuple(row for row in rows if row.anchor.semantics == "inductive")
    others = tuple(row for row in rows if row.anchor.semantics != "inductive")
    return [block for block in (inductive, others) if block]


def canonical(name: str) -> str:
    """A data set's name in a normal form, to compare spellings.

    >>> canonical("EuroSAT"), canonical("imagenet-adversarial"), canonical("oxford_pets")
    ('eurosat', 'imageneta', 'oxfordpets')
    """
    plain = "".join(c for c in name.casefold() if c.isalnum())
    return _ALSO.get(plain, plain)


def _averaged(tasks: Sequence[str]) -> str:
    return "average of 11" if {canonical(t) for t in tasks} == _ELEVEN else "no such average"


def _at(anchor: Anchor, shots: str) -> float | None:
    """At a shot count; a method that needs none has one number for all."""
    accuracy: Mapping[str, float] = anchor.accuracy
    return accuracy.get(shots, accuracy.get("0"))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _sorted(rows: Sequence[Published]) -> tuple[Published, ...]:
    filled = [row for row in rows if any(row.cells)]
    # by the last number that they have: the mean, or that of the most shots
    return tuple(sorted(filled, key=lambda row: float(next(c for c in row.cells[::-1] if c))))
