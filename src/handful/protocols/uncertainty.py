"""How far a mean over draws can be trusted: by the spread of the draws and of the test images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist

import numpy as np

from handful.metrics import CrossedVariance, crossed_variance, wilson_interval
from handful.protocols.correctness import Correctness
from handful.protocols.runner import Score

Weighted = tuple[float, Score]  # what a point of the score adds to the value of its draw


def weighted(scores: Sequence[Score], weight: float = 1.0) -> list[Weighted]:
    """Scores as parts of the mean over those of their draw."""
    seeds = [s.seed for s in scores]
    return [(weight / seeds.count(s.seed), s) for s in scores]


def variance(
    by_seed: Mapping[int, float], parts: Sequence[Weighted], *, share: bool = False
) -> CrossedVariance:
    """Of the mean over draws, in squared points.

    Args:
        by_seed: the value of each draw.
        parts: the scores of which it is made; their answers are used where all have them.
        share: whether it is a mean of shares, so that all right does not mean that nothing
            varies: it then has the width of Wilson's interval.
    """
    seeds = sorted(by_seed)
    values = [by_seed[n] for n in seeds]
    known = [(w, s, s.answers) for w, s in parts if s.answers is not None and s.seed in by_seed]
    if not parts or len(known) < len(parts):
        return crossed_variance(values)
    influences, least = [], []
    for source in dict.fromkeys(a.source for _, _, a in known):
        own = [part for part in known if part[2].source == source]
        influences.append(_influence(own, seeds))
        constant = share and len({s.accuracy for _, s, _ in own} | {0.0, 100.0}) == 2
        weight = sum(w for w, _, _ in own) / len(seeds)
        least.append(_wilson(weight, influences[-1].shape[1]) if constant else 0.0)
    return crossed_variance(values, influences, least)


def _influence(
    parts: Sequence[tuple[float, Score, Correctness]], seeds: Sequence[int]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """`[S, U]` points that each unit adds to the value of each draw; U units with an image."""
    count = 1 + max(int(answers.units.max()) for _, _, answers in parts)
    result = np.zeros((len(seeds), count))
    asked = np.zeros(count, dtype=bool)
    for weight, score, answers in parts:
        right = answers.right
        apart = 100 * weight * (right - right.mean()) / len(right)
        result[seeds.index(score.seed)] += np.bincount(answers.units, apart, minlength=count)
        asked[answers.units] = True
    return result[:, asked]


def _wilson(weight: float, units: int) -> float:
    """Variance, in squared points, of as wide an interval as that of `units` images all right."""
    low, high = wilson_interval(units, units)
    return float((100 * weight * (high - low) / 2 / NormalDist().inv_cdf(0.975)) ** 2)


def in_words(scores: Iterable[Score]) -> str:
    """What the intervals of these scores cover: a sentence."""
    every = list(scores)
    several = len({s.seed for s in every}) > 1
    images = all(s.answers is not None for s in every)
    grouped = any(s.answers is not None and _together(s.answers) for s in every)
    if any(s.answers is not None and len(np.unique(s.answers.units)) < 2 for s in every):
        return "All test images of a data set are one group, of whose like nothing is known: no ±."
    half = "± is half of the 95 % interval"
    once = "; images of one group, or copies, count once" * grouped
    if several and images:
        return f"{half}: what other draws and other test images would change{once}."
    if several and any(s.answers is not None for s in every):
        return (
            f"{half}: what other draws and other test images would change{once}; of results that "
            "an older journal holds, other draws alone."
        )
    if several:
        return f"{half}: what other draws would change, not what other test images would."
    if images:
        return f"{half}: what other test images would change, not what other draws would{once}."
    return "One draw, so nothing is known of the spread: no interval is given."


def _together(answers: Correctness) -> bool:
    return len(np.unique(answers.units)) < len(answers.units)


def half_width(found: CrossedVariance) -> float | None:
    """Half of the 95 % interval, in points; None where nothing is known of it."""
    half = found.half_width()
    return None if math.isnan(half) else half
