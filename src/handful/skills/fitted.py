"""`Fitted`: a skill that was just taught, which answers, is measured and is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.contracts import Encoder
from handful.features import Failure, Progress
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.skills.evaluate import Evaluated, evaluate
from handful.skills.pool import Pool
from handful.skills.predict import Predictor
from handful.skills.prediction import Prediction
from handful.skills.predictions import Predictions

if TYPE_CHECKING:
    from handful.tuners import Trained


@dataclass(frozen=True)
class Fitted:
    """A new skill and how it came about.

    Args:
        pack: the skill.
        failures: images that could not be used, by name, with the reason.
        encoded: images that went through the encoder; features of the rest were in the store.
        seconds: time spent fitting the adapter alone.
        ignored: files passed over while looking for images: how many of each kind.
        encoder: what it was taught on, loaded; tuned where there was a tuner.
        trained: the tuned encoder and the report of its training, where there was one.
        store: where features are kept; None for the user's own store.
        pool: the photos without labels that helped, where there were any.
        repeated: names of images that are there already, byte for byte; each picture counts once.
        dropped: names of images that have several labels and were left out.
        notes: what to know of the groups that were found or stated, a sentence each.
    """

    pack: Pack
    failures: tuple[Failure, ...]
    encoded: int
    seconds: float
    ignored: Mapping[str, int]
    encoder: Encoder = field(repr=False)
    trained: Trained | None = None
    store: FeatureStore | None = field(default=None, repr=False)
    pool: Pool | None = field(default=None, repr=False)
    repeated: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """One line, as of its skill."""
        return repr(self.pack).replace("<Pack", "<Fitted", 1)

    @property
    def selection(self) -> Mapping[str, Any] | None:
        """Why these methods, where the adapter chose: `reason` and `ranking` (`Auto.explain`)."""
        chosen: Mapping[str, Any] | None = self.pack.manifest["training"].get("selection")
        return chosen

    @cached_property
    def predictor(self) -> Predictor:
        """The skill, ready to answer; `Predictor(fitted, unknown=0.05)` for another one."""
        return Predictor(self)

    def predict(
        self,
        images: Any,
        top_k: int | None = None,
        progress: Progress | None = None,
        *,
        unknown: float | None = None,
        error: float | None = None,
    ) -> Predictions[Prediction]:
        """Classify images; the same answers, bit for bit, as of the saved skill.

        See `Predictor.predict`.
        """
        return self.predictor.predict(images, top_k, progress, unknown=unknown, error=error)

    def evaluate(self, source: Any, **options: Any) -> Evaluated:
        """Measure the skill on labelled images; see `handful.evaluate`."""
        return evaluate(self.predictor, source, **options)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the skill, whole or not at all; `handful.load(folder)` reads it again.

        Args:
            folder: a name that is free, or with `overwrite` a skill to replace; a name that ends
                in `.skill` makes it one file.
            overwrite: replace the skill that is there.

        Raises:
            InputError: something is there that may not be replaced.
            StorageError: the disk refused; what was there before is untouched.
        """
        return self.pack.save(folder, overwrite=overwrite)
