"""DICOM pictures to RGB, by the extra `dicom` (pydicom).

Only the tags that a picture needs are read, and no message quotes what pydicom says of a file: a
name or number of a patient cannot reach a screen or a log.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful.data._headers import check_size
from handful.data._levels import EmptyPictureError, Meaning, to_levels
from handful.data._notes import Note
from handful.errors import ImageError, MissingExtraError

_TAGS = [
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PixelPaddingValue", "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PixelData"),
    *("RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "SmallestImagePixelValue"),
]
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Packed as a whole: how much it unpacks to is not known before it has been unpacked.
_DEFLATED = b"1.2.840.10008.1.2.1.99"


def read_dicom(name: str, data: bytes, limit: int, note: Note) -> Image.Image:
    """The first frame of a DICOM file.

    Grey values go through the file's own table or rescaling and its first window (VOI LUT, linear,
    linear exact or sigmoid, PS3.3 C.11.2). Without a window, unsigned values are scaled by their
    depth as those of other files are, others by their own range without the padding. MONOCHROME1
    is inverted; palettes and YBR become RGB.

    Raises:
        ImageError: the extra is missing, there is no picture, it is larger than `limit` pixels, or
            it is damaged or packed in a way that is not read.
    """
    try:
        from pydicom import dcmread
    except ImportError:
        missing = MissingExtraError("pydicom", "dicom", "reading DICOM")
        raise ImageError(f"{name}: {missing}; or export it as PNG") from None
    if _DEFLATED in data[:2048]:
        raise ImageError(f"{name}: is a deflated DICOM file, which is not read; export it as PNG")
    syntax = "it is"
    try:
        found = dcmread(BytesIO(data), specific_tags=_TAGS)
        syntax = found.file_meta.TransferSyntaxUID.name
        _check(name, found, limit)
        return _picture(found, note)
    except (ImageError, EmptyPictureError):
        raise
    except RuntimeError:  # no decoder, or none that copes
        raise ImageError(
            f"{name}: a DICOM picture compressed as {syntax} cannot be read; export it as PNG"
        ) from None
    except Exception:  # noqa: BLE001  # its errors share no base; the cause may quote the file
        raise ImageError(
            f"{name}: this DICOM file is damaged or cut short; replace it by a sound copy"
        ) from None


def _check(name: str, found: Any, limit: int) -> None:
    if not any(tag in found for tag in _PIXELS):
        raise ImageError(f"{name}: is a DICOM file without a picture (a report, a plan, ...)")
    check_size(name, (int(found.Columns), int(found.Rows)), limit)


def _picture(found: Any, note: Note) -> Image.Image:
    from pydicom.pixels import apply_color_lut, pixel_array

    if int(found.get("NumberOfFrames") or 1) > 1:
        note("has several frames, of which the first is read")
    values: NDArray[Any] = pixel_array(found, index=0)
    bits = int(found.get("BitsStored") or 8 * values.dtype.itemsize)
    if found.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, found)
        bits = 8 * values.dtype.itemsize
    if values.ndim == 3:
        white = (1 << bits) - 1
        return Image.fromarray(np.rint(values[..., :3] * (255 / white)).astype(np.uint8))
    return Image.fromarray(_grey(values, bits, found, note)).convert("RGB")


def _grey(stored: NDArray[Any], bits: int, found: Any, note: Note) -> NDArray[np.uint8]:
    from pydicom.pixels import apply_modality_lut, apply_voi

    inverted = found.PhotometricInterpretation == "MONOCHROME1"
    values = apply_modality_lut(stored, _transform(found))
    voi = _window(found)
    if "VOILUTSequence" in voi:
        depth = int(voi.VOILUTSequence[0].LUTDescriptor[2])
        levels = apply_voi(values, voi, index=0) * (255 / ((1 << depth) - 1))
    elif voi.get("WindowWidth") is not None and voi.get("WindowCenter") is not None:
        levels = 255 * _windowed(np.asarray(values, np.float64), voi)
    else:
        return _without_window(stored, values, bits, found, note, inverted=inverted)
    grey: NDArray[np.uint8] = np.rint(levels.clip(0, 255)).astype(np.uint8)
    return np.asarray(255 - grey, np.uint8) if inverted else grey


def _windowed(values: NDArray[np.float64], voi: Any) -> NDArray[np.float64]:
    """From 0 to 1, by the first window of the file."""
    centre, width = _first(voi.WindowCenter), _first(voi.WindowWidth)
    function = str(voi.get("VOILUTFunction") or "LINEAR")
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp((-4 * (values - centre) / width).clip(-700, 700))))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return np.asarray(((values - centre) / max(width, 1e-9) + 0.5).clip(0, 1))


def _without_window(
    stored: NDArray[Any],
    values: NDArray[Any],
    bits: int,
    found: Any,
    note: Note,
    *,
    inverted: bool,
) -> NDArray[np.uint8]:
    padding = found.get("PixelPaddingValue")
    meaning = Meaning(bits=bits, white_is_zero=inverted)
    if stored.dtype.kind == "u" and values is stored and 8 <= bits <= 16:
        if bits == 8:
            return np.asarray(255 - stored if inverted else stored, np.uint8)
        filled = None if padding is None else float(padding)
        meaning = Meaning(bits=bits, white_is_zero=inverted, no_data=filled)
        return to_levels(stored.astype(np.uint16), meaning, note)
    note("states no window; black and white are its own lowest and highest value")
    real = np.asarray(values, np.float64).copy()
    if padding is not None:
        real[stored == padding] = np.nan
    return to_levels(real, meaning, note)


def _transform(found: Any) -> Any:
    """Where the table or rescaling of the first frame stands."""
    if "ModalityLUTSequence" in found or "RescaleSlope" in found:
        return found
    return _of_first_frame(found, "PixelValueTransformationSequence")


def _window(found: Any) -> Any:
    if "VOILUTSequence" in found or "WindowCenter" in found:
        return found
    return _of_first_frame(found, "FrameVOILUTSequence")


def _of_first_frame(found: Any, wanted: str) -> Any:
    """What an enhanced file says of its first frame, or of all; else the file itself."""
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for group in list(found.get(groups) or ())[:1]:
            if group.get(wanted):
                return group[wanted].value[0]
    return found


def _first(value: Any) -> float:
    several = hasattr(value, "__len__") and not isinstance(value, str)
    return float(value[0] if several else value)
