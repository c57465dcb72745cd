"""Housekeeping of a folder with features and activations, as of one store."""

from __future__ import annotations

from pathlib import Path

from handful.features.store.activation_store import ActivationStore
from handful.features.store.base import Health, Pruned, Store
from handful.features.store.feature_store import FeatureStore
from handful.features.store.spaces import named


def check(path: Path | None = None) -> Health:
    """Read every feature and every row of activations; changes nothing."""
    with FeatureStore(path) as features, ActivationStore(path) as activations:
        found = (features.check(), activations.check())
    problems = tuple(problem for health in found for problem in health.problems)
    return Health(sum(health.rows for health in found), problems)


def prune(
    path: Path | None = None,
    wanted: str | None = None,
    *,
    unused_days: float | None = None,
    max_bytes: int | None = None,
    damaged: bool = False,
    activations: bool = False,
) -> Pruned:
    """Remove features and activations, as the stores' own `prune` does.

    Args:
        path: the stores' folder; default the user's own.
        wanted: see `Store.prune`.
        unused_days: see `Store.prune`.
        max_bytes: what both may take together; activations go first.
        damaged: remove broken rows and broken files.
        activations: leave features alone; with no other argument, all activations go.

    Raises:
        InputError: nothing was asked for, there is no store, or no space is called `wanted`.
        StorageError: a store cannot be written.
    """
    if activations and wanted is None and unused_days is None and not damaged:
        max_bytes = max_bytes or 0
    with FeatureStore(path) as features, ActivationStore(path) as large:
        every: list[Store] = [large] if activations else [large, features]
        present = [store for store in every if store.file.exists()] or every[-1:]
        holders = present
        if wanted is not None:
            named([space for store in present for space in store.summary()], wanted)
            holders = [s for s in present if any(each.matches(wanted) for each in s.summary())]
        only_named = unused_days is None and max_bytes is None and not damaged
        done = []
        for store in holders if only_named else present:
            others = sum(other.size for other in present if other is not store)
            done.append(
                store.prune(
                    wanted if store in holders else None,
                    unused_days=unused_days,
                    max_bytes=None if max_bytes is None else max(0, max_bytes - others),
                    damaged=damaged,
                )
            )
    return Pruned(
        sum(each.rows for each in done),
        sum(each.bytes for each in done),
        any(each.replaced for each in done),
    )
