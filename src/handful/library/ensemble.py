"""Skills of one encoder that answer together: features in, the union of their classes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from handful.contracts import Array, ClassText
from handful.errors import InputError
from handful.library.heads import CHUNK, Stack, linear
from handful.library.open_set import Part, Stranger
from handful.library.router import Router
from handful.library.skill import Answers, Skill
from handful.packs import confidence
from handful.packs.unknown import Detector

__all__ = ["Answers", "Skill", "Skills", "strangeness"]

_LEAST = 1e-3  # share of a task below which its skill is not asked
MOST = 2  # skills that change the encoder and are asked about one image: each is a pass of its own

See = Callable[[str, NDArray[np.int64]], Array]  # a task and rows to features of its own encoder


class Skills:
    """Many skills over one encoder, each image judged by itself; the order they come in is none.

    Args:
        skills: with different names.
        detector: what tells unknown images of one skill, for libraries of one or two.
        most: of the skills that change the encoder, so many are asked about an image: the
            likeliest.

    Attributes:
        skills: by name.
        labels: C labels: class names, as `task/class` where several tasks have one of that name.
        owners: `[C]` position of each label's task.
    """

    def __init__(
        self,
        skills: Iterable[Skill],
        detector: Callable[[str], Detector] | None = None,
        most: int = MOST,
    ) -> None:
        if most < 1:
            raise InputError(f"expected most of 1 or more, got {most}")
        self.most = most
        self.skills = tuple(sorted(skills, key=lambda s: s.name))
        self.names = tuple(s.name for s in self.skills)
        self.labels = _labels(self.skills)
        sizes = [len(s.classes) for s in self.skills]
        self.owners = np.repeat(np.arange(len(sizes)), sizes)
        ends = np.cumsum([0, *sizes])
        self.columns = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self._detector = detector
        self._routed = [i for i, s in enumerate(self.skills) if s.part is not None]
        self._tuned = [i for i, s in enumerate(self.skills) if s.tuned]
        self._stack, self._stacked = self._linear()

    def position(self, task: str) -> int:
        """Of a task by its name.

        Raises:
            InputError: there is none of this name.
        """
        if task not in self.names:
            raise InputError(f"no task {task!r}; known: {', '.join(self.names[:10])}")
        return self.names.index(task)

    def named(self, X: Array, task: str, see: See | None = None) -> Array:
        """`[M, D]` features to `[M, C]` probabilities of one task; no other skill is asked.

        Args:
            X: unit rows.
            task: its name.
            see: as for `answers`.

        Raises:
            InputError: no such task, or one that changes the encoder and nothing to see with.
        """
        i = self.position(task)
        return self.skills[i].probabilities(self._seen(i, X, np.arange(len(X)), see))

    def answers(self, X: Array, unknown: float | None = None, see: See | None = None) -> Answers:
        """`[M, D]` features to answers over all tasks, none being named.

        Every linear head is asked in one product; a skill of another kind only for images that
        may be of its task.

        Args:
            X: unit rows.
            unknown: a rate of false accepts, if `familiar` is to be told; checked here.
            see: features of some of the rows for a task that changes the encoder.

        Raises:
            InputError: nothing to route by, or a rate that cannot be promised.
        """
        self.check(unknown)
        starts = range(0, max(len(X), 1), CHUNK)
        parts = [self._some(X[at : at + CHUNK], at, see) for at in starts]
        probabilities, shares = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
        tasks = self.owners[probabilities.argmax(1)]
        at = np.arange(len(X))
        familiar = None if unknown is None else self._familiar(X, tasks)
        return Answers(probabilities, tasks, shares[at, tasks], familiar)

    def check(self, unknown: float | None) -> None:
        """Refuse what cannot be answered, before any image is looked at.

        Raises:
            InputError: no skill to choose from, no support set to choose by, a rate that cannot be
                promised.
        """
        if not self._routed:
            raise InputError(
                "the library has no skill that an image could find by itself"
                + (": none kept its support set; name the task" if self.skills else "; add one")
            )
        if unknown is None:
            return
        if not 0 < unknown < 1:
            raise InputError(f"expected a false-accept rate between 0 and 1, got {unknown}")
        if self.stranger is None:
            for detector in self._detectors.values():
                detector.check(unknown)

    def zero_shot(
        self,
        X: Array,
        also: ClassText | None = None,
        discount: NDArray[np.float64] | None = None,
    ) -> tuple[tuple[str, ...], Array]:
        """Labels, and `[M, C]` probabilities by text alone over the union of all classes.

        Args:
            X: `[M, D]` unit rows.
            also: further classes, known by their text only.
            discount: `[M]` factors on the probabilities of the tasks' classes (`strangeness`),
                which then matter against those of `also`.
        """
        told = [s for s in self.skills if s.text is not None]
        rows = [s.text for s in told if s.text is not None]
        labels = [self.labels[c] for s in told for c in range(*self._range(s))]
        # the encoder's own; contexts that depend on the image give their skill a larger one
        scale = min([s.scale for s in told], default=also.scale if also else 1.0)
        if also is not None:
            rows, labels = [*rows, also.weights], [*labels, *also.classes]
        if not rows:
            raise InputError("no skill kept the text of its classes, so there is no zero-shot")
        chances = confidence.probabilities(X @ np.concatenate(rows).T, scale)
        if also is not None and discount is not None:
            chances[:, : -len(also.classes)] *= discount[:, None].astype(np.float32)
            chances /= np.maximum(chances.sum(1, keepdims=True), np.finfo(np.float32).tiny)
        return tuple(labels), chances

    @cached_property
    def router(self) -> Router:
        """What tells the tasks apart; made when it is first needed."""
        return Router.of({self.names[i]: self._part(i) for i in self._routed})

    @cached_property
    def stranger(self) -> Stranger | None:
        """What tells images of no task; None of fewer than three."""
        return self.router.stranger()

    @cached_property
    def _detectors(self) -> dict[int, Detector]:
        if self._detector is None:
            raise InputError(
                f"cannot say 'unknown' with {len(self._routed)} tasks: none can be left out of so "
                "few; add a third"
            )
        return {i: self._detector(self.names[i]) for i in self._routed}

    def _part(self, position: int) -> Part:
        found = self.skills[position].part
        if found is None:
            raise InputError(f"{self.names[position]}: was saved without its support set")
        return found

    def _range(self, skill: Skill) -> tuple[int, int]:
        here = self.columns[self.names.index(skill.name)]
        return here.start, here.stop

    def _linear(self) -> tuple[Stack, list[int]]:
        """The heads that one product answers, and whose they are."""
        parts, whose = [], []
        for i in self._routed:
            if self.skills[i].tuned:
                continue
            seen = torch.from_numpy(_unit(self._part(i).features))
            found = linear(self.skills[i].head, seen)
            if found is not None:
                parts.append(found)
                whose.append(i)
        return Stack(parts), whose

    def _some(self, X: Array, start: int, see: See | None) -> tuple[Array, NDArray[np.float64]]:
        """`[m, C]` probabilities and `[m, T]` shares of at most `CHUNK` images."""
        shares = np.zeros((len(X), len(self.skills)))
        shares[:, self._routed] = self.router.shares(X)
        result = np.zeros((len(X), len(self.labels)), dtype=np.float32)
        rows = torch.from_numpy(_unit(X))
        with torch.inference_mode():
            logits = [part.numpy() for part in self._stack(rows)]
        for i, part in zip(self._stacked, logits, strict=True):
            said = confidence.probabilities(part, self.skills[i].factor)
            result[:, self.columns[i]] = shares[:, [i]] * said
        for i in sorted({*self._routed} - {*self._stacked}):
            asked = np.flatnonzero(self._asked(shares, i))
            if not len(asked):
                continue
            seen = self._seen(i, X[asked], asked + start, see)
            said = self.skills[i].probabilities(seen)
            result[asked, self.columns[i]] = shares[asked][:, [i]] * said
        if self._tuned:  # those that were not asked leave a gap
            result /= np.maximum(result.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return result, shares

    def _seen(self, i: int, X: Array, rows: NDArray[np.int64], see: See | None) -> Array:
        """Features of a task's own encoder of some of the rows, X being the untouched one's."""
        if not self.skills[i].tuned:
            return X
        if see is None:
            raise InputError(
                f"the task {self.names[i]!r} changes the encoder, so features of the untouched "
                "one do not answer it; ask with images"
            )
        return see(self.names[i], rows)

    def _asked(self, shares: NDArray[np.float64], i: int) -> NDArray[np.bool_]:
        """`[m]` whether a skill is asked about an image."""
        likely = shares[:, i] >= _LEAST
        if not self.skills[i].tuned:
            return likely
        better = (shares[:, self._tuned] > shares[:, [i]]).sum(axis=1)
        return np.asarray(likely & (better < self.most))

    def _familiar(self, X: Array, tasks: NDArray[np.int64]) -> NDArray[np.float64]:
        told = self.stranger
        if told is not None:
            starts = range(0, len(X), CHUNK)
            return np.concatenate([told.rates(X[at : at + CHUNK]) for at in starts])
        rates = np.ones(len(X))
        for i, detector in self._detectors.items():
            mine = tasks == i
            if mine.any():
                rates[mine] = detector.rates(X[mine])
        return rates


def strangeness(familiar: NDArray[np.float64], unknown: float) -> NDArray[np.float64]:
    """`[M]` `min(1, unknown / familiar)`: what zero-shot's chances of known classes are worth.

    At the limit of what is accepted nothing is known against the tasks that are there; of an image
    stranger than all unknown ones their classes are worth no more than the rate.
    """
    return np.asarray(np.minimum(1.0, unknown / np.maximum(familiar, unknown)))


def _labels(skills: Sequence[Skill]) -> tuple[str, ...]:
    """Class names; `task/class` where one is not the only one of its name."""
    tasks = {s.name.casefold() for s in skills}
    found = Counter(c.strip().casefold() for s in skills for c in s.classes)

    def alone(name: str) -> bool:
        head, slash, _ = name.partition("/")  # a class called as if it were another task's
        return found[name.strip().casefold()] == 1 and not (slash and head.casefold() in tasks)

    return tuple(c if alone(c) else f"{s.name}/{c}" for s in skills for c in s.classes)


def _unit(X: Array) -> Array:
    """Rows of length one, as adapters make them; zero stays zero."""
    norms = np.sqrt(np.einsum("nd,nd->n", X, X, dtype=np.float64))[:, None]
    return np.divide(X, np.where(norms > 0, norms, 1), dtype=np.float32, casting="same_kind")
