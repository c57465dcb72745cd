"""One `.skill` file: a zip of plain files, read in memory and never extracted.

What a zip can hold and a skill has no use for is refused before a byte of it is unpacked: links,
folders, names that lead elsewhere, encryption, more than one member of a name, members on top of
one another, bytes between them, members that unpack to far more than they are. Layout: APPNOTE.TXT
of PKWARE; ours are stored, not deflated, so the same skill is the same bytes wherever it is made.

The file is long because all refusals stand together, to be read as one list.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from handful.errors import PackError, StorageError
from handful.packs import disk

SUFFIX = ".skill"
MAGIC = b"PK\x03\x04"  # of the first member
MAX_MEMBERS = 32
MAX_BYTES = 2 << 30  # of the file, and of all members unpacked; no 64-bit extension is needed
MAX_RATIO = 100  # unpacked to packed, of members from this size on:
_RATIO_FROM = 1 << 20
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,80}\.(?:json|safetensors|md|png)")
_END = struct.Struct("<4s4H2LH")  # end of the central directory
_LOCAL = struct.Struct("<4s5H3L2H")  # before each member
_MAX_DIRECTORY = 64 << 10  # bytes of the directory of so few members
_MAX_EXTRA = 64  # bytes beside a member's name: times and owners, as zip tools note them
_DESCRIPTOR = 24  # bytes at most behind a member that was packed without knowing its size
_EPOCH = (1980, 1, 1, 0, 0, 0)
_CURE = "Ask whoever made it for another, made by handful push"
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # also NotImplementedError
    ValueError,
    OverflowError,
)


@dataclass(frozen=True)
class Archive:
    """The members of a `.skill` file whose directory was found sound.

    Args:
        where: the file.
        content: its bytes.
        members: name to its entry in the directory.
    """

    where: Path
    content: bytes = field(repr=False)
    members: Mapping[str, zipfile.ZipInfo]

    def names(self) -> list[str]:
        """Names of all members."""
        return list(self.members)

    def read(self, name: str, most: int) -> bytes:
        """One member of at most `most` bytes, its checksum verified.

        Raises:
            PackError: none of that name, larger, damaged.
        """
        path = self.where / name
        info = self.members.get(name)
        if info is None:
            raise PackError(f"{path}: is missing; the skill file is incomplete. {_CURE}")
        if info.file_size > most:
            raise PackError(f"{path}: has {info.file_size} bytes, expected at most {most}")
        try:
            with zipfile.ZipFile(io.BytesIO(self.content)) as zipped, zipped.open(info) as member:
                # all at once would unpack everything before it is cut to the stated size
                content = member.read(info.file_size + 1)
            hidden = _has_hidden_bytes(info, self.content)
        except _UNREADABLE as error:
            raise PackError(
                f"{path}: is damaged ({error or type(error).__name__}); copy the file again"
            ) from error
        if hidden:
            raise PackError(_layout_error(self.where, name))
        if len(content) != info.file_size:
            raise PackError(
                f"{path}: is damaged (unpacks to {len(content)} bytes, expected {info.file_size}); "
                "copy the file again"
            )
        return content


def is_skill_file(path: Path) -> bool:
    """Whether a name is that of a skill file.

    >>> is_skill_file(Path("bird.skill")), is_skill_file(Path("bird"))
    (True, False)
    """
    return path.suffix.lower() == SUFFIX and path.stem not in ("", SUFFIX)


def to_bytes(files: Mapping[str, bytes]) -> bytes:
    """The bytes of a skill file; the same files in the same order always give the same.

    >>> to_bytes({"pack.json": b"{}"}) == to_bytes({"pack.json": b"{}"})
    True
    """
    if sum(map(len, files.values())) + _MAX_DIRECTORY > MAX_BYTES:
        raise StorageError(
            f"a skill file holds at most {MAX_BYTES >> 30} GB; keep a skill this large as a folder"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as zipped:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # or the kind of machine would show in the bytes
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            zipped.writestr(info, content)
    return buffer.getvalue()


def read(path: Path) -> Archive:
    """Open a skill file: nothing of it is unpacked yet, its directory is verified.

    Raises:
        PackError: not a zip, cut short, or anything that a skill file has no use for.
    """
    content = _read_bytes(path)
    directory = _directory_start(content, path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            infos = zipped.infolist()
    except _UNREADABLE as error:
        raise PackError(f"{path}: is not a sound zip ({error}); copy the file again") from error
    for info in infos:
        _check_name(info, path)
        _check_kind(info, path)
    _check_sizes(infos, path)
    _check_layout(infos, content, directory, path)
    counts = Counter(info.filename.lower() for info in infos)  # some disks ignore the case
    twice = next((i.filename for i in infos if counts[i.filename.lower()] > 1), None)
    if twice:
        raise PackError(f"{path}: holds {twice!r} twice, and it is not clear which counts. {_CURE}")
    return Archive(path, content, {info.filename: info for info in infos})


def _read_bytes(path: Path) -> bytes:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # to open a pipe would wait forever
            raise PackError(f"{path}: is a pipe or device; expected a skill file")
        return disk.read_sized(path, facts.st_size, MAX_BYTES)
    except OSError as error:
        raise PackError(f"{path}: cannot be read ({error.strerror or error})") from error


def _directory_start(content: bytes, path: Path) -> int:
    """Where the directory begins, after the end of the zip was found in its one place."""
    if not content.startswith(MAGIC):
        raise PackError(f"{path}: is no skill file (a zip begins with its first member). {_CURE}")
    found = _END.unpack(content[-_END.size :].rjust(_END.size, b"\0"))
    signature, part, first_part, here, members, size, start, comment = found
    if signature != b"PK\x05\x06" or comment or start + size + _END.size != len(content):
        raise PackError(
            f"{path}: is cut short, or something stands at its end that is no part of it; copy the "
            "file again"
        )
    if part or first_part or here != members:
        raise PackError(f"{path}: is one part of a zip of several. {_CURE}")
    if members > MAX_MEMBERS or size > _MAX_DIRECTORY:
        raise PackError(f"{path}: holds {members} members, expected at most {MAX_MEMBERS}. {_CURE}")
    return int(start)


def _check_name(info: zipfile.ZipInfo, path: Path) -> None:
    """Names of plain files alone; its manifest states which of them belong to a skill."""
    name = info.orig_filename  # zipfile's own `filename` is what it made of it
    if NAME.fullmatch(name) and info.filename == name:
        return
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        cause = "is an absolute name"
    elif ".." in re.split(r"[/\\]", name):
        cause = "leads out of the skill"
    elif "/" in name or "\\" in name:
        cause = "is, or lies in, a folder; a skill file has none"
    else:
        cause = "is no file of a skill"
    raise PackError(f"{path}: member {name!r} {cause}. Do not unpack it. {_CURE}")


def _check_kind(info: zipfile.ZipInfo, path: Path) -> None:
    where = path / info.filename
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        raise PackError(f"{where}: is a symbolic link; a skill holds plain files only. {_CURE}")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or info.external_attr & 0x10:  # DOS: a folder
        raise PackError(f"{where}: is no plain file. {_CURE}")
    if info.flag_bits & 0x2041:  # encrypted, strongly encrypted, encrypted directory
        raise PackError(
            f"{where}: is encrypted; a skill is verified before it is used, which needs it open. "
            f"{_CURE}"
        )
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PackError(
            f"{where}: is packed by method {info.compress_type}, expected stored or deflated. "
            f"{_CURE}"
        )


def _check_sizes(infos: list[zipfile.ZipInfo], path: Path) -> None:
    for info in infos:
        if info.file_size > _RATIO_FROM and info.file_size > MAX_RATIO * info.compress_size:
            raise PackError(
                f"{path / info.filename}: {info.compress_size} bytes would unpack to "
                f"{info.file_size}, more than {MAX_RATIO} times as many, as in a zip bomb. {_CURE}"
            )
        if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
            raise PackError(f"{path / info.filename}: has two sizes; copy the file again")
    total = sum(info.file_size for info in infos)
    if total > MAX_BYTES:
        raise PackError(
            f"{path}: would unpack to {total} bytes, expected at most {MAX_BYTES}. {_CURE}"
        )


def _check_layout(infos: list[zipfile.ZipInfo], content: bytes, end: int, path: Path) -> None:
    """Members stand one after another from the first byte to the directory."""
    reached, slack = 0, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        start = info.header_offset
        if not reached <= start <= reached + slack:
            raise PackError(_layout_error(path, info.filename))
        head = content[start : start + _LOCAL.size]
        if len(head) < _LOCAL.size or head[:4] != MAGIC:
            raise PackError(_layout_error(path, info.filename))
        name, extra = _LOCAL.unpack(head)[-2:]
        if extra > _MAX_EXTRA or len(info.extra) > _MAX_EXTRA or info.comment:
            raise PackError(_layout_error(path, info.filename))
        reached = start + _LOCAL.size + name + extra + info.compress_size
        slack = _DESCRIPTOR if info.flag_bits & 0x8 else 0
    if not reached <= end <= reached + slack:
        raise PackError(_layout_error(path, "its directory"))


def _has_hidden_bytes(info: zipfile.ZipInfo, content: bytes) -> bool:
    """Whether bytes follow the end of a deflated member's stream, which no size shows."""
    if info.compress_type != zipfile.ZIP_DEFLATED:
        return False
    head = content[info.header_offset : info.header_offset + _LOCAL.size]
    start = info.header_offset + _LOCAL.size + sum(_LOCAL.unpack(head)[-2:])
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    inflate.decompress(content[start : start + info.compress_size], info.file_size + 1)
    return bool(inflate.unused_data) or not inflate.eof


def _layout_error(path: Path, name: str) -> str:
    return (
        f"{path}: members overlap, or there are hidden bytes between them (at {name}). It is "
        f"damaged or made to deceive. {_CURE}"
    )
