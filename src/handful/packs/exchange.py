"""Push and pull: skills to and from the Hugging Face Hub, a folder or one `.skill` file.

What arrives is verified whole, golden vectors and all, before it is put in its place; its files
stay byte for byte as their makers wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from handful.contracts import at_home
from handful.errors import InputError
from handful.packs import format, hub, schema  # noqa: A004 the format of packs
from handful.packs.description import UNKNOWN, described
from handful.packs.pack import Pack
from handful.packs.skill_file import is_skill_file
from handful.packs.storage import FileSource, open_source, skill_name, write_files

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")  # owner/name
_SCHEMES = ("hf://", "https://huggingface.co/", "https://hf.co/")
Token = str | bool | None


@dataclass(frozen=True)
class Transfer:
    """A skill that was pushed or pulled.

    Args:
        pack: the skill, verified.
        where: the folder, file or address at which it is now.
        files: bytes of each of its files.
        commit: of the hub, which one it came from; None elsewhere.
        notes: what its makers (push) or its users (pull) should know.
    """

    pack: Pack
    where: str
    files: Mapping[str, int]
    commit: str | None = None
    notes: tuple[str, ...] = ()


def pull(
    name: str | Path,
    out: str | Path | None = None,
    *,
    revision: str | None = None,
    token: Token = None,
    overwrite: bool = False,
) -> Transfer:
    """Fetch a skill, verify it, and put it in its place; none of it is run.

    Args:
        name: a hub name (`owner/name`, also `hf://owner/name`), a folder or a `.skill` file.
        out: a folder, or a name that ends in `.skill`; by default a folder here of the same name.
        revision: of the hub: a branch, tag or commit.
        token: of the hub, as its client takes it; by default the user's own (`hf auth login`).
        overwrite: replace a skill that is there.

    Raises:
        PackError: not a skill, or not whole.
        MissingModelError: not to be had from the hub.
        InputError: something is in its place already.
        StorageError: the disk refused.
    """
    source = open_skill(name, revision=revision, token=token)
    pack, files = read_verified(source)
    target = at_home(out) if out is not None else Path(skill_name(source.where))
    write_files(target, files, overwrite=overwrite, known=format.NAMES)
    commit = source.commit if isinstance(source, hub.Repository) else None
    return Transfer(pack, str(target), _sizes(files), commit, _notes_for_users(pack))


def push(
    skill: str | Path | Pack,
    target: str | Path,
    *,
    title: str | None = None,
    people: str | None = None,
    data: str | None = None,
    licence: str | None = None,
    private: bool = True,
    revision: str | None = None,
    message: str | None = None,
    token: Token = None,
    overwrite: bool = False,
) -> Transfer:
    """Give a skill to others, verified first; the one that is here stays as it is.

    Args:
        skill: a pack, its folder or its `.skill` file.
        target: a hub name (`owner/name` or `hf://owner/name`), a name that ends in `.skill`, or a
            folder.
        title: what its card is to call it.
        people: for whom it is, for the card.
        data: where its images come from, for the card.
        licence: as the hub names it, for the card.
        private: of a hub repository that is made now; one that is there stays as it is.
        revision: of the hub: a branch that is there.
        message: of the hub's commit.
        token: of the hub, as its client takes it; by default the user's own (`hf auth login`).
        overwrite: replace a skill that is there, a folder or a file; the hub keeps old ones itself.

    Raises:
        PackError: not a skill, or not whole.
        InputError: something is in its place already; a target that may mean two places.
        StorageError: the disk or the hub refused.
    """
    name = hub_target(target)
    if isinstance(skill, Pack):
        pack, files = skill, skill.files()
    else:
        pack, files = read_verified(open_source(Path(skill), format.NAMES))
    if any(text is not None for text in (title, people, data, licence)):
        manifest = described(pack.manifest, title=title, people=people, data=data, licence=licence)
        pack = replace(pack, manifest=schema.without_derived(manifest))
        files = pack.files()
    if name is None:
        where = str(target)
        write_files(at_home(target), files, overwrite=overwrite, known=format.NAMES)
    else:
        where = hub.upload(
            name,
            files,
            private=private,
            revision=revision,
            message=message or f"A skill of {len(pack.classes)} classes",
            token=token,
        )
    return Transfer(pack, where, _sizes(files), None, _notes_for_makers(pack))


def open_skill(name: str | Path, *, revision: str | None = None, token: Token = None) -> FileSource:
    """Where the files of a skill are; of the hub, nothing but their sizes is known yet.

    Args:
        name: as for `pull`.
        revision: of the hub.
        token: of the hub.

    Raises:
        PackError: there is nothing of that name, or a `.skill` file that is not sound.
        MissingModelError: not to be had from the hub.
    """
    place, certain = _hub_name(name)
    # owner/name may also be a folder on this disk, which then counts
    here = at_home(name).exists() or is_skill_file(Path(name))
    if place is not None and (certain or not here):
        return hub.Repository.open(place, revision, token)
    if revision is not None:
        raise InputError(f"{name}: lies on this disk, which has no revisions; leave it out")
    return open_source(Path(name), format.NAMES)


def read_verified(files: FileSource) -> tuple[Pack, dict[str, bytes]]:
    """The skill and its files as they are, the manifest last; its encoder is not checked.

    Raises:
        PackError: as `Pack.load` does.
    """
    manifest, raw = format.manifest_of(files)
    contents = format.contents_of(files, manifest)
    pack = Pack(manifest, format.tensors_of(manifest, contents, files), str(files.where))
    return pack, {**contents, format.MANIFEST: raw}


def hub_target(target: str | Path) -> str | None:
    """The hub name of a target, or None for a place on this disk.

    Raises:
        InputError: it may be either.
    """
    place, certain = _hub_name(target)
    path = at_home(target)
    if certain or place is None:
        return place
    if is_skill_file(path):
        return None
    if path.parent.is_dir():  # to write there or to send it to the hub: not for us to guess
        raise InputError(
            f"{target}: the folder {path.parent} is here, and it may be a hub name as well; write "
            f"./{target} for the folder or hf://{target} for the hub"
        )
    return place


def _hub_name(name: str | Path) -> tuple[str | None, bool]:
    """The hub name that this may be, and whether it can be nothing else."""
    if not isinstance(name, str):
        return None, False
    if "://" not in name:
        return (name if _HUB_NAME.fullmatch(name) else None), False
    rest = next((name[len(s) :] for s in _SCHEMES if name.startswith(s)), "").rstrip("/")
    if not _HUB_NAME.fullmatch(rest):
        raise InputError(f"{name}: expected hf://owner/name, a folder or a .skill file")
    return rest, True


def _sizes(files: Mapping[str, bytes]) -> dict[str, int]:
    return {name: len(content) for name, content in files.items()}


def _notes_for_users(pack: Pack) -> tuple[str, ...]:
    """What users of a skill should know."""
    if pack.manifest["license"] == UNKNOWN:
        return ("no licence is stated; ask its makers before you pass it on",)
    return ()


def _notes_for_makers(pack: Pack) -> tuple[str, ...]:
    """What makers should know: what users will miss, and what a skill discloses."""
    notes = []
    if pack.manifest["license"] == UNKNOWN:
        notes.append("its card states no licence, so nobody may use it; say which with --license")
    if not pack.manifest["evaluation"]:
        notes.append("its card has no numbers; measure it: handful evaluate SKILL FOLDER --record")
    encoder = str(pack.manifest["encoder"]["name"])
    # models of the hub and those in this package are the same everywhere
    if encoder not in ("photo", "tiny") and not _HUB_NAME.fullmatch(encoder):
        notes.append(
            f"it names its encoder by a place on this machine ({encoder}), which others see and do "
            "not have; they need --encoder"
        )
    if pack.support is not None and any(pack.support.names):
        notes.append(
            f"it names the {len(pack.support.names)} photos it was taught with by folder and file, "
            "and holds their features"
        )
    return tuple(notes)
