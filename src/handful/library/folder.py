"""A folder of skills on one frozen encoder: it only grows, and adding one changes no other.

    library/library.json        which encoder; written once
    library/<name>/pack.json    a skill, byte for byte as it was saved

There is no index, so two processes that add at once share no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful._version import __version__
from handful.contracts import Encoder, at_home
from handful.errors import InputError, MismatchError, PackError
from handful.library.listing import SkillEntry
from handful.library.names import check_skill_name, fold, is_library
from handful.library.skill import check_compatible
from handful.packs import disk
from handful.packs.exchange import read_verified
from handful.packs.format import LIBRARY as MANIFEST
from handful.packs.format import MANIFEST as PACK
from handful.packs.format import NAMES
from handful.packs.pack import Pack
from handful.packs.storage import open_source, skill_name
from handful.packs.strict_json import parse
from handful.skills.loaded import AnySkill, unpack

FORMAT = 1

_MAX_BYTES = 1 << 20  # of library.json, which holds a few lines


@dataclass(frozen=True)
class LibraryFolder:
    """A library on disk. Make one with `LibraryFolder.init` or `LibraryFolder.open`.

    Args:
        path: the folder.
        encoder: `name`, `fingerprint`, `dim` and `precision` of the encoder of all its skills.
    """

    path: Path
    encoder: Mapping[str, Any]

    @classmethod
    def init(cls, folder: str | Path, encoder: Encoder) -> LibraryFolder:
        """Make an empty library.

        Args:
            folder: a name that is free, or an empty folder.
            encoder: of all skills that will be added.

        Raises:
            InputError: something is there already.
            StorageError: the disk refused.
        """
        stated = {
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            "dim": encoder.dim,
            "precision": encoder.precision,
        }
        whole = {"format": FORMAT, "handful": __version__, "encoder": stated}
        text = json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
        path = at_home(folder)
        if is_library(path):
            raise InputError(f"{path}: is a library already; add skills to it, or choose a name")
        held = sorted(f.name for f in path.iterdir()) if path.is_dir() else []
        if held:
            raise InputError(
                f"{path}: is not empty ({', '.join(held[:3])}); a library begins in a folder that "
                "is, or under a name that is free"
            )
        disk.write_folder(path, {MANIFEST: text.encode()}, overwrite=False)
        return cls(path, stated)

    @classmethod
    def open(cls, folder: str | Path) -> LibraryFolder:
        """Read which encoder the library is for; writes nothing.

        Raises:
            PackError: not a library, made by a newer Handful, or damaged.
        """
        path = at_home(folder)
        if not is_library(path):
            hint = " (it is a single skill)" if (path / PACK).is_file() else ""
            raise PackError(
                f"{path}: is no library{hint}: it has no {MANIFEST}; make one with "
                "handful library init"
            )
        file = path / MANIFEST
        whole = parse(disk.read_file(file, _MAX_BYTES), file)
        version, encoder = whole.get("format"), whole.get("encoder")
        if type(version) is int and version > FORMAT:
            raise PackError(
                f"{file}: made by a newer Handful (format {version}, this one reads up to "
                f"{FORMAT}); use a newer Handful"
            )
        kinds = {"name": str, "fingerprint": str, "dim": int, "precision": str}
        if version != FORMAT or not isinstance(encoder, Mapping):
            raise PackError(f"{file}: expected 'format' {FORMAT} and an 'encoder'")
        for key, kind in kinds.items():
            if type(encoder.get(key)) is not kind:
                raise PackError(f"{file}: 'encoder.{key}': expected {kind.__name__}")
        return cls(path, dict(encoder))

    def names(self) -> tuple[str, ...]:
        """Names of all skills, sorted, whether they can be used or not."""
        # hidden folders are skills that are being written
        held = (f.name for f in self.path.iterdir() if f.is_dir() and f.name[0] != ".")
        return tuple(sorted(held))

    def add(self, skill: AnySkill, name: str | None = None) -> str:
        """Put a skill into the library, whole or not at all; no other is touched.

        Args:
            skill: its folder or `.skill` file, whose bytes are kept as they are, or a skill in
                memory.
            name: what the library calls it; its folder's name when not given.

        Returns:
            The name.

        Raises:
            InputError: a name that is taken or cannot be one, a skill that no library can serve.
            MismatchError: it is of another encoder.
            PackError: it is damaged.
            StorageError: the disk refused.
        """
        if not isinstance(skill, str | Path):
            if name is None:
                raise InputError("a skill in memory has no name; give one (name=)")
            pack, _, _ = unpack(skill)
            files, given = pack.files(), name
        else:
            pack, files = read_verified(open_source(Path(skill), NAMES))
            given = skill_name(Path(skill)) if name is None else name
        self._check_name(given)
        check_compatible(pack, given, self.encoder)
        # another process may take the name until here: then this refuses
        disk.write_folder(self.path / given, files, overwrite=False, known=NAMES)
        return given

    def remove(self, name: str) -> None:
        """Take a skill out of the library; the others stay as they are.

        Raises:
            InputError: there is none of this name.
            StorageError: the disk refused.
        """
        self.require(name)
        disk.remove_folder(self.path / name)

    def load(self, name: str) -> Pack:
        """Read and verify one skill.

        Raises:
            InputError: there is none of this name.
            PackError: it is damaged, or of another encoder.
        """
        path = self.path / self.require(name)
        pack = Pack.load(path)
        try:
            check_compatible(pack, str(path), self.encoder)
        except (InputError, MismatchError) as error:
            raise PackError(f"{path}: does not belong into this library: {error}") from error
        return pack

    def load_all(self) -> Iterator[tuple[str, Pack | PackError]]:
        """Every skill by name, or why it cannot be used; one that cannot stops no other.

        One that another process removes or replaces meanwhile is left out, or read again.
        """
        for name in self.names():
            found = self._try_load(name)
            if isinstance(found, PackError):  # perhaps read while it was being replaced
                found = self._try_load(name)
            if found is not None:
                yield name, found

    def entries(self) -> list[SkillEntry]:
        """What the manifests state, quickly."""
        found = [SkillEntry.read(self.path / name) for name in self.names()]
        return [one for one in found if not one.problem or (self.path / one.name).is_dir()]

    def same_support(self, name: str) -> tuple[str, ...]:
        """Other skills of the same support set; each takes images from the others."""
        supports = {one.name: one.support for one in self.entries() if not one.problem}
        mine = supports.pop(name, None)
        return tuple(other for other, support in supports.items() if support == mine)

    def unfinished(self) -> tuple[str, ...]:
        """Folders that a killed process, or one that is at work, has not finished writing."""
        return tuple(sorted(f.name for f in self.path.iterdir() if disk.is_unfinished(f)))

    def require(self, name: str) -> str:
        """The name, if there is such a skill.

        Raises:
            InputError: there is none; names those there are.
        """
        names = self.names()
        if name not in names:
            held = f"it has: {', '.join(names[:10])}" if names else "it is empty"
            raise InputError(f"{self.path}: has no skill {name!r}; {held}")
        return name

    def _try_load(self, name: str) -> Pack | PackError | None:
        try:
            return self.load(name)
        except PackError as error:
            return error if (self.path / name).is_dir() else None
        except InputError:  # `load` found no such name, which was there a moment ago
            return None

    def _check_name(self, name: str) -> None:
        check_skill_name(name)
        taken = [n for n in self.names() if fold(n) == fold(name)]
        if taken:
            raise InputError(
                f"{self.path}: has a skill {taken[0]!r} already; give the new one another name "
                "(--name, name=), or remove the old one first"
            )
