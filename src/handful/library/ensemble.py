"""Skills of one encoder that answer together: features in, the union of their classes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch

from handful.contracts import Array
from handful.errors import InputError
from handful.library.heads import CHUNK, StackedHeads, affine_form, unit_rows
from handful.library.names import union_labels
from handful.library.open_set import OpenSetDetector
from handful.library.router import Router
from handful.library.skill import Skill
from handful.library.task_support import Indices, Values
from handful.packs import confidence
from handful.packs.novelty import Detector

MAX_TUNED = 2  # tuned skills that run for one image: each is a forward pass of its own
_MIN_PROBABILITY = 1e-3  # of a task; below it its skill does not run
_TINY = np.finfo(np.float32).tiny  # keeps a division from being by zero

TunedFeatures = Callable[[str, Indices], Array]  # task, rows of X -> features of its tuned encoder


@dataclass(frozen=True, eq=False)
class EnsemblePrediction:
    """Answers to M images over the union of C classes.

    Args:
        probabilities: `[M, C]`, of each class of each task; 0 for tasks whose skill did not run.
        tasks: `[M]` indices of the most likely class's task.
        task_probabilities: `[M]` of that task, were the image of one of the library's.
        false_accept_rates: `[M]` share of images of unknown tasks that look as familiar; None
            where no rate was given.
    """

    probabilities: Array
    tasks: Indices
    task_probabilities: Values
    false_accept_rates: Values | None = None


class SkillEnsemble:
    """Many skills over one encoder, each image judged by itself; their order does not matter.

    Args:
        skills: with different names.
        detector: skill name to its own detector of unknown images, for ensembles of one or two.
        max_tuned: of the skills that tune the encoder so many run for an image: the likeliest.

    Attributes:
        skills: sorted by name.
        labels: C labels: class names, as `task/class` where several tasks have one of that name.
        owners: `[C]` index of each label's task.
        columns: the labels of each task.
    """

    def __init__(
        self,
        skills: Iterable[Skill],
        detector: Callable[[str], Detector] | None = None,
        max_tuned: int = MAX_TUNED,
    ) -> None:
        if max_tuned < 1:
            raise InputError(f"expected max_tuned of 1 or more, got {max_tuned}")
        self.max_tuned = max_tuned
        self.skills = tuple(sorted(skills, key=lambda s: s.name))
        self.names = tuple(s.name for s in self.skills)
        self.labels = union_labels({s.name: s.classes for s in self.skills})
        sizes = [len(s.classes) for s in self.skills]
        self.owners = np.repeat(np.arange(len(sizes)), sizes)
        self.columns = [slice(int(a), int(b)) for a, b in pairwise(np.cumsum([0, *sizes]))]
        self._detector = detector
        self._routed = [i for i, s in enumerate(self.skills) if s.support is not None]
        self._supports = {s.name: s.support for s in self.skills if s.support is not None}
        self._tuned = [i for i, s in enumerate(self.skills) if s.tuned]
        self._stack, self._stacked = self._stack_heads()

    def index(self, task: str) -> int:
        """Of a task in `skills`, by its name.

        Raises:
            InputError: there is none of this name.
        """
        if task not in self.names:
            raise InputError(f"no task {task!r}; known: {', '.join(self.names[:10])}")
        return self.names.index(task)

    def predict_task(
        self, X: Array, task: str, tuned_features: TunedFeatures | None = None
    ) -> Array:
        """`[M, D]` features to `[M, C]` probabilities of one named task; no other skill runs.

        Args:
            X: unit rows.
            task: its name.
            tuned_features: as for `predict`.

        Raises:
            InputError: no such task, or one that tunes the encoder and no `tuned_features`.
        """
        i = self.index(task)
        return self.skills[i].probabilities(self._features(i, X, np.arange(len(X)), tuned_features))

    def predict(
        self,
        X: Array,
        unknown: float | None = None,
        tuned_features: TunedFeatures | None = None,
    ) -> EnsemblePrediction:
        """`[M, D]` features to answers over all tasks, none being named.

        Every linear head runs in one product; a skill of another kind only for images that may be
        of its task.

        Args:
            X: unit rows.
            unknown: a false-accept rate, if `false_accept_rates` are wanted; checked here.
            tuned_features: features of some of the rows for a task that tunes the encoder.

        Raises:
            InputError: nothing to route by, or a rate that cannot be promised.
        """
        self.check(unknown)
        starts = range(0, max(len(X), 1), CHUNK)
        parts = [self._predict_chunk(X[at : at + CHUNK], at, tuned_features) for at in starts]
        probabilities, routed = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
        tasks = self.owners[probabilities.argmax(1)]
        rates = None if unknown is None else self._false_accept_rates(X, tasks)
        return EnsemblePrediction(probabilities, tasks, routed[np.arange(len(X)), tasks], rates)

    def check(self, unknown: float | None) -> None:
        """Refuse what cannot be answered, before any image is encoded.

        Raises:
            InputError: no skill to choose from, no support set to choose by, a rate that cannot be
                promised.
        """
        if not self._supports:
            raise InputError(
                "the library has no skill that an image could find by itself"
                + (": none kept its support set; name the task" if self.skills else "; add one")
            )
        if unknown is None:
            return
        if not 0 < unknown < 1:
            raise InputError(f"expected a false-accept rate between 0 and 1, got {unknown}")
        if self.open_set is None:
            for detector in self._detectors.values():
                detector.check(unknown)

    @cached_property
    def router(self) -> Router:
        """Task probabilities of images; fitted when it is first needed."""
        return Router.fit(self._supports)

    @cached_property
    def open_set(self) -> OpenSetDetector | None:
        """Detects images of no task; None of fewer than three tasks."""
        return OpenSetDetector.fit(self._supports)

    @cached_property
    def _detectors(self) -> dict[int, Detector]:
        """For one or two tasks: each skill's own, learned by leaving classes out."""
        if self._detector is None:
            raise InputError(
                f"cannot say 'unknown' with {len(self._supports)} tasks: none can be left out of "
                "so few; add a third"
            )
        return {i: self._detector(self.names[i]) for i in self._routed}

    def _stack_heads(self) -> tuple[StackedHeads, list[int]]:
        """The heads that one product answers, and the indices of their skills."""
        heads, indices = [], []
        for i, support in zip(self._routed, self._supports.values(), strict=True):
            skill = self.skills[i]
            if skill.tuned:  # its head takes features of another encoder
                continue
            rows = torch.from_numpy(unit_rows(support.features))
            found = affine_form(skill.adapter.module_, rows)
            if found is not None:
                heads.append(found)
                indices.append(i)
        return StackedHeads(heads), indices

    def _predict_chunk(
        self, X: Array, start: int, tuned_features: TunedFeatures | None
    ) -> tuple[Array, Values]:
        """`[m, C]` class and `[m, T]` task probabilities of rows `start`, ... of all images."""
        routed = np.zeros((len(X), len(self.skills)))
        routed[:, self._routed] = self.router.probabilities(X)
        result = np.zeros((len(X), len(self.labels)), dtype=np.float32)
        with torch.inference_mode():
            stacked = [logits.numpy() for logits in self._stack(torch.from_numpy(unit_rows(X)))]
        for i, logits in zip(self._stacked, stacked, strict=True):
            own = confidence.probabilities(logits, self.skills[i].factor)
            result[:, self.columns[i]] = routed[:, [i]] * own
        for i in sorted({*self._routed} - {*self._stacked}):
            rows = np.flatnonzero(self.runs_for(routed, i))
            if not len(rows):
                continue
            features = self._features(i, X[rows], rows + start, tuned_features)
            own = self.skills[i].probabilities(features)
            result[rows, self.columns[i]] = routed[rows][:, [i]] * own
        if self._tuned:  # those that did not run leave their probability to the others
            result /= np.maximum(result.sum(axis=1, keepdims=True), _TINY)
        return result, routed

    def _features(
        self, i: int, X: Array, rows: Indices, tuned_features: TunedFeatures | None
    ) -> Array:
        """What skill i takes: X itself, or features of its tuned encoder of the same images."""
        if not self.skills[i].tuned:
            return X
        if tuned_features is None:
            raise InputError(
                f"the task {self.names[i]!r} changes the encoder, so features of the untouched "
                "one do not answer it; ask with images"
            )
        return tuned_features(self.names[i], rows)

    def runs_for(self, routed: Values, i: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """`[m]` whether skill i runs, by the `[m, T]` task probabilities of images."""
        likely = routed[:, i] >= _MIN_PROBABILITY
        if not self.skills[i].tuned:
            return likely
        likelier = (routed[:, self._tuned] > routed[:, [i]]).sum(axis=1)
        return np.asarray(likely & (likelier < self.max_tuned))

    def _false_accept_rates(self, X: Array, tasks: Indices) -> Values:
        if self.open_set is not None:
            starts = range(0, len(X), CHUNK)
            return np.concatenate([self.open_set.rates(X[at : at + CHUNK]) for at in starts])
        rates = np.ones(len(X))
        for i, detector in self._detectors.items():
            rows = tasks == i
            if rows.any():
                rates[rows] = detector.rates(X[rows])
        return rates
