"""The result of an edit: the new skill, and what was encoded, repeated or failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from handful.features import Failure
from handful.packs import Pack
from handful.packs.support import Support
from handful.skills import pool
from handful.skills.edit.refit import restate
from handful.skills.edit.support_sets import NO_CLASS
from handful.skills.loaded import AnySkill, unpack

_POOL_LOST = (
    "it was fitted anew without its photos without labels, whose features a skill does not hold; "
    "for their help, teach it again with handful fit --unlabelled"
)


@dataclass(frozen=True)
class Edited:
    """A changed skill and what happened on the way.

    Args:
        pack: the new skill; the one it came from is as it was. `pack.save(folder)` writes it.
        original: the skill before; of two that were merged, the first.
        seconds: time spent on the change itself, without encoding.
        statement_seconds: time spent computing anew what the skill states of itself.
        encoded: images that went through the encoder now.
        repeated: names of the images that the skill held already; they count once.
        failures: images that could not be used, by name, with the reason.
        ignored: files passed over while looking for images: how many of each kind.
        notes: what was decided where two skills differ.
    """

    pack: Pack
    original: Pack
    seconds: float = 0.0
    statement_seconds: float = 0.0
    encoded: int = 0
    repeated: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    ignored: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()

    @property
    def refitted(self) -> bool:
        """Whether the head was fitted again; not for new names or images of none of the classes."""
        # a refit makes new arrays even where the values are equal; other changes hand them on
        heads = [name for name in self.pack.tensors if name.startswith("head.")]
        return any(self.pack.tensors[n] is not self.original.tensors.get(n) for n in heads)

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Images of each class before and after; classes that went are there as well."""
        before, after = _counts(self.original.support), _counts(self.pack.support)
        return {name: (before.get(name, 0), after.get(name, 0)) for name in {**before, **after}}

    @property
    def evaluation_dropped(self) -> bool:
        """Whether numbers had been measured on the skill as it was, which are no longer true."""
        return bool(self.original.manifest["evaluation"]) and not self.pack.manifest["evaluation"]


def load_pack(skill: AnySkill) -> Pack:
    """The skill itself, or the one in a folder."""
    return unpack(skill)[0]


def apply(pack: Pack, change: Callable[[], Pack], *, statements: bool = True) -> Edited:
    """Make a change and time it.

    Args:
        pack: the skill before.
        change: returns the new skill, or `pack` itself where nothing changes.
        statements: whether to compute anew what the skill states of itself.
    """
    began = time.perf_counter()
    edited = change()
    changed = time.perf_counter()
    if statements and edited is not pack:
        edited = restate(edited)
    seconds = changed - began, time.perf_counter() - changed
    lost = pool.IDS in pack.tensors and pool.IDS not in edited.tensors
    return Edited(edited, pack, *seconds, notes=(_POOL_LOST,) if lost else ())


def _counts(support: Support | None) -> dict[str, int]:
    if support is None:
        return {}
    reserved = {NO_CLASS: len(support.reserved.ids)} if support.reserved else {}
    return support.counts | reserved
