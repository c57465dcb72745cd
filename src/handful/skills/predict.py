"""Images to answers of one skill: `Predictor`.

images -> features -> probabilities -> the classes that its task answers

Over 250 lines for the arguments of one class, each told in a line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from handful import data
from handful.contracts import Array, Encoder, check_count
from handful.features import Progress, stream
from handful.features.store import FeatureStore
from handful.packs.novelty import Detector, read
from handful.skills.answer_table import Schema, named_digest
from handful.skills.encoder import load_encoder
from handful.skills.loaded import AnySkill, unpack
from handful.skills.prediction import Prediction, Score
from handful.skills.predictions import Predictions

BATCH = 1024  # paths looked at together; their features are 2 MB


@dataclass(frozen=True)
class _Options:
    """What is asked for beside the class; see `Predictor`."""

    top_k: int | None = None
    unknown: float | None = None
    error: float | None = None


class Predictor:
    """Answers of one skill, for images in any amount.

    Args:
        pack: a skill, its folder, or what `handful.fit` returns.
        encoder: the encoder or its name; by default the one that the skill names, or the loaded
            one of a skill that was just taught.
        store: where features are kept; by default as in teaching, or the user's own store.
        unknown: a false-accept rate: of images that show none of the classes, at most this share
            is taken for one of them; the others are answered `unknown`. Not asked for by default.
        error: an error rate: each answer also names the classes that the image may be of, and at
            most this share of images is of another one. Not asked for by default.
        precision: of an encoder that is loaded by name: `float32`, `bfloat16`, or `auto` for one
            that is exact enough for the skill.
        device: likewise, where it computes: `auto`, or as torch names it (`cpu`, `cuda:1`).

    Raises:
        PackError: the skill cannot be used as it is on disk.
        MismatchError: the encoder is not the one it was taught on.
        InputError: no skill; the skill has no such statement, or its support set is too small to
            guarantee that rate.

    Attributes:
        pack: the skill.
        encoder: the encoder, checked against it.
        encoded: different images that went through it so far; features of others were known.
    """

    def __init__(
        self,
        pack: AnySkill,
        encoder: Encoder | str | Path | None = None,
        store: FeatureStore | None = None,
        *,
        unknown: float | None = None,
        error: float | None = None,
        precision: str = "auto",
        device: str = "auto",
    ) -> None:
        self.pack, encoder, store = unpack(pack, encoder, store, precision=precision, device=device)
        self.unknown, self.error = unknown, error
        self.encoded = 0
        self._detector: Detector | None = None
        self._check(unknown, error)  # before an encoder is loaded in vain
        self.encoder = load_encoder(self.pack, encoder, precision=precision, device=device)
        self.store = store

    def __repr__(self) -> str:
        """One line, as of its skill."""
        return repr(self.pack).replace("<Pack", "<Predictor", 1)

    def predict(
        self,
        images: Any,
        top_k: int | None = None,
        progress: Progress | None = None,
        *,
        unknown: float | None = None,
        error: float | None = None,
    ) -> Predictions[Prediction]:
        """Classify images; one that cannot be read gets an `error` and stops no other.

        Args:
            images: paths, bytes, PIL images, arrays `[H, W, 3]` or tensors `[3, H, W]` (uint8, or
                floats from 0 to 1), mixed as you like, or a single one of them; a folder; an array
                of images, a data frame, a torch `Dataset` (`handful.data.images_of`).
            top_k: answers an image; all classes when not given.
            progress: called with (images done, images in all).
            unknown: a false-accept rate instead of the predictor's own.
            error: an error rate instead of the predictor's own.

        Returns:
            One prediction an image, in their order: a list, with `to_frame`.

        Raises:
            InputError: as the constructor does.
        """
        options = _Options(
            top_k,
            self.unknown if unknown is None else unknown,
            self.error if error is None else error,
        )
        self._check(options.unknown, options.error)
        given, size, limit = data.images_of(images), BATCH, None
        if self.pack.semantics != "inductive":  # answers depend on one another
            given = list(given)
            size, limit = max(1, len(given)), sys.maxsize
        # not a list otherwise: the pictures of a data set together may not fit into memory
        sized = [each for each in (given, images) if isinstance(each, Sized)]
        total = len(sized[0]) if sized else 0
        answers = chain.from_iterable(self._predict(given, options, size, limit, progress, total))
        schema = self.schema(top_k, unknown=options.unknown, error=options.error)
        return Predictions(answers, schema)

    def iter_predict(
        self,
        images: Any,
        top_k: int | None = None,
        *,
        batch: int = 64,
    ) -> Iterator[Prediction]:
        """The same for a stream of images that need not fit into memory, nor ever end.

        Args:
            images: as for `predict`; asked for `batch` at a time.
            top_k: answers an image; all classes when not given.
            batch: images that are waited for before the first of them is answered. To a method
                whose answers depend on other images (`semantics` is not `inductive`) each of
                these batches is a world of its own; use `predict` to show it all images.
        """
        return chain.from_iterable(self.predict_batches(images, top_k, batch=batch))

    def predict_batches(
        self,
        images: Any,
        top_k: int | None = None,
        *,
        batch: int = 64,
        progress: Progress | None = None,
    ) -> Iterator[list[Prediction]]:
        """As `iter_predict`, the answers of a batch together.

        Args:
            images: as for `predict`.
            top_k: answers an image.
            batch: images in a batch.
            progress: called with (images done, images in all, 0 where that is not known).
        """
        options = _Options(top_k, self.unknown, self.error)
        given = data.images_of(images)
        sized = [each for each in (given, images) if isinstance(each, Sized)]
        total = len(sized[0]) if sized else 0
        return self._predict(given, options, batch, None, progress, total)

    def schema(
        self,
        top_k: int | None = None,
        *,
        unknown: float | None = None,
        error: float | None = None,
    ) -> Schema:
        """The columns of answers to such a request, for `handful.skills.outputs`.

        Args:
            top_k: as for `predict`, and so are the others.
            unknown: a false-accept rate instead of the predictor's own.
            error: an error rate instead of the predictor's own.
        """
        return Schema(
            skills=dict([named_digest(self.pack)]),
            several=not self.pack.task.exclusive,
            top_k=top_k,
            unknown=self.unknown if unknown is None else unknown,
            error=self.error if error is None else error,
            precision=self.encoder.precision,
        )

    def logits(self, features: Array) -> Array:
        """`[M, D]` features of this encoder to `[M, C]` logits."""
        return self.pack.logits(features)

    def detector(self) -> Detector:
        """The detector of images that show none of the classes.

        Raises:
            InputError: the skill has nothing of the kind, and why.
        """
        if self._detector is None:
            pack = self.pack
            self._detector = read(pack.manifest, pack.tensors, pack.support, pack.where)
        return self._detector

    def _check(self, unknown: float | None, error: float | None) -> None:
        """Refuse rates that the skill cannot guarantee."""
        if unknown is not None:
            self.detector().check(unknown)
        if error is not None:
            self.pack.sets(self.pack.tensors["golden.features"][:1], error)

    def _predict(
        self,
        images: Iterable[Any],
        options: _Options,
        batch: int,
        max_bytes: int | None = None,
        progress: Progress | None = None,
        total: int = 0,
    ) -> Iterator[list[Prediction]]:
        for name, value in (("top_k", options.top_k), ("batch", batch)):
            if value is not None:
                check_count(name, value)
        batches = stream.encode_batches(
            *(self.encoder, images, batch, self.store),
            max_bytes=max_bytes,
            total=total,
            progress=progress,
        )
        for found in batches:
            self.encoded += found.encoded
            answers = self._answer(found.names, found.features, options)
            failures = (Prediction(f.name, [], f.reason) for f in found.failures)
            yield found.in_order(answers, failures)

    def _answer(self, names: list[str], features: Array, options: _Options) -> list[Prediction]:
        """One prediction a row of `[M, D]` features."""
        if not len(features):
            return []
        answers = [
            Prediction(name, scores)
            for name, scores in zip(names, self._scores(features, options.top_k), strict=True)
        ]
        if options.unknown is not None:
            rates = self.detector().rates(features)
            answers = [
                replace(one, unknown=bool(rate > options.unknown), familiar=float(rate))
                for one, rate in zip(answers, rates, strict=True)
            ]
        if options.error is not None:
            sets = self.pack.sets(features, options.error)
            answers = [
                replace(one, may_be=tuple(self.pack.classes[c] for c in np.flatnonzero(row)))
                for one, row in zip(answers, sets, strict=True)
            ]
        return answers

    def _scores(self, features: Array, top_k: int | None) -> list[list[Score]]:
        """The answered classes of each row, the likeliest first."""
        pack, classes = self.pack, self.pack.classes
        probabilities = pack.probabilities(features)
        answered = pack.task.answered(pack.adapter, probabilities)
        # stable: of equal probabilities the first class comes first, as argmax has it
        order = np.argsort(-probabilities, axis=1, kind="stable")
        return [
            [{"label": classes[c], "score": float(row[c])} for c in best[yes[best]][:top_k]]
            for row, yes, best in zip(probabilities, answered, order, strict=True)
        ]


def load(
    skill: AnySkill,
    encoder: Encoder | str | Path | None = None,
    store: FeatureStore | None = None,
    *,
    precision: str = "auto",
    device: str = "auto",
) -> Predictor:
    """A saved skill, ready to answer: `handful.load("skill").predict(images)`.

    Args:
        skill: a folder or a `.skill` file.
        encoder: the encoder or its name; by default the one that the skill names.
        store: where features are kept; the user's own store when not given.
        precision: of the encoder; see `Predictor`.
        device: of the encoder; see `Predictor`.

    Raises:
        PackError: the skill cannot be used as it is on disk.
        MismatchError: the encoder is not the one it was taught on.
    """
    return Predictor(skill, encoder, store, precision=precision, device=device)
