"""Pictures to features or activations: what is known comes from disk, the rest is encoded.

Pictures are decoded in threads, ahead of the encoder.

Every finished batch is stored before the next begins, so that whatever ends a run (Ctrl-C, a kill,
a power cut), the next run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from handful.contracts import Encoder, Features, ImageRef
from handful.data.splits import checked_seed
from handful.errors import InputError
from handful.features.activations import extract_activations
from handful.features.encoding import Progress
from handful.features.results import BATCH, Activations, Failure, failures
from handful.features.store import FeatureStore
from handful.features.threads import processors, threads
from handful.features.vectors import FeatureRun

__all__ = [
    "BATCH",
    "Activations",
    "Extraction",
    "Failure",
    "Progress",
    "extract_activations",
    "extract_features",
    "processors",
]


@dataclass(frozen=True, eq=False)
class Extraction:
    """Features of the good images and an account of the others.

    Args:
        features: `[K, D]` rows of the good images, in order.
        kept: K positions of them among the images asked for.
        failures: the images that could not be used, in order.
        encoded: different pictures that went through the encoder now.
        known: images whose features were in the store already.
    """

    features: Features
    kept: tuple[int, ...]
    failures: tuple[Failure, ...]
    encoded: int
    known: int


def extract_features(
    encoder: Encoder,
    images: Sequence[ImageRef],
    store: FeatureStore | None = None,
    *,
    views: int = 1,
    seed: int = 0,
    batch_size: int = BATCH,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Extraction:
    """Features of N images, from the store where it knows them.

    One bad image is a `Failure` and never stops the others. Pictures of equal content are encoded
    once. With V > 1 views a row is `unit(mean_v unit(f(view_v(x))))`. Tip-Adapter's code averages
    before any normalisation, which differs only in weighing the views of one picture by the
    lengths of their raw features.

    Args:
        encoder: what turns pictures into features.
        images: N pictures, in any mixture of files, bytes and pixels.
        store: where features are kept; the user's own store when not given.
        views: V, augmented views averaged into each row; 1 means the picture as it is.
        seed: of the views; it counts only where there are several.
        batch_size: pictures (or views) a call of the encoder.
        workers: threads that hash and decode; as many as there are processors when not given.
        progress: called with (images done, N).

    Raises:
        InputError: no images, or an argument that makes no sense.
        StorageError: the store cannot be read or written (full disk); what was stored is kept.
    """
    if not len(images):
        raise InputError("no images given; expected at least one to compute features of")
    if views < 1 or batch_size < 1 or (workers is not None and workers < 1):
        raise InputError(
            "expected views, batch_size and workers of 1 or more, "
            f"got {views}, {batch_size} and {workers}"
        )
    seed = checked_seed(seed)
    kept_in = FeatureStore() if store is None else store
    run = FeatureRun(encoder, images, kept_in, views, seed, progress or (lambda done, total: None))
    with threads(workers or processors()) as pool:
        run.look_up(pool)
        run.encode(pool, max(1, batch_size // views))
    return _result(run)


def _result(run: FeatureRun) -> Extraction:
    """The rows in the order of the images."""
    kept, slots = run.kept()
    ids = tuple(run.digests[slot] for slot in slots)
    rows = Features(run.values[slots], ids, run.encoder.fingerprint)
    return Extraction(rows, kept, failures(run), run.encoded, run.known)
