"""Multi-label classification: a yes/no question for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from handful import data, metrics
from handful.contracts import Array, class_names
from handful.data import LabelledImages, MemoryTable, MultiLabelDataset, Source
from handful.data.splits import check_seed
from handful.errors import InputError, PackError
from handful.metrics import MultiLabelEvaluation
from handful.tasks._base import Manifest, Table, Task, Words
from handful.tasks._multi_label_ridge import MultiLabelRidge
from handful.tasks.classify import per_class_table


class MultiLabel(Task):
    """Each class is answered from its own threshold on."""

    title: ClassVar[str] = "Multi-label classification"
    answers: ClassVar[str] = "several labels an image"
    default_method: ClassVar[str] = "multi_label"
    estimators: ClassVar[Mapping[str, type]] = {"multi_label": MultiLabelRidge}

    def suits(self, source: Source) -> bool:
        """A data set of label sets, or a table with a column such as `labels` and no single one."""
        if isinstance(source, str | Path | MemoryTable):
            return data.is_multi_label_table(source)
        return isinstance(source, MultiLabelDataset)

    def load(self, source: Source) -> MultiLabelDataset:
        """A table, see `handful.data.multi_label_table`."""
        if isinstance(source, str | Path | MemoryTable):
            return data.multi_label_table(source)
        if not isinstance(source, MultiLabelDataset):
            raise InputError(
                "the images have one label each, and the skill says of each class whether an image "
                "shows it; give a table of labels or a MultiLabelDataset"
            )
        return source

    def class_words(self, dataset: LabelledImages, words: Words) -> dict[str, str]:
        """Class name to its words in a prompt, in the order of the columns."""
        names = dict(words) if words is not None else {name: name for name in dataset.classes}
        class_names(tuple(names))
        if len(names) < 2:
            raise InputError(
                f"expected at least two classes, got {len(names)}: {', '.join(names)}; to tell one "
                "thing from everything else, give the rest a name too"
            )
        return names

    def draw(self, dataset: Any, classes: Sequence[str], shots: int, seed: int) -> list[int]:
        """Images in a random order, until each class and none are on `shots` of them."""
        return draw(dataset.matrix(classes), shots, seed)

    def targets(self, dataset: Any, classes: Sequence[str]) -> NDArray[np.int64]:
        """`[N, C]`, 1 where an image shows a class."""
        matrix: NDArray[np.int64] = dataset.matrix(classes)
        return matrix

    def counts(self, targets: NDArray[Any], classes: Sequence[str]) -> dict[str, int]:
        """Images that show each class."""
        return dict(zip(classes, targets.sum(0).tolist(), strict=True))

    def facts(self, targets: NDArray[Any]) -> dict[str, Any]:
        """How many images, and how many of them show none of the classes."""
        return {"images": len(targets), "without labels": int((targets.sum(1) == 0).sum())}

    def statements(self, estimator: Any) -> dict[str, Any]:
        """The thresholds, and where they come from."""
        return {"multi_label": estimator.stated()}

    def answered(self, estimator: Any, probabilities: Array) -> NDArray[np.bool_]:
        """`[M, C]`: classes whose probability reaches their threshold; an image may have none."""
        limits = estimator.thresholds_
        if limits.shape != probabilities.shape[1:]:  # a pack is untrusted
            raise PackError(
                "the skill answers several labels an image, and has no threshold for each of its "
                f"{probabilities.shape[1]} classes (head.thresholds); teach it again"
            )
        return np.asarray(probabilities >= limits, dtype=np.bool_)

    def evaluate(
        self,
        probabilities: Array,
        answered: NDArray[np.bool_],
        targets: NDArray[Any],
        classes: Sequence[str],
        units: NDArray[np.int64] | None = None,
    ) -> MultiLabelEvaluation:
        """F1 of the answers, and of those that a threshold of one half would give."""
        fixed = probabilities >= metrics.FIXED_THRESHOLD
        return metrics.evaluate_multi_label(answered, targets, classes, fixed, units)

    def fit_summary(self, manifest: Manifest) -> list[str | Table]:
        """How many classes from how many images, and each class's threshold."""
        facts, stated = manifest["training"], manifest["multi_label"]
        rows = [
            [name, str(row["positives"]), f"{row['threshold']:.3f}", row["from"]]
            for name, row in zip(manifest["classes"], stated["thresholds"], strict=True)
        ]
        return [
            f"Taught {len(rows)} classes from {facts['images']} images, "
            f"{facts['without labels']} of them with none, as yes/no questions",
            Table(["class", "images", "yes from", "learned from"], rows, right=[1, 2]),
        ]

    def expected(self, manifest: Manifest) -> dict[str, Any] | None:
        """`precision` and `recall` of all labels together on left-out support images."""
        stated = manifest.get("multi_label")
        given = stated.get("left_out") if isinstance(stated, Mapping) else None
        counts = dict(given) if isinstance(given, Mapping) else {}
        numbers = [counts.get(key) for key in ("right", "answered", "shown")]
        if not all(type(n) is int for n in numbers):  # a pack is untrusted
            return None
        right, answered, shown = (int(n or 0) for n in numbers)
        if not 0 <= right <= min(answered, shown) or not shown:
            return None
        precision = right / answered if answered else None
        return {"precision": precision, "recall": right / shown, **counts}

    def expectation(self, manifest: Manifest) -> str:
        """How many of the labels it gives are right, and how many of those shown it finds."""
        found = self.expected(manifest)
        if found is None:
            return ""
        recall = metrics.share_in_words(found["right"], found["shown"])
        if not found["answered"]:
            return "Expect it to find hardly any of the things that new photos show."
        precision = metrics.share_in_words(
            found["right"], found["answered"], " labels that it gives to new photos to be right"
        )
        return f"Expect {precision}, and of what they show to find {recall}."

    def fit_warnings(self, manifest: Manifest) -> list[str]:
        """Classes that every image shows."""
        stated = manifest["multi_label"]["thresholds"]
        return [
            f"every image shows {name}; it will always be answered"
            for name, row in zip(manifest["classes"], stated, strict=True)
            if row["positives"] == manifest["training"]["images"]
        ]

    def fit_json(self, manifest: Manifest) -> dict[str, Any]:
        """Images without labels, and the thresholds."""
        return {
            "images": manifest["training"]["images"],
            "without_labels": manifest["training"]["without labels"],
            "multi_label": manifest["multi_label"],
        }

    def evaluation_summary(self, result: MultiLabelEvaluation) -> list[str | Table]:
        """Precision, recall and F1 of each class, then the F1 of all."""
        return [
            per_class_table(result.per_class),
            f"micro-F1 {result.micro_f1:.3f}, macro-F1 {result.macro_f1:.3f} "
            f"(with every threshold at 0.5: {result.fixed['micro_f1']:.3f}, "
            f"{result.fixed['macro_f1']:.3f}), {100 * result.exact:.1f} % of images told exactly, "
            f"{result.count} images, {result.unlabelled} of them with no class",
        ]

    def description(self, classes: int) -> str:
        """The first sentence of a card."""
        return f"Tells of each of {classes} things whether a photo shows it: several, one or none."

    def limits(self) -> list[str]:
        """Sentences of the card's limits."""
        return [
            "Each class is a question of its own: scores do not add up to one, and there may be no "
            "answer at all.",
            "Where photos show a class much more often or more rarely than the images it was "
            "taught with, another threshold would be better.",
        ]

    def card_table(self, manifest: Manifest) -> tuple[str, Table]:
        """Each class's threshold."""
        rows = [
            [name, f"{row['threshold']:.3f}", row["from"]]
            for name, row in zip(
                manifest["classes"], manifest["multi_label"]["thresholds"], strict=False
            )
        ]
        text = (
            "## When it says yes\n\nA class is answered from this probability on. The thresholds "
            "were learned from the support images alone, each as a fit sees it that had not seen "
            "it.\n"
        )
        return text, Table(["class", "threshold", "learned from"], rows, right=[1])


def draw(labels: NDArray[np.int64], shots: int, seed: int) -> list[int]:
    """Images in a random order, until each kind is on `shots` of them.

    None is passed over on the way, so that classes stay as frequent as they are: a threshold
    depends on that. Of a kind of which there are fewer, all are taken.

    Args:
        labels: `[N, C]`, 0 or 1; rows without a 1 are a kind of their own.
        shots: images of each kind.
        seed: of the order.

    >>> draw(np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), 2, seed=0)
    [0, 1, 2, 3]
    """
    if shots < 1:
        raise InputError(f"expected shots of 1 or more, got {shots}")
    order = np.random.default_rng(check_seed(seed)).permutation(len(labels))
    shown = labels[order] > 0
    # images of no class are a kind too: thresholds are learned from them as well
    kinds = np.concatenate([shown, ~shown.any(1, keepdims=True)], axis=1)
    # after each image: is any kind still short? The draw ends with the first where none is
    short = (kinds.cumsum(0) < np.minimum(kinds.sum(0), shots)).any(1)
    return sorted(order[: int(short.sum()) + 1].tolist())
