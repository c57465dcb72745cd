"""A skill: the tensors of one fitted head, and all that is needed to use it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from handful import tasks
from handful._version import __version__
from handful.contracts import Array, ClassText, Encoder, at_home
from handful.packs import confidence, deltas, description, golden, head
from handful.packs.format import FORMAT, NAMES, Statements, read, to_files
from handful.packs.schema import without_derived
from handful.packs.storage import as_path, write_files
from handful.packs.strict_json import plain
from handful.packs.support import Support
from handful.packs.support_reading import read_support
from handful.tasks import Task


@dataclass(frozen=True, eq=False)
class Pack:
    """A skill, in memory or from disk. Make one with `Pack.of` or `Pack.load`.

    Args:
        manifest: what stands in `pack.json`; see `docs/packs.md`.
        tensors: `head.*` (what the method's head is built from) and `golden.*` (what it must
            answer); others are carried along.
        where: what errors call it.

    Raises:
        PackError: the parts do not make a working head, or it answers something else.
    """

    manifest: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    where: str = "the skill"
    support: Support | None = field(init=False, repr=False)
    adapter: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # the dataclass is frozen; all of these refuse what is not sound, before anything is used
        object.__setattr__(self, "adapter", head.restore(self.manifest, self.tensors, self.where))
        golden.check(self.tensors, self.adapter, self.where)
        confidence.factor(self.manifest, self.where)
        deltas.read(self.manifest, self.tensors, self.where)
        deltas.untouched(self.tensors, len(self.classes), self.where)
        support = read_support(self.manifest, self.tensors, self.where)
        object.__setattr__(self, "support", support)

    def __repr__(self) -> str:
        return description.one_line(self.manifest)

    @classmethod
    def of(
        cls,
        adapter: Any,
        text: ClassText,
        encoder: Encoder,
        *,
        task: str = tasks.DEFAULT,
        templates: Sequence[str],
        support_ids: Sequence[str],
        support: Support | None = None,
        untouched: deltas.Untouched | None = None,
        statements: Statements | None = None,
        entries: Mapping[str, Any] | None = None,
        training: Mapping[str, Any],
        evaluation: Mapping[str, Any] | None = None,
        licence: str = "unknown",
        created: datetime | None = None,
    ) -> Pack:
        """A skill from a fitted estimator.

        Args:
            adapter: fitted; its class must be a plug-in, so that its name finds it again.
            text: the classes, in the order of the columns.
            encoder: what the support features came from; it looks at a few synthetic pictures.
            task: what is asked of the skill, a file of `handful.tasks`.
            templates: prompts of the classes.
            support_ids: digests of the support images.
            support: their features, labels and names, for edits and explanations.
            untouched: the support set before the encoder was tuned, by which a library finds it.
            statements: what the skill states of itself (`handful.skills.statements.state`).
            entries: further entries of the manifest, those of its task.
            training: facts about the fit (shots, seed, counts, ...).
            evaluation: numbers on images it has not seen and how they were measured.
            licence: an identifier of the Hugging Face Hub, such as `cc-by-4.0`.
            created: when; now if not given.

        Raises:
            InputError: not fitted, no plug-in, or a value that cannot be written as JSON.
        """
        head.check_fitted(adapter)
        stated, more = statements or ({}, {})
        tuned, learned = deltas.of(encoder)
        manifest = {
            **_new_manifest(created, licence),
            "task": task,
            "method": head.method_of(adapter, task),
            "params": plain(adapter.get_params(deep=False), "parameters"),
            "classes": list(text.classes),
            "templates": list(templates),
            "scale": float(text.scale),
            "encoder": _encoder_facts(encoder),
            "support": support_facts(support_ids, support),
            "training": plain(training, "training"),
            "evaluation": plain(evaluation, "evaluation"),
            **plain({**stated, **tuned, **(entries or {})}, "statements"),
        }
        tensors = head.tensors_of(adapter) | (support.tensors() if support else {}) | dict(more)
        tensors |= learned | (untouched.tensors() if untouched else {})
        return cls(manifest, tensors | golden.make(adapter, encoder, confidence.factor(manifest)))

    @classmethod
    def load(cls, folder: str | Path) -> Pack:
        """Read a skill, a folder or a `.skill` file, and verify all of it; runs nothing of it.

        Raises:
            PackError: cut short, tampered with, too new, for a method that is not installed, or
                not a pack; names the file.
        """
        path = at_home(folder)
        return cls(*read(path), str(path))

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the skill, whole or not at all; the same skill always gives the same bytes.

        Args:
            folder: a name that is free, or with `overwrite` a skill to replace; a name that ends
                in `.skill` makes it one file.
            overwrite: replace the skill that is there.

        Raises:
            InputError: something is there that may not be replaced.
            StorageError: the disk refused; what was there before is untouched.
        """
        path = as_path(folder)
        write_files(path, self.files(), overwrite=overwrite, known=NAMES)
        return path

    def files(self) -> dict[str, bytes]:
        """What `save` writes: name to content, the manifest last."""
        from handful.packs import card, figures  # only saving needs the libraries of the card

        drawn = figures.files(self.manifest)
        return to_files(self.manifest, self.tensors, card.write(self.manifest), drawn)

    def with_evaluation(self, evaluation: Mapping[str, Any]) -> Pack:
        """The same skill with numbers measured on images it has not seen."""
        numbers = plain(evaluation, "evaluation")
        return replace(self, manifest=without_derived(self.manifest) | {"evaluation": numbers})

    @property
    def classes(self) -> tuple[str, ...]:
        """C names, in the order of the columns."""
        return tuple(self.manifest["classes"])

    @property
    def task(self) -> Task:
        """What is asked of the skill."""
        return tasks.get(tasks.of_manifest(self.manifest))

    @property
    def method(self) -> str:
        """Name of the adapter."""
        return str(self.manifest["method"])

    @property
    def semantics(self) -> str:
        """`inductive`, `batch` or `stream`: what an answer depends on besides its own image."""
        return str(getattr(self.adapter, "semantics", "inductive"))

    @property
    def fingerprint(self) -> str:
        """The encoder it belongs to."""
        return str(self.manifest["encoder"]["fingerprint"])

    @property
    def support_ids(self) -> tuple[str, ...]:
        """Digests of the images it was taught with."""
        return tuple(self.manifest["support"]["images"])

    def logits(self, X: Array) -> Array:
        """`[M, D]` features to `[M, C]` logits."""
        return cast(Array, self.adapter.logits(X))

    def probabilities(self, X: Array) -> Array:
        """`[M, D]` features to `[M, C]` probabilities, calibrated where the skill states how."""
        factor = confidence.factor(self.manifest, self.where)
        if factor == 1:  # also methods whose probabilities are no softmax
            return cast(Array, self.adapter.predict_proba(X))
        return confidence.probabilities(self.logits(X), factor)

    def sets(self, X: Array, error: float) -> NDArray[np.bool_]:
        """`[M, D]` features to `[M, C]`: which classes each image may be of.

        The true class is missing from at most `error` of the sets, on average over support sets
        and images like the support images. A set can hold several classes, or none where the image
        is less like every class than the promise asks for.

        Raises:
            InputError: a rate the support set is too small to promise, or a skill that has no
                left-out answers (one image a class, made before, answers depend on other images).
        """
        return confidence.sets(self.manifest, self.tensors, self.logits(X), error, self.where)

    def check_encoder(self, encoder: Encoder) -> float:
        """Is this the encoder that the skill was taught on? See `handful.packs.golden`.

        Returns:
            Largest `|dp|` on the golden image, below 0.01.

        Raises:
            MismatchError: naming what differs, or which precision to use.
        """
        return golden.check_encoder(
            self.manifest, self.tensors, encoder, self.probabilities, self.where
        )


def support_facts(ids: Sequence[str], support: Support | None) -> dict[str, Any]:
    """What stands under `support` in the manifest."""
    return {"images": list(ids), **(support.stated() if support else {})}


def _new_manifest(created: datetime | None, licence: str) -> dict[str, Any]:
    made = (created or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0, tzinfo=None)
    return {
        "format": FORMAT,
        "handful": __version__,
        "created": f"{made.isoformat()}Z",
        "license": licence,
    }


def _encoder_facts(encoder: Encoder) -> dict[str, Any]:
    return {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "dim": encoder.dim,
        "precision": encoder.precision,
    }
