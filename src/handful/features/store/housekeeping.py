"""Housekeeping of a folder with features and activations, as of one store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from handful.errors import InputError
from handful.features.store.activation_store import ActivationStore
from handful.features.store.common import Health, Pruned
from handful.features.store.feature_store import FeatureStore

_Either = ActivationStore | FeatureStore


@dataclass(frozen=True)
class Cleared:
    """What was removed from a folder.

    Args:
        pruned: rows and bytes.
        replaced: whether a file was so damaged that an empty one is in its place.
    """

    pruned: Pruned
    replaced: bool


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
) -> Cleared:
    """Remove features and activations, as the stores' own `prune` does.

    Args:
        path: the stores' folder; default the user's own.
        wanted: remove spaces with this key, encoder name, or `part:value` of the key.
        unused_days: remove spaces that nobody has used for so many days.
        max_bytes: what both may take together; activations go first.
        damaged: remove broken rows and broken files.
        activations: leave features alone; with nothing else said, all activations go.

    Raises:
        InputError: nothing was asked for, there is no store, or no space is called `wanted`.
        StorageError: a store cannot be written.
    """
    if activations and wanted is None and unused_days is None and not damaged:
        max_bytes = max_bytes or 0
    with FeatureStore(path) as features, ActivationStore(path) as rooms:
        every: list[_Either] = [rooms] if activations else [rooms, features]
        present = [store for store in every if store.file.exists()] or every[-1:]
        named = present if wanted is None else _named(present, wanted)
        only_named = unused_days is None and max_bytes is None and not damaged
        told: list[Pruned] = []
        replaced = False
        for store in named if only_named else present:
            replaced |= damaged and _is_lost(store.check())
            others = sum(other.size for other in present if other is not store)
            done = store.prune(
                wanted if store in named else None,
                unused_days=unused_days,
                max_bytes=None if max_bytes is None else max(0, max_bytes - others),
                damaged=damaged,
            )
            told.append(done)
    rows, size = sum(each.rows for each in told), sum(each.bytes for each in told)
    return Cleared(Pruned(rows, size), replaced)


def _named(stores: list[_Either], wanted: str) -> list[_Either]:
    """Those that hold something called so."""
    spaces = {store: store.summary() for store in stores}
    named = [store for store, held in spaces.items() if any(each.has(wanted) for each in held)]
    if not named:
        held = {each.encoder or each.space for kept in spaces.values() for each in kept}
        known = ", ".join(sorted(held)) or "none"
        raise InputError(f"the store holds nothing called {wanted!r}; known: {known}")
    return named


def _is_lost(health: Health) -> bool:
    """Is the file itself broken, so that no row can be saved?"""
    whole = any(problem.startswith("the file: ") for problem in health.problems)
    return whole or (health.rows == 0 and bool(health.problems))
