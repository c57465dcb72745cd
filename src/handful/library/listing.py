"""What the manifests of a library's skills state, read quickly and without verifying anything."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from handful.errors import PackError
from handful.packs import disk
from handful.packs.format import MANIFEST
from handful.packs.strict_json import parse

_MAX_MANIFEST = 64 << 20  # bytes, as handful.packs.format has it


@dataclass(frozen=True)
class SkillEntry:
    """One skill of a library, as its manifest states it; the fields are JSON keys.

    Args:
        name: of its folder.
        method: the adapter's name, "" where the manifest cannot be read.
        classes: their names.
        images: how many are in its support set.
        bytes: of its files.
        support: digest of its support set: the same for the same images.
        problem: why it cannot be read, if so.
    """

    name: str
    method: str = ""
    classes: tuple[str, ...] = ()
    images: int = 0
    bytes: int = 0
    support: str = ""
    problem: str = ""

    @classmethod
    def read(cls, folder: Path) -> SkillEntry:
        """Of the skill in a folder."""
        path = folder / MANIFEST
        try:
            content = disk.read_file(path, _MAX_MANIFEST)
            manifest = parse(content, path)
            classes, images = manifest["classes"], manifest["support"]["images"]
            size = len(content) + sum(int(facts["size"]) for facts in manifest["files"].values())
            method, ids = str(manifest["method"]), " ".join(sorted(map(str, images)))
            digest = hashlib.sha256(ids.encode()).hexdigest()
            return cls(folder.name, method, tuple(classes), len(images), size, digest)
        except PackError as error:
            return cls(folder.name, problem=str(error))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return cls(folder.name, problem=f"{path}: is no pack's manifest ({error!r})")
