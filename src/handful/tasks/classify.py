"""Single-label classification."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from handful import data, metrics
from handful.contracts import Array
from handful.data import Dataset, LabelledImages, Source
from handful.errors import InputError
from handful.tasks._base import Manifest, Table, Task, Words


class Classify(Task):
    """One label an image; every adapter is a method of it."""

    title: ClassVar[str] = "Classification"
    answers: ClassVar[str] = "one label an image"
    exclusive: ClassVar[bool] = True
    keeps_support: ClassVar[bool] = True
    default_method: ClassVar[str] = "auto"
    default_top_k: ClassVar[int | None] = 1

    def load(self, source: Source) -> Dataset:
        """A folder per class, a table or a split file; see `handful.data.load`."""
        if isinstance(source, Dataset):
            return source
        if isinstance(source, LabelledImages) or data.is_multi_label_table(source):
            where = source if isinstance(source, str | Path) else "the images"
            raise InputError(
                f"{where}: an image has any number of labels here, and classification answers with "
                "one class an image; give images with one label each, or teach a skill of several "
                "labels with --multi-label"
            )
        return data.load(source)

    def separate(
        self, dataset: Any, words: Words = None, known: Sequence[str] = ()
    ) -> tuple[Dataset, Dataset]:
        """Labels such as `background` are no class; see `handful.data.separate_reserved`."""
        return data.separate_reserved(dataset, words, known)

    def class_words(self, dataset: Any, words: Words) -> dict[str, str]:
        """See `handful.data.class_words`."""
        return data.class_words(dataset, words)

    def draw(
        self, dataset: LabelledImages, classes: Sequence[str], shots: int, seed: int
    ) -> list[int]:
        """`shots` images of each class, of as many groups as there are; see `data.draw_shots`."""
        return data.draw_shots(dataset.labels, shots, seed, dataset.groups or None)

    def targets(self, dataset: LabelledImages, classes: Sequence[str]) -> NDArray[np.int64]:
        """`[N]` positions in `classes`."""
        unknown = sorted(set(dataset.labels) - set(classes))
        if unknown:
            raise InputError(
                f"labels {unknown[:5]} are not among the skill's {len(classes)} classes; "
                f"it knows: {', '.join(classes[:10])}"
            )
        column = {name: i for i, name in enumerate(classes)}
        return np.array([column[label] for label in dataset.labels], dtype=np.int64)

    def counts(self, targets: NDArray[Any], classes: Sequence[str]) -> dict[str, int]:
        """Images of each class."""
        found = Counter(targets.tolist())
        return {name: found[i] for i, name in enumerate(classes)}

    def evaluate(
        self,
        probabilities: Array,
        answered: NDArray[np.bool_],
        targets: NDArray[Any],
        classes: Sequence[str],
        units: NDArray[np.int64] | None = None,
    ) -> metrics.Evaluation:
        """Accuracy, the rates of each class with intervals, macro-F1 and the confusion matrix."""
        return metrics.evaluate(probabilities, targets, classes, units)

    def fit_summary(self, manifest: Manifest) -> list[str | Table]:
        """How many classes from how many images."""
        counts = manifest["training"]["counts"]
        return [f"Taught {len(counts)} classes from {sum(counts.values())} photos"]

    def expected(self, manifest: Manifest) -> dict[str, Any] | None:
        """`accuracy` on `images` left-out support images, its `interval`, and `guessing`.

        Images of a group, and copies, are not independent: they were left out together, `units` is
        how many groups there are (an image alone is one), each counts as one in the accuracy, and
        the interval is that of so many.
        """
        stated = manifest.get("confidence")
        if not isinstance(stated, Mapping):
            return None
        if "cannot" in stated:
            return {"cannot": str(stated["cannot"])}
        right, count = stated.get("right"), stated.get("images")
        if type(right) is not int or type(count) is not int or not 0 <= right <= count > 0:
            return None  # of an earlier version, or made by hand
        units = stated.get("units", count)  # skills of earlier versions do not say it
        if type(units) is not int or not 1 <= units <= count:
            return None
        accuracy = stated.get("accuracy", right / count)
        if type(accuracy) not in (int, float) or not 0 <= accuracy <= 1:
            return None
        alike = right if units == count else accuracy * units  # as many of the units
        return {
            "accuracy": alike / units,
            "interval": list(metrics.wilson_interval(alike, units)),
            "right": right,
            "images": count,
            "units": units,
            "guessing": metrics.guessing(_counts(manifest))[0],
        }

    def expectation(self, manifest: Manifest) -> str:
        """How many of ten new photos will be right, and how many by guessing."""
        found = self.expected(manifest)
        if found is None:
            return ""
        if "cannot" in found:
            why = found["cannot"].partition(";")[0]  # what follows is about scores
            return (
                f"How many new photos will be right is not known: {why}. To measure it on other "
                "labelled photos: handful evaluate SKILL FOLDER"
            )
        alike = found["accuracy"] * found["units"]
        if found["units"] == found["images"]:
            alike = found["right"]
        return metrics.expectation(alike, found["units"], _counts(manifest))

    def evaluation_summary(self, result: metrics.Evaluation) -> list[str | Table]:
        """Precision, recall and F1 of each class, then accuracy."""
        groups = f" in {result.units} groups" if result.units < result.count else ""
        return [
            per_class_table(result.per_class),
            f"accuracy {100 * result.accuracy:.2f} % ({interval_in_words(result.interval)}), "
            f"macro-F1 {result.macro_f1:.3f}, {result.count} images{groups}",
        ]

    def description(self, classes: int) -> str:
        """The first sentence of a card."""
        return f"Tells on a photo which of {classes} things it shows."


def _counts(manifest: Manifest) -> dict[str, int]:
    """Support images of each class; 1 each where a manifest does not say so (it is untrusted)."""
    stated = manifest["training"].get("counts")
    if not isinstance(stated, Mapping) or stated.keys() != set(manifest["classes"]):
        return dict.fromkeys(manifest["classes"], 1)
    sound = all(type(n) is int and n >= 0 for n in stated.values()) and sum(stated.values())
    return dict(stated) if sound else dict.fromkeys(manifest["classes"], 1)


def interval_in_words(interval: tuple[float, float] | None) -> str:
    """An interval in %; nothing is known of it where all images are of one group."""
    if interval is None:
        return "all of one group, so of others nothing is known"
    low, high = interval
    return f"95 % interval {100 * low:.2f} to {100 * high:.2f}"


def per_class_table(per_class: Mapping[str, Mapping[str, Any]]) -> Table:
    """Precision, recall, F1 and images of each class; dashes where nothing is counted."""
    rows = []
    for name, c in per_class.items():
        rates = (c[key] for key in ("precision", "recall", "f1"))
        shares = ["-" if math.isnan(rate) else f"{rate:.3f}" for rate in rates]
        rows.append([name, *shares, f"{c['support']:g}"])
    return Table(["class", "precision", "recall", "F1", "images"], rows, right=[1, 2, 3, 4])
