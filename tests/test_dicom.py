"""DICOM, on the files that pydicom ships: windows, inversion, frames, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import commands
from handful.contracts import ImageRef
from handful.data import decode
from handful.errors import ImageError

pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
FILES = Path(pydicom.__file__).parent / "data" / "test_files"
NO_WINDOW = "states no window; black and white are its own lowest and highest value"


def levels(source: Any) -> np.ndarray:
    return np.asarray(decode(ImageRef.of(source, "x.dcm"))).astype(int)


def remarks(source: Any) -> list[str]:
    found: list[str] = []
    decode(ImageRef.of(source, "x.dcm"), note=found.append)
    return found


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode(ImageRef.of(source, "x.dcm"), **options)
    assert str(caught.value).startswith("x.dcm: ")
    return str(caught.value)


def changed(name: str, **tags: Any) -> bytes:
    """A file of pydicom's with other values; None takes a tag away."""
    found = pydicom.dcmread(FILES / name)
    for tag, value in tags.items():
        if value is None:
            del found[tag]
        else:
            setattr(found, tag, value)
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found.save_as(buffer)
    return buffer.getvalue()


def stored(name: str) -> np.ndarray:
    return pydicom.dcmread(FILES / name).pixel_array.astype(float)


def test_the_window_of_the_file_is_its_black_and_white():
    values = stored("MR_small.dcm")  # centre 600, width 1600, linear
    wanted = np.rint((((values - 599.5) / 1599 + 0.5).clip(0, 1)) * 255)
    found = levels(FILES / "MR_small.dcm")
    assert (found == wanted[..., None]).all()
    assert remarks(FILES / "MR_small.dcm") == []
    exact = changed("MR_small.dcm", VOILUTFunction="LINEAR_EXACT")
    wanted = np.rint((((values - 600) / 1600 + 0.5).clip(0, 1)) * 255)
    assert (levels(exact) == wanted[..., None]).all()
    sigmoid = changed("MR_small.dcm", VOILUTFunction="SIGMOID")
    wanted = np.rint(255 / (1 + np.exp(-4 * (values - 600) / 1600)))
    assert (levels(sigmoid) == wanted[..., None]).all()


def test_the_first_of_several_windows_is_taken():
    one = changed("MR_small.dcm", WindowCenter=450, WindowWidth=790)
    two = changed("MR_small.dcm", WindowCenter=[450, 200], WindowWidth=[790, 443])
    assert (levels(one) == levels(two)).all()


def test_a_window_is_of_rescaled_values():
    # stored values of this CT are Hounsfield units plus 1024; a window of soft tissue
    data = changed("CT_small.dcm", WindowCenter=40, WindowWidth=400)
    units = stored("CT_small.dcm") - 1024
    wanted = np.rint((((units - 39.5) / 399 + 0.5).clip(0, 1)) * 255)
    assert (levels(data) == wanted[..., None]).all()


def test_without_a_window_values_go_from_the_lowest_to_the_highest_and_it_is_said():
    values = stored("CT_small.dcm")
    wanted = np.rint((values - values.min()) * (255 / (values.max() - values.min())))
    assert (levels(FILES / "CT_small.dcm") == wanted[..., None]).all()
    assert remarks(FILES / "CT_small.dcm") == [NO_WINDOW]
    padded = pydicom.dcmread(FILES / "CT_small.dcm")
    pixels = padded.pixel_array.copy()
    pixels[:4] = -2000  # this file's PixelPaddingValue
    padded.PixelData = pixels.tobytes()
    buffer = BytesIO()
    padded.save_as(buffer)
    found = levels(buffer.getvalue())
    assert (found[:4] == 0).all()
    assert (found[4:] == wanted[4:, :, None]).mean() > 0.5  # the range is that of the rest


def test_monochrome1_is_inverted():
    plain = levels(FILES / "MR_small.dcm")
    inverted = levels(changed("MR_small.dcm", PhotometricInterpretation="MONOCHROME1"))
    assert (inverted == 255 - plain).all()
    ct = changed("CT_small.dcm", PhotometricInterpretation="MONOCHROME1")
    assert (levels(ct) == 255 - levels(FILES / "CT_small.dcm")).all()


@pytest.mark.parametrize(
    "name",
    [
        *("MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"),
        *("MR_small_expb.dcm", "MR_small_padded.dcm", "MR_small_jp2klossless.dcm"),
    ],
)
def test_one_picture_in_other_encodings_is_one_picture(name):
    assert (levels(FILES / name) == levels(FILES / "MR_small.dcm")).all()


def test_unsigned_values_without_a_window_are_scaled_as_those_of_other_files():
    data = changed("examples_overlay.dcm", WindowCenter=None, WindowWidth=None)
    values = stored("examples_overlay.dcm")  # 12 bits stored, up to 1123
    assert (levels(data) == np.rint(values * (255 / 4095))[..., None]).all()
    assert remarks(data) == []


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("SC_rgb_rle.dcm", (100, 100)),
        ("SC_rgb_rle_16bit.dcm", (100, 100)),
        ("SC_rgb_jpeg_dcmtk.dcm", (100, 100)),
        ("SC_ybr_full_422_uncompressed.dcm", (100, 100)),
        ("examples_palette.dcm", (350, 800)),
        ("examples_ybr_color.dcm", (240, 320)),
    ],
)
def test_colours_come_as_rgb(name, size):
    found = levels(FILES / name)
    assert found.shape == (*size, 3)
    assert (found.max(axis=2) - found.min(axis=2)).max() > 60  # not grey
    assert found.max() > 200


def test_16_bits_a_colour_look_like_8():
    deep, plain = levels(FILES / "SC_rgb_rle_16bit.dcm"), levels(FILES / "SC_rgb_rle.dcm")
    assert np.abs(deep - plain).max() <= 1


def test_of_several_frames_the_first_is_read_and_it_is_said():
    assert remarks(FILES / "SC_rgb_rle_2frame.dcm") == [
        "has several frames, of which the first is read"
    ]
    first = levels(FILES / "SC_rgb_rle.dcm")
    assert (levels(FILES / "SC_rgb_rle_2frame.dcm") == first).all()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("rtplan.dcm", "is a DICOM file without a picture"),
        ("reportsi.dcm", "is a DICOM file without a picture"),
        ("MR_small_jpeg_ls_lossless.dcm", "compressed as JPEG-LS Lossless Image Compression"),
        ("JPGExtended.dcm", "compressed as JPEG Extended (Process 2 and 4) cannot be read; export"),
        ("MR_truncated.dcm", "this DICOM file is damaged or cut short"),
        ("image_dfl.dcm", "is a deflated DICOM file, which is not read"),
        ("badVR.dcm", "this DICOM file is damaged or cut short"),
    ],
)
def test_what_cannot_be_read_says_why(name, told):
    assert told in refusal(FILES / name)


def test_a_picture_that_is_too_large_is_refused_before_its_pixels_are_read(monkeypatch):
    monkeypatch.setattr("pydicom.pixels.pixel_array", None)
    told = refusal(changed("MR_small.dcm", Rows=60000, Columns=60000))
    assert "60000 x 60000 pixels, more than the 89478485 allowed" in told
    assert "more than the 100 allowed" in refusal(FILES / "MR_small.dcm", max_pixels=100)


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.glob("*.dcm")))
def test_no_file_ends_a_run_and_none_tells_of_its_patient(name, capfd):
    data = (FILES / name).read_bytes()
    for part in (data, data[: len(data) // 2], data[: len(data) * 9 // 10]):
        try:
            decode(ImageRef.of(part, "x"))
        except ImageError as error:
            told = str(error)
        else:
            told = ""
        out, err = capfd.readouterr()
        found = pydicom.dcmread(BytesIO(data), force=True)
        for tag in ("PatientName", "PatientID", "PatientBirthDate"):
            secret = str(found.get(tag) or "")
            assert len(secret) < 4 or secret not in told + out + err


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(["MR_small.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_jpeg_dcmtk.dcm"]),
    edits=st.lists(
        st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=5
    ),
)
def test_a_hostile_file_raises_an_image_error_and_nothing_else(name, edits):
    data = bytearray((FILES / name).read_bytes())
    for at, new in edits:
        data[at : at + len(new)] = new
    data[128:132] = b"DICM"
    told = "x: "
    try:
        assert decode(ImageRef.of(bytes(data), "x"), max_pixels=10**6).mode == "RGB"
    except ImageError as error:
        told = str(error)
    assert told.startswith("x: ")


def test_without_the_library_the_extra_is_named(tmp_path):
    code = (
        "import sys; sys.modules['pydicom'] = None\n"
        "from handful.contracts import ImageRef; from handful.data import decode\n"
        "decode(ImageRef.of(sys.argv[1], 'scan'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(FILES / "MR_small.dcm")], capture_output=True, text=True
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "ImageError: scan: " in last
    assert "pip install -e '.[dicom]'" in last


def test_scans_are_found_in_folders_and_taught(tmp_path, capsys):
    for label, name in (("MR", "MR_small.dcm"), ("CT", "CT_small.dcm")):
        folder = tmp_path / "scans" / label
        folder.mkdir(parents=True)
        for number in range(3):
            data = changed(name, InstanceNumber=str(number + 1))
            (folder / f"{number}.dcm").write_bytes(data)
    out = tmp_path / "skill"
    code, _, err = commands.run(
        capsys, "fit", tmp_path / "scans", "--out", out, "--encoder", "tiny"
    )
    assert code == 0
    assert f"note: 3 photos, first {tmp_path / 'scans' / 'CT' / '0.dcm'}: {NO_WINDOW}" in err
    named = tmp_path / "IM0001"  # known by its content
    named.write_bytes((FILES / "MR_small.dcm").read_bytes())
    code, printed, _ = commands.run(capsys, "predict", out, named, "--format", "csv")
    assert (code, "IM0001" in printed) == (0, True)
