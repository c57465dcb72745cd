"""Numbers in words that need no statistics: shares as "8 of 10", calibration as two sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from handful.metrics.intervals import wilson_interval

_NEAR = 0.35  # tenths; a share further from a whole number of tenths is said to be between two
_WIDE = 4  # tenths; an interval this wide says more than its middle
_EVEN = 1.5  # times its fair share, up to which the most frequent class is not worth naming
_MANY = 0.9  # where an interval lies above this (or below 1 - this), tenths are too coarse


def share_in_words(right: float, count: int, what: str = "") -> str:
    """How many of ten, with the 95 % Wilson interval; its ends are rounded outwards.

    Args:
        right: of `count` answers.
        count: answers that were looked at, at least 1.
        what: words between the number and the interval.

    >>> share_in_words(130, 160, " answers are right")
    'about 8 of 10 answers are right (between 7 and 9)'
    >>> share_in_words(135, 160), share_in_words(12, 16, " answers")
    ('8 to 9 of 10 (between 7 and 9)', 'between 5 and 9 of 10 answers')
    >>> share_in_words(400, 400, " answers"), share_in_words(0, 400)
    ('nearly all answers (at least 99 of 100)', 'hardly any (at most 1 of 100)')
    >>> share_in_words(14, 14)
    'nearly all (between 7 and 10 of 10)'
    >>> share_in_words(388, 400)
    'about 97 of 100 (between 94 and 99)'
    """
    low, high = wilson_interval(right, count)
    base = 100 if low >= _MANY or high <= 1 - _MANY else 10
    first, last = math.floor(base * low + 1e-9), math.ceil(base * high - 1e-9)
    if base == 100 and right == count:
        return f"nearly all{what} (at least {first} of 100)"
    if base == 100 and not right:
        return f"hardly any{what} (at most {last} of 100)"
    if base == 10 and last - first >= _WIDE:
        return f"between {first} and {last} of 10{what}"
    middle = tenths(right / count) if base == 10 else f"about {100 * right / count:.0f} of 100"
    of = " of 10" if middle == "nearly all" else ""  # which no number of ten goes before
    return f"{middle}{what} (between {first} and {last}{of})"


def tenths(value: float) -> str:
    """A share in tenths; one that lies between two of them is said to.

    >>> tenths(0.81), tenths(0.449), tenths(0.451), tenths(0.02)
    ('about 8 of 10', '4 to 5 of 10', '4 to 5 of 10', 'hardly any of 10')
    """
    below = math.floor(10 * value)
    if _NEAR < 10 * value - below < 1 - _NEAR:
        return f"{below} to {below + 1} of 10"
    nearest = round(10 * value)
    if nearest == 10:
        return "nearly all"
    return f"about {nearest} of 10" if nearest else "hardly any of 10"


def guessing(counts: Mapping[str, int]) -> tuple[float, str]:
    """What an answer without looking would get right, and the same in words.

    The larger of chance and always the most frequent class; they are equal where counts are.

    Args:
        counts: images of each class.

    >>> guessing({"cat": 8, "dog": 8, "owl": 8})
    (0.3333333333333333, 'by chance it would be 1 of 3')
    >>> guessing({"cat": 30, "dog": 8, "owl": 2})
    (0.75, 'always answering “cat”, the most frequent class, would be right on 7 to 8 of 10')
    >>> guessing({"cat": 7, "dog": 3})
    (0.7, 'always answering “cat”, the most frequent class, would be right on about 7 of 10')
    """
    name, most = max(counts.items(), key=lambda item: item[1])
    frequent = most / sum(counts.values())
    if most * len(counts) <= _EVEN * sum(counts.values()) and len(counts) > 2:
        about = "" if most * len(counts) <= sum(counts.values()) else "about "
        return frequent, f"by chance it would be {about}1 of {len(counts)}"
    if most * len(counts) <= sum(counts.values()):
        return frequent, f"by chance it would be 1 of {len(counts)}"
    words = f"always answering “{name}”, the most frequent class, would be right on"
    return frequent, f"{words} {tenths(frequent)}"


def expectation(
    right: float, count: int, counts: Mapping[str, int], units: int | None = None
) -> str:
    """What to expect of a classifier on new images, from answers to images it had not seen.

    Args:
        right: of `count` left-out images.
        count: left-out images, at least 1.
        counts: support images of each class.
        units: how many of the left-out images are independent, for the interval; default all.

    >>> expectation(130, 160, dict.fromkeys("abcd", 40))  # doctest: +NORMALIZE_WHITESPACE
    'Expect about 8 of 10 new photos like these to be right (between 7 and 9); by chance it would
    be 1 of 4.'
    """
    baseline, words = guessing(counts)
    n = count if units is None else units
    alike = right * n / count  # as many of the units
    low, _ = wilson_interval(alike, n)
    weak = "" if low > baseline else ", and these photos are too few to tell the difference"
    answer = share_in_words(alike, n, " new photos like these to be right")
    return f"Expect {answer}; {words}{weak}."


def calibration_in_words(bins: Sequence[Mapping[str, Any]], error: float) -> str:
    """How far probabilities can be believed: of the surer half of the answers and of the others.

    Args:
        bins: `count` of answers, and with any their mean `confidence` and `accuracy`, ascending.
        error: the calibration error (ECE), 0 to 1.

    >>> few, many = ({"count": n, "confidence": p, "accuracy": a}
    ...     for n, p, a in ((40, 0.6, 0.55), (60, 0.95, 0.93)))
    >>> calibration_in_words([few, {"count": 0}, many], 0.03)  # doctest: +NORMALIZE_WHITESPACE
    'When it says 95 %, it is right about 93 % of the time; when it says 60 %, about 55 %
    (ECE 0.03)'
    """
    total, taken = sum(b["count"] for b in bins), 0
    sure: list[Mapping[str, Any]] = []
    rest: list[Mapping[str, Any]] = []
    for one in reversed([b for b in bins if b["count"]]):
        (sure if 2 * taken < total else rest).append(one)
        taken += one["count"]
    said, is_right = _means(sure)
    text = f"When it says {said} %, it is right about {is_right} % of the time"
    if rest:
        said, is_right = _means(rest)
        text += f"; when it says {said} %, about {is_right} %"
    return f"{text} (ECE {error:.2f})"


def _means(bins: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Mean confidence and accuracy of the answers in some bins, percent."""
    total = sum(b["count"] for b in bins)
    confidence, accuracy = (
        100 * sum(b["count"] * b[key] for b in bins) / total for key in ("confidence", "accuracy")
    )
    return f"{confidence:.0f}", f"{accuracy:.0f}"
