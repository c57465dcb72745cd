"""A skill: the tensors of one fitted head, and everything a stranger must know to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful._version import __version__
from handful.contracts import Array, ClassText, Encoder
from handful.errors import InputError, MismatchError
from handful.packs import card, confidence, deltas, figures, golden, restore, statements
from handful.packs.format import FORMAT, NAMES, mismatched, read, to_files
from handful.packs.storage import write_files
from handful.packs.strict_json import plain
from handful.packs.support import Support
from handful.packs.support import read as read_support


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
    _adapter: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_adapter", restore.adapter(self.manifest, self.tensors, self.where)
        )
        golden.check(self.tensors, self._adapter, self.where)
        confidence.factor(self.manifest, self.where)
        deltas.read(self.manifest, self.tensors, self.where)
        deltas.untouched(self.tensors, len(self.classes), self.where)
        support = read_support(self.manifest, self.tensors, self.where)
        object.__setattr__(self, "support", support)

    @classmethod
    def of(
        cls,
        adapter: Any,
        text: ClassText,
        encoder: Encoder,
        *,
        templates: Sequence[str],
        support_ids: Sequence[str],
        support: Support | None = None,
        untouched: deltas.Untouched | None = None,
        training: Mapping[str, Any],
        evaluation: Mapping[str, Any] | None = None,
        licence: str = "unknown",
        created: datetime | None = None,
    ) -> Pack:
        """A skill from a fitted adapter.

        Args:
            adapter: fitted; its class must be a plug-in, so that its name finds it again.
            text: the classes, in the order of the columns.
            encoder: what the support features came from; it looks at a few synthetic pictures.
            templates: prompts of the classes.
            support_ids: digests of the support images.
            support: their features, labels and names, so that the skill can grow, name wrong labels
                and give reasons; without it the pack is smaller and says what it cannot do.
            untouched: of a tuned encoder, what it saw before; so that the skill finds its images
                in a library.
            training: facts about the fit (shots, seed, counts, ...), plain values.
            evaluation: numbers on images it has not seen and how they were measured.
            licence: an identifier as the Hugging Face hub knows them, such as `cc-by-4.0`.
            created: when; now if not given.

        Raises:
            InputError: not fitted, no plug-in, or a value that cannot be written as JSON.
        """
        if not hasattr(adapter, "module_"):
            raise InputError(f"{type(adapter).__name__} is not fitted yet; call fit first")
        params = plain(adapter.get_params(deep=False), "parameters")
        made = (created or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0, tzinfo=None)
        manifest = {
            "format": FORMAT,
            "handful": __version__,
            "created": f"{made.isoformat()}Z",
            "license": licence,
            "method": restore.method_of(adapter),
            "params": params,
            "classes": list(text.classes),
            "templates": list(templates),
            "scale": float(text.scale),
            "encoder": {
                "name": encoder.name,
                "fingerprint": encoder.fingerprint,
                "dim": encoder.dim,
                "precision": encoder.precision,
            },
            "support": _stated(support_ids, support),
            "training": plain(training, "training"),
            "evaluation": plain(evaluation, "evaluation"),
        }
        tuned, learned = deltas.of(encoder)
        entries, more = (
            statements.state(adapter, support, tuned=bool(tuned)) if support else ({}, {})
        )
        manifest |= plain(entries, "statements") | plain(tuned, "the tuner")
        made_of = restore.tensors_of(adapter) | (support.tensors() if support else {}) | more
        made_of |= learned | (untouched.tensors() if untouched else {})
        return cls(manifest, made_of | golden.make(adapter, encoder, confidence.factor(manifest)))

    @classmethod
    def load(cls, folder: str | Path) -> Pack:
        """Read a skill, a folder or a `.skill` file, and verify all of it; runs nothing of it.

        Raises:
            PackError: cut short, tampered with, too new, for a method that is not installed, or
                not a pack; names the file.
        """
        path = Path(folder)
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
        path = Path(folder)
        write_files(path, self.files(), overwrite=overwrite, known=NAMES)
        return path

    def files(self) -> dict[str, bytes]:
        """What `save` writes: name to content, the manifest last."""
        drawn = figures.files(self.manifest)
        return to_files(self.manifest, self.tensors, card.write(self.manifest), drawn)

    def taught(self, support: Support, **training: Any) -> Pack:
        """The same method taught with another support set, without images and encoder.

        Numbers measured on the skill as it was are dropped, and so is what it states of itself,
        which takes longer: see `stated`.

        Args:
            support: on the same encoder; its classes are the new skill's.
            training: facts to state beside or instead of those there are.

        Raises:
            InputError: the support set does not suit the method.
        """
        adapter = type(self._adapter)(**self.manifest["params"])
        adapter.fit(support.features, np.array(support.labels), support.text)
        facts = self.manifest["training"] | {"counts": support.counts} | training
        facts.pop("selection", None)
        if hasattr(adapter, "explain"):
            facts["selection"] = adapter.explain()
        kept_facts = {k: v for k, v in self.manifest.items() if k not in statements.KEYS}
        manifest = kept_facts | {
            "handful": __version__,
            "classes": list(support.text.classes),
            "support": _stated(support.ids, support),
            "training": plain(facts, "training"),
            "evaluation": None,
        }
        kept = restore.tensors_of(adapter) | golden.again(self.tensors, adapter)
        kept |= deltas.kept(self.tensors)
        return Pack(manifest, kept | support.tensors(), self.where)

    def stated(self) -> Pack:
        """The same skill with what it can state of itself (`handful.packs.statements`).

        A skill without a support set has nothing to say and stays as it is.
        """
        if self.support is None:
            return self
        tuned = deltas.KEY in self.manifest
        entries, more = statements.state(self._adapter, self.support, tuned=tuned)
        old = tuple(f"{key}." for key in statements.KEYS)
        tensors = {n: t for n, t in self.tensors.items() if not n.startswith(old)} | more
        manifest = self.manifest | plain(entries, "statements")
        factor = confidence.factor(manifest)
        if factor != confidence.factor(self.manifest):  # other probabilities, another picture
            tensors |= golden.again(self.tensors, self._adapter, factor)
        return replace(self, manifest=manifest, tensors=tensors)

    def with_evaluation(self, evaluation: Mapping[str, Any]) -> Pack:
        """The same skill with numbers measured on images it has not seen."""
        numbers = plain(evaluation, "evaluation")
        return replace(self, manifest=self.manifest | {"evaluation": numbers})

    @property
    def classes(self) -> tuple[str, ...]:
        """C names, in the order of the columns."""
        return tuple(self.manifest["classes"])

    @property
    def method(self) -> str:
        """Name of the adapter."""
        return str(self.manifest["method"])

    @property
    def semantics(self) -> str:
        """`inductive`, `batch` or `stream`: what an answer depends on besides its own image."""
        return str(getattr(self._adapter, "semantics", "inductive"))

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
        return cast(Array, self._adapter.logits(X))

    def probabilities(self, X: Array) -> Array:
        """`[M, D]` features to `[M, C]` probabilities, calibrated where the skill states how."""
        factor = confidence.factor(self.manifest, self.where)
        if factor == 1:  # also methods whose probabilities are no softmax
            return cast(Array, self._adapter.predict_proba(X))
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
        """Does this encoder see what the skill was taught with?

        Fingerprints must be equal. Precision may differ; then, as in every case, the golden image
        must get nearly the probabilities it got when the skill was made.

        Returns:
            Largest `|dp|` on the golden image, below 0.01.

        Raises:
            MismatchError: naming what differs, or which precision to use.
        """
        differing = mismatched(self.fingerprint, encoder.fingerprint)
        name = self.manifest["encoder"]["name"]
        if differing:
            raise MismatchError(
                f"{self.where} was made for another encoder: {'; '.join(differing)}. "
                f"Load {name!r} as it was then, or teach the skill again on {encoder.name!r}"
            )
        seen = encoder.images([encoder.prepare(Image.fromarray(self.tensors["golden.image"]))])
        given = self.probabilities(seen)[0]
        moved = float(np.abs(given - self.tensors["golden.probabilities"]).max())
        if moved < golden.TOLERANCE:
            return moved
        then, now = self.manifest["encoder"]["precision"], encoder.precision
        if then != now:
            cause = f"it was taught in {then} and the encoder computes in {now} here"
            cure = f"load the encoder with precision={then!r}"
        else:
            cause = "weights and precision are the same, so pictures are prepared differently here"
            cure = "install the versions of Pillow and transformers it was made with"
        raise MismatchError(
            f"{self.where}: its golden image gets other probabilities (they differ by {moved:.3f}, "
            f"expected less than {golden.TOLERANCE}): {cause}. To put it right, {cure}, or teach "
            "the skill again"
        )


def _stated(ids: Sequence[str], support: Support | None) -> dict[str, Any]:
    return {"images": list(ids), **(support.stated() if support else {})}
