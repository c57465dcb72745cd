"""The answer `unknown`: the entry `unknown` of a manifest, made, read and applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from handful.contracts import Array
from handful.errors import InputError, PackError
from handful.packs.format import Tensors
from handful.packs.support import Support
from handful.selection import novelty
from handful.selection.novelty_signals import SIGNAL_NAMES, NoveltySignals

RATES = (0.01, 0.05, 0.1, 0.2)  # false-accept rates that the card reports

_CHUNK = 1024  # images at once against all support images
_TOO_FEW = (
    "too few classes: leaving one of two out leaves nothing to tell apart; teach a third class, "
    "or give images of something else in a folder 'background'"
)
_PARTS = ("middle", "spread", "weights", "left_out", "groups", "known", "reserved")


@dataclass(frozen=True, eq=False)
class Detector:
    """Detects images that show none of a skill's classes.

    Args:
        signals: numbers of an image that differ between familiar images and others.
        scorer: weights of the signals, and the scores of images that were left out.
    """

    signals: NoveltySignals
    scorer: novelty.NoveltyScorer

    @property
    def smallest(self) -> float:
        """The smallest false-accept rate that can be promised."""
        return self.scorer.smallest_rate

    def rates(self, X: Array) -> NDArray[np.float64]:
        """`[M, D]` features to `[M]` shares of unknown images that look as familiar, or more so."""
        parts = [self.signals(rows) for rows in torch.split(_rows(X), _CHUNK)]
        return self.scorer.rates(self.scorer.scores(np.concatenate(parts)))

    def measure(self, known: Array, unknown: Array) -> dict[str, Any]:
        """False accepts and rejects on features of images with and without a class.

        At the rates of `RATES` that can be promised, or at the smallest; see
        `handful.selection.novelty.detection_errors`.
        """
        at = [rate for rate in RATES if rate >= self.smallest] or [_above(self.smallest)]
        return novelty.detection_errors(self.rates(known), self.rates(unknown), at)

    def check(self, rate: float) -> None:
        """Refuse a false-accept rate that the support set is too small to promise.

        Raises:
            InputError: with the smallest rate, and what would make it smaller.
        """
        if not 0 < rate < 1:
            raise InputError(f"expected a false-accept rate between 0 and 1, got {rate}")
        if rate < self.smallest:
            raise InputError(
                f"cannot promise that at most {100 * rate:g} % of unknown images are taken for "
                f"known ones: {_sources(self.scorer)} promise {100 * self.smallest:.1f} % at best; "
                f"ask for {_above(self.smallest):g} or more, or teach more classes, more images, "
                "or images of something else in a folder 'background'"
            )


def fit_detector(support: Support) -> Detector | None:
    """A detector fitted now; None where neither a class nor an image can be left out."""
    found = novelty.fit_novelty_detector(*_tensors(support))
    return Detector(*found) if found else None


def fit(support: Support) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What a skill states about unknown images, and the tensors for it.

    Args:
        support: the support set, with reserved images where there are any.
    """
    found = fit_detector(support)
    if found is None:
        return {"cannot": _TOO_FEW}, {}
    learned = found.scorer
    scores = learned.rates(learned.known)
    statement = {
        "images": len(learned.left_out),
        "classes": len(np.unique(learned.groups)),
        "reserved": len(learned.reserved),
        "effective": round(learned.effective_count, 2),
        "smallest": round(learned.smallest_rate, 6),
        "accepted": {
            f"{rate:g}": round(float((scores <= rate).mean()), 4) if len(scores) else None
            for rate in RATES
            if rate >= learned.smallest_rate
        },
        "weights": {
            name: round(float(w), 4) for name, w in zip(SIGNAL_NAMES, learned.weights, strict=False)
        },
        "how": _how(learned),
    }
    return statement, {f"unknown.{name}": getattr(learned, name) for name in _PARTS}


def read(
    manifest: Mapping[str, Any], tensors: Tensors, support: Support | None, where: str
) -> Detector:
    """The detector that a skill holds.

    Raises:
        InputError: it has nothing of the kind, and why.
        PackError: its parts do not fit one another.
    """
    if support is None:
        raise InputError(
            f"{where}: cannot say 'unknown': it was made before skills learned to, or without its "
            "support set; teach it again"
        )
    statement = manifest.get("unknown")
    if not isinstance(statement, Mapping):  # taught again, or made before: learned now
        found = fit_detector(support)
        if found is None:
            raise InputError(f"{where}: cannot say 'unknown': {_TOO_FEW}")
        return found
    if "cannot" in statement:
        raise InputError(f"{where}: cannot say 'unknown': {statement['cannot']}")
    try:
        parts = {name: np.asarray(tensors[f"unknown.{name}"]) for name in _PARTS}
    except KeyError as error:
        raise PackError(f"{where}: the tensor {error} is missing; teach the skill again") from error
    learned = novelty.NoveltyScorer(**parts)
    signals = len(SIGNAL_NAMES) - (support.reserved is None)
    sizes = {parts[name].shape for name in ("middle", "spread", "weights")}
    if sizes != {(signals,)} or parts["groups"].shape != parts["left_out"].shape:
        raise PackError(f"{where}: its tensors unknown.* do not fit; teach the skill again")
    return Detector(NoveltySignals.of(*_tensors(support)), learned)


def card_section(manifest: Mapping[str, Any], cell: Callable[[Any], str]) -> str:
    """The section of a card about it; "" where the skill states nothing that we understand.

    Args:
        manifest: of the skill.
        cell: escapes untrusted text for markdown.
    """
    statement = manifest.get("unknown")
    if not isinstance(statement, Mapping):
        return ""
    head = "## When it does not know\n"
    if "cannot" in statement:
        why = cell(statement["cannot"])
        return "\n".join([head, f"It cannot tell photos that show none of its classes: {why}.", ""])
    try:
        accepted = dict(statement["accepted"])
        rows = [
            f"| {100 * float(rate):g} | "
            + ("not known" if share is None else f"{100 * float(share):.0f}")
            + " |"
            for rate, share in accepted.items()
        ]
        worth = (
            f"Learned from {int(statement['images'])} images whose class was left out and "
            f"{int(statement['reserved'])} of something else; what rates come from is worth "
            f"{float(statement['effective']):.0f} that have nothing in common. The smallest "
            f"false-accept rate that they can promise is {100 * float(statement['smallest']):.1f} "
            f"%. How: {cell(statement['how'])}. For one kind of thing the share can be well "
            "above or below."
        )
    except (KeyError, TypeError, ValueError):  # of another version, or made by hand
        return ""
    table = [
        "| photos of something else taken for a class, at most, % | support photos kept, % |",
        "|---:|---:|",
        *rows,
        "",
    ]
    use = "`handful predict SKILL photo.jpg --unknown 0.05` answers `unknown` instead of guessing."
    return "\n".join([head, use, "", worth, "", *(table if rows else [])])


def _tensors(support: Support) -> tuple[torch.Tensor, ...]:
    other = support.reserved
    width = support.features.shape[1]
    return (
        _rows(support.features),
        torch.from_numpy(np.asarray(support.targets, dtype=np.int64)),
        torch.from_numpy(support.text.weights),
        torch.zeros(0, width) if other is None else _rows(other.features),
    )


def _rows(X: Array) -> torch.Tensor:
    return normalize(torch.from_numpy(np.ascontiguousarray(X, dtype=np.float32)), dim=1)


def _how(learned: novelty.NoveltyScorer) -> str:
    taken = "each class in turn was left out and its images taken as unknown"
    if not len(learned.left_out):
        taken = "with fewer than three classes only the reserved images were taken as unknown"
    elif learned.uses_reserved:
        taken += ", as the reserved images were, and rates are over the reserved ones"
    if not len(learned.known):
        taken += (
            "; with one image a class no image can be left out of its class, so the weights are "
            "fixed ones and nothing is known of the share of known images that are accepted"
        )
    such = "images" if learned.uses_reserved else "classes"
    return f"from the support set alone: {taken}; rates hold on average over such {such}"


def _sources(learned: novelty.NoveltyScorer) -> str:
    if learned.uses_reserved:
        return f"{len(learned.reserved)} reserved images"
    classes = len(np.unique(learned.groups))
    also = f" and {len(learned.reserved)} reserved images" if len(learned.reserved) else ""
    return (
        f"{len(learned.left_out)} images of {classes} classes{also}, worth "
        f"{learned.effective_count:.0f} images that have nothing in common,"
    )


def _above(rate: float) -> float:
    return float(np.ceil(1000 * rate) / 1000)
