"""What a skill's manifest states of it, read quickly and without verifying anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from handful.errors import PackError
from handful.packs import disk
from handful.packs.format import MANIFEST as PACK
from handful.packs.strict_json import parse

_MANIFEST_BYTES = 64 << 20  # as handful.packs.format has it


@dataclass(frozen=True)
class Entry:
    """One skill of a library, as its manifest states it; nothing of it is verified.

    Args:
        name: of its folder.
        method: the adapter's name, "" where the manifest cannot be read.
        classes: their names.
        images: how many it was taught with.
        bytes: of its files.
        support: tells which images it was taught with: the same for the same images.
        problem: why it cannot be read, if so.
    """

    name: str
    method: str = ""
    classes: tuple[str, ...] = ()
    images: int = 0
    bytes: int = 0
    support: str = ""
    problem: str = ""


def entry(folder: Path) -> Entry:
    """Of the skill in a folder."""
    try:
        content = disk.read_file(folder / PACK, _MANIFEST_BYTES)
        manifest = parse(content, folder / PACK)
        classes, images = manifest["classes"], manifest["support"]["images"]
        size = sum(int(facts["size"]) for facts in manifest["files"].values())
        size += len(content)
        method, support = str(manifest["method"]), " ".join(sorted(map(str, images)))
        digest = hashlib.sha256(support.encode()).hexdigest()
        return Entry(folder.name, method, tuple(classes), len(images), size, digest)
    except PackError as error:
        return Entry(folder.name, problem=str(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Entry(folder.name, problem=f"{folder / PACK}: is no pack's manifest ({error!r})")
