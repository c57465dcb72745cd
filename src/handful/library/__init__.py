"""Many skills and their one encoder, joined: images in, each answered by the skill it belongs to.

library = Library.init("library", "tiny")
library.add("skills/birds")
library.predict(["new.jpg"])            which task, and which of its classes
library.predict(["new.jpg"], task="birds")
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import encoders
from handful.contracts import Array, ClassText, Encoder, ImageRef
from handful.errors import InputError, PackError
from handful.features import Progress, extract_features, stream
from handful.features.store import FeatureStore
from handful.library._backbone import Backbone, LeftOutError
from handful.library.answer import Answer, answered, scores
from handful.library.ensemble import MOST, See, Skill, Skills
from handful.library.entry import Entry
from handful.library.folder import Shelf, is_library
from handful.packs import Pack
from handful.packs.unknown import Detector, read

__all__ = ["BATCH", "Answer", "Entry", "Library", "is_library"]

BATCH = 1024  # paths looked at together


class Library:
    """A folder of skills on one frozen encoder.

    A skill that cannot be verified is left out and named in `broken`; the rest serves. Reading
    writes nothing into the folder.

    Args:
        folder: of the library; `Library.init` makes one.
        encoder: the encoder or its name; by default the one that the library names, loaded when it
            is first needed.
        store: where features are kept; the user's own store when not given.
        most: of the skills that change the encoder, so many run for an image, the likeliest ones;
            their answers are mixed by how likely each is.

    Raises:
        PackError: no library.

    Attributes:
        shelf: the folder.
        skills: those that can be used.
        broken: name to why it cannot be used.
    """

    def __init__(
        self,
        folder: str | Path,
        encoder: Encoder | str | None = None,
        store: FeatureStore | None = None,
        most: int = MOST,
    ) -> None:
        self.shelf, self.most = Shelf.open(folder), most
        self.store = store
        self._backbone = Backbone(self.shelf, encoder, self._leave)
        self.broken: dict[str, str] = {}
        found = []
        for name, pack in self.shelf.each():
            if isinstance(pack, PackError):
                self.broken[name] = str(pack)
            else:
                found.append(Skill.of(name, pack))
        self.skills = Skills(found, self._detector, most)

    @classmethod
    def init(
        cls, folder: str | Path, encoder: Encoder | str, store: FeatureStore | None = None
    ) -> Library:
        """Make an empty library for one encoder.

        Raises:
            InputError: something is there already.
            StorageError: the disk refused.
        """
        loaded = encoders.load(encoder) if isinstance(encoder, str) else encoder
        Shelf.init(folder, loaded)
        return cls(folder, loaded, store)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the skills that can be used, sorted."""
        return self.skills.names

    @property
    def encoder(self) -> Encoder:
        """The encoder, checked against the library.

        Raises:
            MismatchError: another one.
            MissingModelError: it is neither on this disk nor reachable.
        """
        return self._backbone.encoder(self.skills)

    def tuned(self, name: str) -> Encoder:
        """The library's encoder with what a skill changes of it.

        Raises:
            PackError: the change does not fit the encoder; the skill is left out from now on.
        """
        return self._backbone.tuned(name, self.encoder)

    def attach(self) -> None:
        """Try what skills change of the encoder now; one that does not fit is left out."""
        for skill in self.skills.skills:
            if skill.tuned:
                with suppress(LeftOutError):
                    self.tuned(skill.name)

    def add(self, skill: Pack | str | Path, name: str | None = None) -> str:
        """Put a skill in, whole or not at all; no other skill changes, nor any answer of one.

        Args:
            skill: a skill or its folder.
            name: what the library calls it; the folder's name when not given.

        Returns:
            The name.

        Raises:
            InputError: a name that is taken or cannot be one, a skill that no library can serve.
            MismatchError: it is of another encoder.
            StorageError: the disk refused.
        """
        given = self.shelf.add(skill, name)
        more = Skill.of(given, self.shelf.load(given))
        self.skills = Skills([*self.skills.skills, more], self._detector, self.most)
        return given

    def remove(self, name: str) -> None:
        """Take a skill out; the others stay as they are.

        Raises:
            InputError: there is none of this name.
            StorageError: the disk refused.
        """
        self.shelf.remove(name)
        self._backbone.forget(name)
        self._without(name)
        self.broken.pop(name, None)

    def predict(
        self,
        images: Any,
        task: str | None = None,
        unknown: float | None = None,
        *,
        top_k: int | None = None,
        also: ClassText | None = None,
        progress: Progress | None = None,
    ) -> list[Answer]:
        """Classify images, each by the skill that it belongs to; one bad image stops no other.

        Args:
            images: paths, bytes, PIL images, arrays or `ImageRef`s, mixed; or a single one.
            task: the skill to ask; without it every image finds its own, whatever the others are.
            unknown: a false-accept rate: of images of no known task at most this share is taken for
                one of a task. The others are answered by zero-shot over all classes and marked.
            top_k: answers an image; all that are possible when not given.
            also: further classes, known by text alone, that zero-shot may answer.
            progress: called with (images done, images in all).

        Raises:
            InputError: no such task; a rate that cannot be promised; both a task and a rate.
        """
        if task is not None and unknown is not None:
            raise InputError(
                "a named task and a false-accept rate contradict each other: whoever names the "
                "task says that the image is of it; leave one of the two out"
            )
        if top_k is not None and top_k < 1:
            raise InputError(f"expected top_k of 1 or more, got {top_k}")
        if task is None:
            self.skills.check(unknown)
        else:
            self._position(task)
        several = [images] if stream.is_single_image(images) else list(images)
        if not several:
            return []
        runs = stream.encode_batches(
            self.encoder, several, BATCH, self.store, total=len(several), progress=progress
        )
        result: list[Answer] = []
        for run in runs:
            said = None
            while said is None:
                with suppress(LeftOutError):  # answered again by the skills that are left
                    said = self.says(
                        run.features,
                        run.names,
                        task,
                        unknown,
                        top_k=top_k,
                        also=also,
                        see=self.see(run.refs),
                    )
            result += run.in_order(said, (Answer(f.name, [], f.reason) for f in run.failures))
        return result

    def says(
        self,
        features: Array,
        names: Sequence[str],
        task: str | None = None,
        unknown: float | None = None,
        *,
        top_k: int | None = None,
        also: ClassText | None = None,
        see: See | None = None,
    ) -> list[Answer]:
        """The same for `[M, D]` features of the library's encoder.

        Args:
            features: unit rows.
            names: M names of the images.
            task: as for `predict`, and so are the others.
            unknown: a false-accept rate.
            top_k: answers an image.
            also: further classes for zero-shot.
            see: a task that changes the encoder and rows to features of its own.

        Raises:
            InputError: a task changes the encoder, and nothing was given to see with.
        """
        if not len(features):
            return []
        if task is not None:
            skill = self.skills.skills[self._position(task)]
            rows = scores(skill.classes, self.skills.named(features, task, see), top_k)
            pairs = zip(names, rows, strict=True)
            return [Answer(name, row, task=task) for name, row in pairs]
        return answered(self.skills, features, names, unknown, top_k, also, see)

    def see(self, refs: Sequence[ImageRef]) -> See:
        """What a skill that changes the encoder sees of some of the images."""

        def seen(name: str, places: NDArray[np.int64]) -> Array:
            mine = [refs[i] for i in places.tolist()]
            found = extract_features(self.tuned(name), mine, self.store)
            if found.failures:
                failure = found.failures[0]
                raise InputError(f"{failure.name}: {failure.reason} (asked again for {name!r})")
            return found.features.values

        return seen

    def _leave(self, name: str, why: str) -> None:
        self.broken[name] = why
        self._without(name)

    def _without(self, name: str) -> None:
        left = [s for s in self.skills.skills if s.name != name]
        self.skills = Skills(left, self._detector, self.most)

    def _position(self, task: str) -> int:
        if task in self.broken:
            raise PackError(f"the skill {task!r} cannot be used: {self.broken[task]}")
        return self.skills.position(task)

    def _detector(self, name: str) -> Detector:
        pack = self.shelf.load(name)
        return read(pack.manifest, pack.tensors, pack.support, pack.where)
