"""A pool: photos without labels that help a fit (`handful.adapters.fit_with_pool`)."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from handful import data
from handful.adapters import PoolFit, fit_with_pool
from handful.contracts import Array, ClassText, Encoder, ImageRef
from handful.errors import InputError
from handful.features import Failure, Progress, extract_features
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.packs.format import Statements
from handful.packs.support import Support
from handful.skills.distinct import Distinct, find_unlabelled
from handful.skills.support import SupportFeatures
from handful.tasks import Task

METHOD = "auto"  # the method that a pool can help
IDS = "pool.ids"  # the tensor of a skill with the pool's digests, `[M, 32]` bytes
TRANSDUCTIVE = "transductive: the test photos themselves were used, without their labels"


@dataclass(frozen=True, eq=False)
class Pool:
    """Photos without labels, after the encoder.

    Args:
        features: `[M, D]` unit rows.
        ids: M image digests.
        in_support: names of photos that are byte for byte support images; left out of the M.
        repeated: names of photos that the pool holds already; they count once.
        failures: photos that could not be used, by name, with the reason.
        encoded: photos that went through the encoder now.
    """

    features: Array
    ids: tuple[str, ...]
    in_support: tuple[str, ...]
    repeated: tuple[str, ...]
    failures: tuple[Failure, ...]
    encoded: int


@dataclass(frozen=True, eq=False)
class Helped:
    """What a pool did to a fit, as a skill states it.

    Args:
        pool: the photos.
        fit: how far they are trusted, and left-out answers.
    """

    pool: Pool
    fit: PoolFit

    @property
    def facts(self) -> dict[str, Any]:
        """The entry `training.pool` of a manifest."""
        pool, trust = self.pool, round(self.fit.trust, 4)
        return {"images": len(pool.ids), "trust": trust, "failed": len(pool.failures)}

    def with_digests(self, statements: Statements | None) -> Statements:
        """Statements with the pool's digests, by which a test set can be cleared of it."""
        stated, tensors = statements or ({}, {})
        rows = [np.frombuffer(bytes.fromhex(i), dtype=np.uint8) for i in self.pool.ids]
        return stated, {**tensors, IDS: np.stack(rows)}


def teach(
    adapter: Any, support: SupportFeatures, text: ClassText, pool: Pool | None
) -> Helped | None:
    """Fit an adapter, with the help of a pool where there is one."""
    if pool is None:
        # an estimator of another task need not know groups
        knows = "groups" in inspect.signature(adapter.fit).parameters
        groups = {"groups": support.units} if knows else {}
        adapter.fit(support.features, support.targets, text, **groups)
        return None
    taught = adapter, support.features, support.targets, text, pool.features
    return Helped(pool, fit_with_pool(*taught, groups=support.units))


def pool_ids(pack: Pack) -> frozenset[str]:
    """Digests of the photos without labels that a skill was taught with; none as a rule."""
    found = pack.tensors.get(IDS)
    if found is None or found.ndim != 2:
        return frozenset()
    return frozenset(row.tobytes().hex() for row in found)


def find_pool(source: Any) -> list[ImageRef]:
    """The images of a pool; see `find_unlabelled`.

    Raises:
        InputError: there are none.
    """
    found = find_unlabelled(source, "unlabelled image")
    if not found:
        raise InputError("the pool of photos without labels is empty; leave it out, or add photos")
    return found


def check_pool(task: Task, method: str | None, *, tuned: bool = False) -> None:
    """Refuse a pool where it cannot help.

    Raises:
        InputError: another method than `auto`, a task of several labels an image, or an encoder
            that is to be tuned on the support images.
    """
    if tuned:
        raise InputError(
            "photos without labels and a tuner: how far they help is learned from support images, "
            "which a tuned encoder has seen; leave one of the two out, or let the tuner learn from "
            "them (Tuning.unlabelled with consistency=1)"
        )
    if not task.exclusive:
        raise InputError(
            f"photos without labels help skills of one label an image; this one answers "
            f"{task.answers}, leave the pool out"
        )
    if (method or task.default_method) != METHOD:
        raise InputError(
            f"photos without labels help the method {METHOD}, not {method}; leave one of the two "
            "out"
        )


def encode_pool(
    encoder: Encoder,
    images: Sequence[ImageRef],
    support_ids: Sequence[str],
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Pool:
    """Features of a pool, without unreadable photos, repeated ones and support images.

    Raises:
        InputError: nothing is left.
    """
    found = extract_features(encoder, images, store, progress=progress)
    left = Distinct.of(found, images, frozenset(support_ids))
    if not left.rows:
        why = f", {len(left.in_support)} are support images" if left.in_support else ""
        raise InputError(
            f"none of the {len(images)} photos without labels can be used{why}"
            f"{data.describe_failures(found.failures)}"
        )
    return Pool(
        found.features.values[list(left.rows)],
        tuple(found.features.ids[r] for r in left.rows),
        left.in_support,
        left.repeated,
        found.failures,
        found.encoded,
    )


def refit_with_pool(pack: Pack, features: Array) -> tuple[Any, float]:
    """The method of a skill, fitted anew with a pool, and how far the pool is trusted.

    Args:
        pack: a skill of the method `auto` with its support set; it stays as it is.
        features: `[M, D]` unit rows of the pool.

    Raises:
        InputError: another method or task.
    """
    check_pool(pack.task, pack.method)
    support: Support | None = pack.support
    if support is None:
        raise InputError(
            f"{pack.where}: was saved without the features of its images, so it cannot be fitted "
            "with a pool; teach it again with handful fit"
        )
    adapter = type(pack.adapter)(**pack.manifest["params"])
    fitted = fit_with_pool(
        *(adapter, support.features, support.targets, support.text, features),
        groups=support.units,
        left_out=False,
    )
    return adapter, fitted.trust
