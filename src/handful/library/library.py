"""Many skills on one frozen encoder: images in, each answered by the skill it belongs to.

library = Library.init("library", "tiny")
library.add("skills/birds")
library.predict(["new.jpg"])            which task, and which of its classes
library.predict(["new.jpg"], task="birds")

Over 250 lines for the arguments of one class, each told in a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from handful import data, encoders
from handful.contracts import Array, ClassText, Encoder, ImageRef
from handful.errors import InputError, PackError
from handful.features import Progress, extract_features, stream
from handful.features.store import FeatureStore
from handful.library._encoder import UnusableSkillError, find_encoder, tune
from handful.library.ensemble import MAX_TUNED, SkillEnsemble, TunedFeatures
from handful.library.folder import LibraryFolder
from handful.library.prediction import LibraryPrediction, predict_features
from handful.library.skill import Skill
from handful.library.task_support import Indices
from handful.packs import Pack
from handful.packs.novelty import Detector, read
from handful.skills.answer_table import Schema
from handful.skills.predict import BATCH
from handful.skills.predictions import Predictions


class Library:
    """A folder of skills on one frozen encoder.

    A skill that cannot be verified is left out and named in `broken`; the rest serves. Reading
    writes nothing into the folder.

    Args:
        folder: of the library; `Library.init` makes one.
        encoder: the encoder or its name; by default the one that the library names, loaded when it
            is first needed.
        store: where features are kept; the user's own store when not given.
        max_tuned: of the skills that tune the encoder, so many run for an image, the likeliest
            ones; their answers are mixed by how likely each is.
        precision: of an encoder that is loaded by name; see `handful.Predictor`.
        device: likewise.

    Raises:
        PackError: no library.

    Attributes:
        folder: the library on disk.
        ensemble: the skills that can be used.
        broken: name to why it cannot be used.
    """

    def __init__(
        self,
        folder: str | Path,
        encoder: Encoder | str | None = None,
        store: FeatureStore | None = None,
        max_tuned: int = MAX_TUNED,
        *,
        precision: str = "auto",
        device: str = "auto",
    ) -> None:
        self._options = {"precision": precision, "device": device}
        self.folder, self.store, self._max_tuned = LibraryFolder.open(folder), store, max_tuned
        self._given: Encoder | str | None = encoder
        self._encoder: Encoder | None = None
        self._tuned: dict[str, Encoder] = {}
        self.encoded = 0
        self.broken: dict[str, str] = {}
        skills = []
        for name, pack in self.folder.load_all():
            if isinstance(pack, PackError):
                self.broken[name] = str(pack)
            else:
                skills.append(Skill.from_pack(name, pack))
        self._use(skills)

    @classmethod
    def init(
        cls,
        folder: str | Path,
        encoder: Encoder | str,
        store: FeatureStore | None = None,
        *,
        precision: str = "auto",
        device: str = "auto",
    ) -> Library:
        """Make an empty library for one encoder.

        Raises:
            InputError: something is there already.
            StorageError: the disk refused.
        """
        loaded = encoders.load(encoder, precision=precision, device=device)
        LibraryFolder.init(folder, loaded)
        return cls(folder, loaded, store)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the skills that can be used, sorted."""
        return self.ensemble.names

    @property
    def encoder(self) -> Encoder:
        """The frozen encoder, checked against the library.

        Raises:
            MismatchError: another one.
            MissingModelError: it is neither on this disk nor reachable.
        """
        if self._encoder is None:
            skills = self.ensemble.skills
            found, misfits = find_encoder(self.folder, self._given, skills, **self._options)
            self._encoder = found
            for name, why in misfits.items():
                self._exclude(name, why)
        return self._encoder

    def tuned(self, name: str) -> Encoder:
        """The library's encoder as a skill tunes it.

        Raises:
            PackError: its tuning does not fit the encoder; the skill is left out from now on.
        """
        if name not in self._tuned:
            frozen = self.encoder
            try:
                self._tuned[name] = tune(frozen, name, self.folder.load(name))
            except UnusableSkillError as error:
                self._exclude(name, str(error.__cause__))
                raise
        return self._tuned[name]

    def check_tuned(self) -> None:
        """Tune the encoder for every skill that does so; one that does not fit is left out."""
        for skill in self.ensemble.skills:
            if skill.tuned:
                with suppress(UnusableSkillError):
                    self.tuned(skill.name)

    def add(self, skill: Pack | str | Path, name: str | None = None) -> str:
        """Put a skill in, whole or not at all; no other skill changes, nor any answer of one.

        Args:
            skill: a skill or its folder.
            name: what the library calls it, which is returned; by default the folder's name.

        Raises:
            InputError: a name that is taken or cannot be one, a skill that no library can serve.
            MismatchError: it is of another encoder.
            StorageError: the disk refused.
        """
        added = self.folder.add(skill, name)
        self._use([*self.ensemble.skills, Skill.from_pack(added, self.folder.load(added))])
        return added

    def remove(self, name: str) -> None:
        """Take a skill out; the others stay as they are.

        Raises:
            InputError: there is none of this name.
            StorageError: the disk refused.
        """
        self.folder.remove(name)
        self._tuned.pop(name, None)
        self._use(skill for skill in self.ensemble.skills if skill.name != name)
        self.broken.pop(name, None)

    def predict(
        self,
        images: Any,
        task: str | None = None,
        unknown: float | None = None,
        *,
        top_k: int | None = None,
        extra_classes: ClassText | None = None,
        progress: Progress | None = None,
    ) -> Predictions[LibraryPrediction]:
        """Classify images, each by the skill that it belongs to; one bad image stops no other.

        Args:
            images: as for `Predictor.predict`.
            task: the skill that answers; by default every image is routed by itself.
            unknown: a false-accept rate: of images of no known task at most this share is taken for
                one of a task. The others are answered by zero-shot over all classes and marked.
            top_k: answers an image; all that are possible when not given.
            extra_classes: further classes, known by text alone, that zero-shot may answer.
            progress: called with (images done, images in all).

        Raises:
            InputError: no such task; a rate that cannot be promised; both a task and a rate.
        """
        self._check_request(task, unknown, top_k)
        several = list(data.images_of(images))
        schema = self.schema(task, unknown, top_k=top_k)
        if not several:
            return Predictions([], schema)
        answers = self.predict_batches(
            *(several, task, unknown),
            top_k=top_k,
            extra_classes=extra_classes,
            progress=progress,
        )
        return Predictions(chain.from_iterable(answers), schema)

    def predict_batches(
        self,
        images: Sequence[Any],
        task: str | None = None,
        unknown: float | None = None,
        *,
        top_k: int | None = None,
        extra_classes: ClassText | None = None,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> Iterator[list[LibraryPrediction]]:
        """The same, `batch` images at a time; see `predict`."""
        self._check_request(task, unknown, top_k)
        batches = stream.encode_batches(
            self.encoder, images, batch, self.store, total=len(images), progress=progress
        )
        for found in batches:
            self.encoded += found.encoded
            answers = None
            while answers is None:
                # a skill may turn out not to fit: then those that are left answer
                self._check(task, unknown)
                with suppress(UnusableSkillError):
                    answers = predict_features(
                        self.ensemble,
                        found.features,
                        found.names,
                        task,
                        unknown,
                        top_k=top_k,
                        extra_classes=extra_classes,
                        tuned_features=self.tuned_features(found.refs),
                    )
            failed = (LibraryPrediction(f.name, [], f.reason) for f in found.failures)
            yield found.in_order(answers, failed)

    def schema(
        self, task: str | None = None, unknown: float | None = None, *, top_k: int | None = None
    ) -> Schema:
        """The columns of answers to such a request, for `handful.skills.outputs`."""
        asked = [s for s in self.ensemble.skills if task in (None, s.name)]
        return Schema(
            skills={skill.name: skill.digest for skill in asked},
            library=True,
            top_k=top_k,
            unknown=unknown,
            precision=self.encoder.precision,
        )

    def tuned_features(self, refs: Sequence[ImageRef]) -> TunedFeatures:
        """What gives the features of some of these images by a tuned skill's encoder."""

        def extract(name: str, rows: Indices) -> Array:
            some = [refs[i] for i in rows.tolist()]
            found = extract_features(self.tuned(name), some, self.store)
            if found.failures:
                failure = found.failures[0]
                raise InputError(f"{failure.name}: {failure.reason} (asked again for {name!r})")
            return found.features.values

        return extract

    def _use(self, skills: Iterable[Skill]) -> None:
        self.ensemble = SkillEnsemble(skills, self._detector, self._max_tuned)

    def _exclude(self, name: str, why: str) -> None:
        self.broken[name] = why
        self._use(skill for skill in self.ensemble.skills if skill.name != name)

    def _check_request(self, task: str | None, unknown: float | None, top_k: int | None) -> None:
        """Refuse a request that contradicts itself, or that cannot be answered."""
        if task is not None and unknown is not None:
            raise InputError(
                "a named task and a false-accept rate contradict each other: whoever names the "
                "task says that the image is of it; leave one of the two out"
            )
        if top_k is not None and top_k < 1:
            raise InputError(f"expected top_k of 1 or more, got {top_k}")
        self._check(task, unknown)

    def _check(self, task: str | None, unknown: float | None) -> None:
        """Refuse what cannot be answered."""
        if task is None:
            self.ensemble.check(unknown)
        elif task in self.broken:
            raise PackError(f"the skill {task!r} cannot be used: {self.broken[task]}")
        else:
            self.ensemble.index(task)

    def _detector(self, name: str) -> Detector:
        pack = self.folder.load(name)
        return read(pack.manifest, pack.tensors, pack.support, pack.where)
