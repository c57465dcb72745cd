"""For errors: what a file of no kind that is read here seems to be, by its first bytes."""

from __future__ import annotations

import re

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_EXPORT = "which is not read; export it as JPEG or PNG"
_UNPACK = "not a picture; unpack it"
_SOUND = "not a picture; leave it out"
_VIDEO = "not a picture; save frames of it as JPEG"
RAW = (
    "is a camera's RAW file, of which at most the thumbnail could be read; export the photo as JPEG"
)

# Where the bytes stand, the bytes, what the file is and what to do.
_STARTS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "is a PDF, not an image; export its pages as PNG"),
    (0, b"ID3", f"is an MP3 sound, {_SOUND}"),
    (0, b"fLaC", f"is a FLAC sound, {_SOUND}"),
    (0, b"OggS", f"is an Ogg sound or video, {_SOUND}"),
    (0, b"#!AMR", f"is an AMR sound, {_SOUND}"),
    (0, b"MThd", f"is a MIDI file, {_SOUND}"),
    (0, b"\x1aE\xdf\xa3", f"is a Matroska or WebM video, {_VIDEO}"),
    (0, b"\0\0\x01\xba", f"is an MPEG video, {_VIDEO}"),
    (0, b"\0\0\x01\xb3", f"is an MPEG video, {_VIDEO}"),
    (0, b"FLV\x01", f"is a Flash video, {_VIDEO}"),
    (0, b"0&\xb2u\x8ef\xcf\x11", f"is a Windows Media sound or video, {_VIDEO}"),
    (0, b"PK\x03\x04", f"is a ZIP archive or an office document, {_UNPACK}"),
    (0, b"PK\x05\x06", f"is an empty ZIP archive, {_UNPACK}"),
    (0, b"\x1f\x8b", f"is a gzip archive, {_UNPACK}"),
    (0, b"7z\xbc\xaf'\x1c", f"is a 7z archive, {_UNPACK}"),
    (0, b"Rar!\x1a\x07", f"is a RAR archive, {_UNPACK}"),
    (0, b"BZh", f"is a bzip2 archive, {_UNPACK}"),
    (0, b"\xfd7zXZ\0", f"is an xz archive, {_UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"is a Zstandard archive, {_UNPACK}"),
    (257, b"ustar", f"is a tar archive, {_UNPACK}"),
    (0, b"\0\x05\x16\x07", "holds a Mac's notes on a file, not the picture; leave it out"),
    (0, b"8BPS", f"is a Photoshop document, {_EXPORT}"),
    (0, b"gimp xcf", f"is a GIMP document, {_EXPORT}"),
    (0, b"\0\0\0\x0cjP  ", f"is a JPEG 2000 picture, {_EXPORT}"),
    (0, b"\xff\x4f\xff\x51", f"is a JPEG 2000 picture, {_EXPORT}"),
    (0, b"\0\0\0\x0cJXL ", f"is a JPEG XL picture, {_EXPORT}"),
    (0, b"\xff\x0a", f"is a JPEG XL picture, {_EXPORT}"),
    (0, b"v/1\x01", f"is an OpenEXR picture, {_EXPORT}"),
    (0, b"#?RADIANCE", f"is a Radiance picture, {_EXPORT}"),
    (0, b"\0\0\x01\0", f"is a Windows icon, {_EXPORT}"),
    (0, b"SIMPLE  =", f"is a FITS file, {_EXPORT}"),
    (344, b"n+1\0", "is a NIfTI volume, which is not read; export its slices as PNG"),
    (0, b"\x89HDF\r\n\x1a\n", "is an HDF5 file, which is not read; export its pictures as PNG"),
    (0, b"\x93NUMPY", "is a NumPy array; give arrays from Python, or save it as PNG"),
    (0, b"FUJIFILMCCD-RAW", RAW),
    (0, b"IIU\0", RAW),  # Panasonic
    (0, b"IIRO", RAW),  # Olympus
    (0, b"IIRS", RAW),
    (0, b"MMOR", RAW),
    (0, b"II\x1a\0\0\0HEAPCCDR", RAW),  # Canon before 2004
)
_RIFF = {b"WAVE": f"is a WAV sound, {_SOUND}", b"AVI ": f"is an AVI video, {_VIDEO}"}
# The second byte of a frame: MPEG 1, 2 and 2.5 layer III, and AAC.
_MPEG_SOUND = (b"\xfb", b"\xfa", b"\xf3", b"\xf2", b"\xe3", b"\xe2", b"\xf1", b"\xf9")
# The brands of ISO base media files, by the letters they begin with.
_BRANDS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    (
        (b"hei", b"hev", b"mif1", b"msf1"),
        "is a HEIC photo, which is not read; export it as JPEG (an iPhone writes JPEG with "
        "Settings > Camera > Formats > Most Compatible)",
    ),
    ((b"crx",), RAW),
    ((b"M4A", b"M4B", b"F4A"), f"is an MPEG-4 sound, {_SOUND}"),
    ((b"",), f"is an MPEG-4 or QuickTime video, {_VIDEO}"),
)


def describe_unknown(data: bytes, name: str = "") -> str:
    """What a file of no known kind seems to be, and what to do about it."""
    if name.lower().endswith(_TABLES):
        return (
            "is a table, not an image; predict takes images and folders of images, a table is for "
            "fit and evaluate"
        )
    if not data:
        return "is empty (0 bytes); copy or download it again"
    if not data[:512].strip(b"\0"):
        return "holds zeros where its header should be; copy or download it again"
    return (
        _container(data)
        or next((told for at, start, told in _STARTS if data[at:].startswith(start)), None)
        or _text(data[:512])
        or "is not an image that is read here; expected JPEG, PNG, WebP, AVIF, BMP, TIFF, GIF "
        "or DICOM"
    )


def _container(data: bytes) -> str | None:
    """Of kinds that share a container, and of an MP3 without a header of its own."""
    if data[4:8] == b"ftyp":
        return next(told for brands, told in _BRANDS if data[8:12].startswith(brands))
    if data[4:8] in (b"moov", b"mdat", b"wide"):  # QuickTime before there were brands
        return _BRANDS[-1][1]
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return f"is an AIFF sound, {_SOUND}"
    if data[:1] == b"\xff" and data[1:2] in _MPEG_SOUND:
        return f"is an MP3 or AAC sound, {_SOUND}"
    return None


def _text(start: bytes) -> str | None:
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", start, re.IGNORECASE):
        return "is an HTML page, not an image; download the picture that it shows"
    if re.match(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg", start, re.S):
        return f"is an SVG drawing, {_EXPORT}"
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a Git LFS pointer, not the image itself; fetch the image with git lfs pull"
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in start)
    if b"\0" not in start and printable == len(start):
        return "is text, not an image; check how it was made or downloaded"
    return None
