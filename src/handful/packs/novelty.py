"""The answer `unknown`: the entry `unknown` of a manifest, made, read and applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from handful.contracts import Array
from handful.errors import InputError, PackError
from handful.packs.format import Tensors
from handful.packs.novelty_words import LITTLE, above, cure, how, sources
from handful.packs.support import Support
from handful.selection import novelty, novelty_scorer
from handful.selection.novelty_signals import SIGNAL_NAMES, NoveltySignals

RATES = (0.01, 0.05, 0.1, 0.2)  # false-accept rates that the card reports
COST_RATES = (0.05, 0.1, 0.2)  # at which a skill states what it costs

_CHUNK = 1024  # images at once against all support images
_TOO_FEW = (
    "it has two classes and no photo of anything else; teach a third class, or put photos of "
    "something else into a folder 'background'"
)
_PARTS = ("middle", "spread", "weights", "left_out", "groups", "known", "reserved")
_WEIGHTS = {  # where images of a unit count as one together; missing: each image is one
    "left_out_weights": "left_out",
    "known_weights": "known",
    "reserved_weights": "reserved",
}


@dataclass(frozen=True, eq=False)
class Detector:
    """Detects images that show none of a skill's classes.

    Args:
        signals: numbers of an image that differ between familiar images and others.
        scorer: weights of the signals, and the scores of images that were left out.
    """

    signals: NoveltySignals
    scorer: novelty_scorer.NoveltyScorer

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
        `handful.selection.novelty_scorer.detection_errors`.
        """
        at = [rate for rate in RATES if rate >= self.smallest] or [above(self.smallest)]
        return novelty_scorer.detection_errors(self.rates(known), self.rates(unknown), at)

    def check(self, rate: float) -> None:
        """Refuse a false-accept rate that the support set is too small to promise.

        Raises:
            InputError: with the smallest rate, and what would make it smaller.
        """
        if not 0 < rate < 1:
            raise InputError(f"expected a false-accept rate between 0 and 1, got {rate}")
        if rate < self.smallest:
            raise InputError(
                f"cannot promise that at most {100 * rate:g} % of unknown photos are taken for "
                f"known ones: {sources(self.scorer)} promise {100 * self.smallest:.1f} % at best; "
                f"ask for {above(self.smallest):g} or more, or {cure(self.scorer, rate)}"
            )


def fit_detector(support: Support) -> Detector | None:
    """A detector fitted now; None where neither a class nor an image can be left out."""
    other = support.reserved
    found = novelty.fit_novelty_detector(
        *_tensors(support), units=support.units, reserved_units=other.units if other else None
    )
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
    smallest = learned.smallest_rate
    accepted = {rate: learned.accepted(rate) for rate in RATES if rate >= smallest}
    # the smallest rate too where it is above the first that people ask for
    costly = sorted({*(r for r in COST_RATES if r >= smallest), max(0.05, above(smallest))})
    statement = {
        "images": len(learned.left_out),
        "units": int(support.units.max()) + 1,
        "classes": len(np.unique(learned.groups)),
        "reserved": len(learned.reserved),
        "effective": round(learned.effective_count, 2),
        "smallest": round(smallest, 6),
        "accepted": {f"{rate:g}": _rounded(share) for rate, share in accepted.items()},
        "cost": {f"{rate:g}": _refused(learned.accepted(rate)) for rate in costly if rate < 1},
        "weights": {
            name: round(float(w), 4) for name, w in zip(SIGNAL_NAMES, learned.weights, strict=False)
        },
        "how": how(learned),
    }
    tensors = {f"unknown.{name}": getattr(learned, name) for name in _PARTS}
    for name in _WEIGHTS:
        weights = getattr(learned, name)
        if (weights < 1).any():
            tensors[f"unknown.{name}"] = weights
    return statement, tensors


def cost_in_words(manifest: Mapping[str, Any], rate: float) -> str:
    """What asking for unknowns costs: how many photos of the classes would be refused.

    "" where little is lost (less than a quarter), and where the skill does not state it. Between
    two rates that it states, the line through both.

    Args:
        manifest: of a skill; untrusted.
        rate: the false-accept rate that is asked for (`--unknown`).
    """
    entry = manifest.get("unknown")
    if not isinstance(entry, Mapping):
        return ""
    try:
        cost = {float(r): float(c) for r, c in dict(entry["cost"]).items()}
        reserved, smallest = int(entry["reserved"]), float(entry["smallest"])
    except (KeyError, TypeError, ValueError):  # not stated, or not known
        return ""
    stated = sorted(r for r in cost if 0 < r < 1 and 0 <= cost[r] <= 1)
    if not stated:
        return ""
    first = ""
    if rate < smallest:
        first = f"so few photos cannot promise --unknown {rate:g}; "
        rate = stated[0]
    if not stated[0] <= rate <= stated[-1]:
        return ""
    lost = float(np.interp(rate, stated, [cost[r] for r in stated]))
    if lost < LITTLE:
        return ""
    better = (
        "more photos in the folder background/, or a higher rate, make it better"
        if reserved
        else "a folder background/ with photos of none of the classes makes it better"
    )
    return (
        f"{first}at --unknown {rate:g} this skill would refuse {100 * lost:.0f} % of photos like "
        f"its own; {better}"
    )


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
        parts: dict[str, Any] = {n: np.asarray(tensors[f"unknown.{n}"]) for n in _PARTS}
    except KeyError as error:
        raise PackError(f"{where}: the tensor {error} is missing; teach the skill again") from error
    for name, of in _WEIGHTS.items():
        weights = tensors.get(f"unknown.{name}")
        if weights is not None and (weights.shape != parts[of].shape or not (weights > 0).all()):
            raise PackError(f"{where}: the tensor unknown.{name} does not fit; teach it again")
        parts[name] = weights
    learned = novelty_scorer.NoveltyScorer(**parts)
    signals = len(SIGNAL_NAMES) - (support.reserved is None)
    sizes = {parts[name].shape for name in ("middle", "spread", "weights")}
    if sizes != {(signals,)} or parts["groups"].shape != parts["left_out"].shape:
        raise PackError(f"{where}: its tensors unknown.* do not fit; teach the skill again")
    return Detector(NoveltySignals.of(*_tensors(support)), learned)


def _tensors(support: Support) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
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


def _refused(accepted: float | None) -> float | None:
    return None if accepted is None else _rounded(1 - accepted)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
