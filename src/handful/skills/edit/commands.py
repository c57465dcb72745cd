"""A skill grows, forgets and joins another: from images and names to `handful.skills.edit.changes`.

more images -> features of those it does not know -> the skill, refitted from its features
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from handful import data
from handful.contracts import Encoder, ImageRef
from handful.data import Dataset
from handful.encoders import prompts
from handful.errors import InputError
from handful.features import Failure, Progress
from handful.features.store import FeatureStore
from handful.packs import Pack
from handful.packs.support import Support
from handful.skills.edit import changes, more, support_sets
from handful.skills.edit.refit import restate
from handful.skills.predict import Predictor


@dataclass(frozen=True)
class Grown:
    """A changed skill and what happened on the way.

    Args:
        pack: the new skill; the one it came from is as it was. `pack.save(folder)` writes it.
        former: the skill before; of two that were merged, the first.
        seconds: time spent on the change itself, without encoding.
        stating: time spent finding out anew what the skill states of itself.
        encoded: images that went through the encoder now.
        repeated: names of the images that the skill held already; they count once.
        failures: images that could not be used, by name, with the reason.
        ignored: files passed over while looking for images: how many of each kind.
        notes: what was decided where two skills differ.
    """

    pack: Pack
    former: Pack
    seconds: float
    stating: float = 0.0
    encoded: int = 0
    repeated: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    ignored: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()

    @property
    def refitted(self) -> bool:
        """Whether the head was fitted again; not for new names or images of none of the classes."""
        heads = [name for name in self.pack.tensors if name.startswith("head.")]
        return any(self.pack.tensors[n] is not self.former.tensors.get(n) for n in heads)

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Images of each class before and after; classes that went are there as well."""
        before, after = (_counts(pack.support) for pack in self._both)
        return {name: (before.get(name, 0), after.get(name, 0)) for name in {**before, **after}}

    @property
    def dropped_numbers(self) -> bool:
        """Whether numbers had been measured on the skill as it was, which are no longer true."""
        before, after = (pack.manifest["evaluation"] for pack in self._both)
        return bool(before) and not after

    @property
    def _both(self) -> tuple[Pack, Pack]:
        return self.former, self.pack


def add(
    skill: str | Path | Pack,
    source: str | Path | Dataset,
    *,
    encoder: str | Path | Encoder | None = None,
    words: Mapping[str, str] | None = None,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Grown:
    """Teach a skill more images of its classes, and new classes.

    Images labelled `background`, `none`, `noise` or `other` show what is none of the classes, as in
    `handful.fit`. Only images that the skill does not hold are encoded, in the views it was taught
    with; only new classes are read by the text tower, in the skill's own templates.

    Args:
        skill: a pack or its folder.
        source: labelled images, as for `handful.fit`; one class is enough. Where it states splits,
            only `train` is used.
        encoder: to use instead of the one the skill names.
        words: what the prompts call new classes, where the labels themselves will not do.
        store: where features are kept; the user's own store when not given.
        progress: called with (images done, images in all).

    Raises:
        InputError: anything about the images or labels that has to be put right first.
        MismatchError: the encoder is not the skill's.
        PackError: the skill was saved without its support set.
    """
    pack = _load(skill)
    old = changes.support_of(pack)
    dataset = data.split_or_all(data.load(source), "train")
    said = more.new_words(pack, dataset, words)
    unread, held, failures = more.sorted_out(pack, dataset)
    # refuses what is another class in the skill
    labels = [more.meant(pack, dataset.labels[i]) for i, _ in held]
    support_sets.fresh(old, [id_ for _, id_ in held], labels)
    repeated = [dataset.images[i].name for i, _ in held]
    if not unread:
        data.require_images(said, {}, failures)
        return Grown(pack, pack, 0.0, 0.0, 0, tuple(repeated), failures, dataset.ignored)
    tower = Predictor(pack, encoder=str(encoder) if isinstance(encoder, Path) else encoder).encoder
    found = more.encoded(pack, tower, dataset.subset(unread), store, progress)
    failures += tuple(Failure(f.name, f.reason, unread[f.index]) for f in found.failures)
    data.require_images(said, Counter(found.labels), failures)
    once = frozenset(support_sets.fresh(old, found.ids, found.labels))
    repeated += [name for i, name in enumerate(found.names) if i not in once]
    text = prompts.embed(tower, said, pack.manifest["templates"]) if said else None

    def change() -> Pack:
        made = more.grown(pack, found, text, said)
        return more.seen_untuned(pack, made, tower, dataset.subset(unread), said, store)

    return replace(
        _timed(pack, change),
        encoded=found.encoded,
        repeated=tuple(repeated),
        failures=failures,
        ignored=dataset.ignored,
    )


def remove(
    skill: str | Path | Pack,
    images: Sequence[str] = (),
    *,
    label: str | None = None,
    drop: Sequence[str] = (),
) -> Grown:
    """Unlearn images exactly, or whole classes.

    Args:
        skill: a pack or its folder.
        images: names as the skill holds them, files, or digests (their first eight digits do).
        label: look among the images of this class alone.
        drop: classes to forget with all their images.

    Raises:
        InputError: no such image or class, or too little would be left.
        PackError: the skill was saved without its support set.
    """
    pack = _load(skill)
    support = changes.support_of(pack)
    if not images and not drop:
        raise InputError("nothing to remove: name images by name or digest, or classes to drop")
    if label is not None and label not in pack.classes and not data.is_reserved(label):
        raise InputError(f"the skill has no class {label!r}; it knows: {_few(pack.classes)}")
    rows = [row for image in images for row in _rows(support, image, label)]
    dropped = {row for row, name in enumerate(support.labels) if name in drop}
    stay = [row for row in rows if row not in dropped]

    def change() -> Pack:
        made = changes.remove(pack, stay) if stay else pack
        return changes.drop(made, drop) if drop else made

    return _timed(pack, change)


def rename(skill: str | Path | Pack, names: Mapping[str, str]) -> Grown:
    """Other labels for classes; answers and numbers stay (`handful.skills.edit.changes.rename`)."""
    pack = _load(skill)
    return Grown(changes.rename(pack, names), pack, 0.0)


def merge(
    first: str | Path | Pack,
    second: str | Path | Pack,
    *,
    join: bool = False,
    rename: Mapping[str, str] | None = None,
) -> Grown:
    """Two skills of one encoder become one. See `handful.skills.edit.changes.merge`.

    Args:
        first: a pack or its folder; its method and settings are the new skill's.
        second: another.
        join: classes of the same name are one class.
        rename: other names for classes of the second first.

    Raises:
        MismatchError: different encoders.
        InputError: classes of the same name, different templates.
        PackError: one of them was saved without its support set.
    """
    one, two = _load(first), _load(second)
    if rename:
        two = changes.rename(two, rename)
    notes = tuple(changes.differences(one, two))
    done = _timed(one, lambda: changes.merge(one, two, join=join))
    held = frozenset(one.support_ids)
    support = changes.support_of(two)
    twice = [n for n, id_ in zip(support.names, support.ids, strict=True) if id_ in held]
    return replace(done, repeated=tuple(twice), notes=notes)


def _load(skill: str | Path | Pack) -> Pack:
    return skill if isinstance(skill, Pack) else Pack.load(skill)


def _counts(support: Support | None) -> dict[str, int]:
    if support is None:
        return {}
    none = {support_sets.NONE: len(support.reserved.ids)} if support.reserved else {}
    return support.counts | none


def _timed(pack: Pack, change: Callable[[], Pack]) -> Grown:
    began = time.perf_counter()
    made = change()
    changed = time.perf_counter()
    if made is not pack:
        made = restate(made)
    return Grown(made, pack, changed - began, time.perf_counter() - changed)


def _rows(support: Support, image: str, label: str | None) -> list[int]:
    """Rows of an image named as the skill does, or of a file by its content."""
    if Path(image).is_file():
        digest = ImageRef.of(image).digest()
        if digest in support.ids:
            return support_sets.find(support, digest, label)
    return support_sets.find(support, image, label)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:10])
