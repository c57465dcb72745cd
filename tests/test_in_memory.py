"""Sources in memory become the data set that the same images on disk would be, or say why not."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from handful import data
from handful.contracts import ImageRef
from handful.data import Dataset, MultiLabelDataset
from handful.errors import ImageError, InputError
from handful.tasks import choose

COLOURS = ("red", "blue", "green", "gray")
LABELS = ("cat", "dog", "cat", "dog")
NAMES = ("cat", "dog")


def pixels(colour: str, size: int = 4) -> np.ndarray:
    return np.asarray(Image.new("RGB", (size, size), colour))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for colour in COLOURS:
        Image.new("RGB", (4, 4), colour).save(tmp_path / f"{colour}.png")
    return [tmp_path / f"{colour}.png" for colour in COLOURS]


def tensors() -> list[torch.Tensor]:
    return [torch.from_numpy(pixels(c).copy()).permute(2, 0, 1) for c in COLOURS]


class Pairs(torch.utils.data.Dataset[Any]):
    """A data set of (image, label) with names of classes, as those of torchvision are."""

    classes = NAMES

    def __init__(self, images: list[Any], labels: tuple[Any, ...] = (0, 1, 0, 1)) -> None:
        self.pairs = list(zip(images, labels, strict=True))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> Any:
        return self.pairs[i]


def colours(dataset: Dataset) -> list[str]:
    """The names of the colours that the images have."""
    by_pixel = {tuple(pixels(c)[0, 0]): c for c in COLOURS}
    decoded = [np.asarray(data.decode(ref)) for ref in dataset.images]
    return [by_pixel[tuple(image[0, 0])] for image in decoded]


# ------------------------------------------------------------------------- what is understood


def sources(paths: list[Path]) -> dict[str, tuple[Any, dict[str, Any]]]:
    arrays = [pixels(c) for c in COLOURS]
    pictures = [Image.fromarray(a) for a in arrays]
    content = [p.read_bytes() for p in paths]
    floats = np.stack(arrays).astype(np.float32) / 255
    numbers, named = np.array([0, 1, 0, 1]), {"classes": ["cat", "dog"]}
    frame = pd.DataFrame({"path": [p.name for p in paths], "label": LABELS})
    subset = torch.utils.data.Subset(Pairs(pictures), range(4))
    return {
        "frame": (frame, {"root": paths[0].parent}),
        "frame of paths": (frame.assign(path=paths), {}),
        "frame of pictures": (pd.DataFrame({"Image": pictures, "Class": LABELS}), {}),
        "frame of bytes": (pd.DataFrame({"image": content, "category": LABELS}), {}),
        "frame of numbers": (pd.DataFrame({"file": paths, "label": numbers}), named),
        "frame of floats": (pd.DataFrame({"file": paths, "label": numbers * 1.0}), named),
        "frame of categories": (frame.astype({"label": "category"}), {"root": paths[0].parent}),
        "frame whose index repeats": (frame.set_index([[7] * 4]), {"root": paths[0].parent}),
        "pairs of paths": (list(zip(map(str, paths), LABELS, strict=True)), {}),
        "pairs as lists": ([[p, n] for p, n in zip(paths, LABELS, strict=True)], {}),
        "pairs of numbers": (list(zip(paths, numbers, strict=True)), named),
        "pairs of pictures": (list(zip(pictures, LABELS, strict=True)), {}),
        "pairs of arrays": (list(zip(arrays, LABELS, strict=True)), {}),
        "pairs of bytes": (list(zip(content, LABELS, strict=True)), {}),
        "pairs of several kinds": (
            list(zip((paths[0], pictures[1], arrays[2], content[3]), LABELS, strict=True)),
            {},
        ),
        "iterator": (zip(arrays, LABELS, strict=True), {}),
        "generator": ((pair for pair in zip(arrays, LABELS, strict=True)), {}),
        "arrays": ((np.stack(arrays), np.array(LABELS)), {}),
        "arrays, labels a column": ((np.stack(arrays), frame["label"]), {}),
        "arrays and numbers": ((np.stack(arrays), numbers), named),
        "arrays of floats": ((floats, numbers), named),
        "lists": ((paths, list(LABELS)), {}),
        "tensors": ((torch.stack(tensors()), torch.tensor(numbers)), named),
        "float tensors": ((torch.stack(tensors()) / 255, torch.tensor(numbers)), named),
        "data set": (Pairs(pictures), {}),
        "data set of tensors": (Pairs(tensors(), tuple(torch.tensor(numbers))), {}),
        "data set of float tensors": (Pairs([t / 255 for t in tensors()]), {}),
        "data set of half tensors": (Pairs([(t / 255).bfloat16() for t in tensors()]), {}),
        "data set of texts": (Pairs(arrays, LABELS), {}),
        "subset": (subset, {}),
    }


KINDS = sorted(sources([Path(__file__)] * 4))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source(kind: str, paths: list[Path]) -> None:
    source, options = sources(paths)[kind]
    task = choose(None, found := data.read_source(source, **options))
    dataset = task.load(found)
    assert isinstance(dataset, Dataset)
    assert (dataset.labels, dataset.classes) == (LABELS, NAMES)
    assert colours(dataset) == ["red", "blue", "green", "gray"]
    assert not dataset.unreadable


def test_a_frame_is_what_its_table_on_disk_is(paths: list[Path], tmp_path: Path) -> None:
    rows = {
        "file_name": [p.name for p in paths],
        "label": ["cat", "dog", "cat", "background"],
        "split": ["train", "Training", "test", "test"],
        "group": ["a", "a", "b", ""],
        "notes": [1, 2, 3, 4],
    }
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "t.csv", index=False)
    on_disk, in_memory = data.load(tmp_path / "t.csv"), data.read_source(frame, root=tmp_path)
    found = data.load(in_memory)
    for field in ("labels", "splits", "groups", "classes"):
        assert getattr(found, field) == getattr(on_disk, field)
    assert [i.digest() for i in found.images] == [i.digest() for i in on_disk.images]


@pytest.mark.parametrize(
    "rows",
    [
        {"labels": ["cat|dog", "dog", "", "cat"]},
        {"labels": [["cat", "dog"], ["dog"], [], ["cat"]]},
        {"cat": [1, 0, 0, 1], "dog": [1, 1, 0, 0]},
        {"cat": [True, False, False, True], "dog": [True, True, False, False]},
    ],
)
def test_a_frame_of_several_labels(rows: dict[str, Any], paths: list[Path]) -> None:
    found = data.read_source(pd.DataFrame({"path": paths} | rows))
    task = choose(None if "labels" in rows else "multi_label", found)
    dataset: Any = task.load(found)
    assert isinstance(dataset, MultiLabelDataset)
    assert dataset.matrix(NAMES).tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]


@pytest.mark.parametrize(
    "labels",
    [
        [["cat", "dog"], ["dog"], [], ["cat"]],
        [{"cat", "dog"}, {"dog"}, set(), {"cat"}],
        [(0, 1), (1,), (), (0,)],
        np.array([[1, 1], [0, 1], [0, 0], [1, 0]]),
        torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]),
    ],
)
def test_images_with_several_labels(labels: Any) -> None:
    X = np.stack([pixels(c) for c in COLOURS])
    found = data.read_source((X, labels), classes=NAMES)
    dataset: Any = choose(None, found).load(found)
    assert dataset.matrix(NAMES).tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]
    with pytest.raises(InputError, match="any number of labels"):
        data.load(found)


def test_grey_and_transparent_arrays() -> None:
    grey = np.full((4, 4), 128, np.uint8)
    clear = np.dstack([pixels("red"), np.zeros((4, 4), np.uint8)])
    white_grey = torch.full((1, 4, 4), 1.0)
    found = [data.decode(data.image_ref(v)) for v in (grey, grey[:, :, None], clear, white_grey)]
    assert [i.getpixel((0, 0)) for i in found] == [(128,) * 3, (128,) * 3, (255,) * 3, (255,) * 3]


def test_the_classes_of_a_data_set_order_the_columns() -> None:
    class Reverse(Pairs):
        classes = ("dog", "cat", "owl")

    found = data.load(Reverse([pixels(c) for c in COLOURS]))
    assert (found.labels, found.classes) == (("dog", "cat") * 2, ("dog", "cat"))


def test_an_image_folder_without_a_transform_is_read_from_its_files(paths: list[Path]) -> None:
    def default_loader(path: str) -> Any:
        raise AssertionError("every photo would be held in memory")

    class ImageFolder(Pairs):
        loader = staticmethod(default_loader)
        transform: Any = None

        def __getitem__(self, i: int) -> Any:
            return self.transform(default_loader(self.samples[i][0])), self.samples[i][1]

    source = ImageFolder(["unused"] * 4)
    source.samples = [(str(p), i % 2) for i, p in enumerate(paths)]  # type: ignore[attr-defined]
    assert [i.path for i in data.load(source).images] == paths
    source.transform = np.asarray  # then what the data set gives counts
    with pytest.raises(InputError, match="every photo would be held in memory"):
        data.load(source)


# ------------------------------------------------------------------------ one bad image or row


def failures(dataset: Dataset) -> list[str]:
    found = [reason for _, reason in dataset.unreadable]
    for ref in dataset.images:
        try:
            data.decode(ref)
        except ImageError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("missing.png", "missing.png: does not exist"),
        (None, "<image 1>: there is no image"),
        (float("nan"), "<image 1>: there is no image"),
        ("", "<image 1>: there is no image"),
        (b"no image", "<image 1>: is text, not an image"),
        (3, "<image 1>: cannot be used as an image (expected an image: a path,"),
        ({"a": 1}, "got dict"),
        (np.zeros((4, 4, 3), np.int64), "got int64; where they are 0 to 255, use .astype('uint8')"),
        (np.zeros((3, 4, 5), np.uint8), "got [3, 4, 5] uint8; turn it with array.transpose(1, 2,"),
        (np.zeros((0, 4, 3), np.uint8), "got [0, 4, 3] uint8"),
        (np.zeros((4, 4)), "expected pixels [H, W, 3], got [4, 4] float64"),
        (np.full((4, 4, 3), 255.0), "got 255 to 255; where they are 0 to 255, use .astype"),
        (np.full((4, 4, 3), np.nan), "NaN or infinity"),
        (torch.zeros(4, 4, 3), "got [4, 4, 3] torch.float32; turn it with tensor.permute(2, 0, 1)"),
        (torch.full((3, 4, 4), -1.8), "they look normalised, and the encoder normalises by itself"),
        (torch.full((3, 4, 4), 1.02), "where resizing did this, cut it off with .clip(0, 1)"),
        (torch.zeros(2, 3, 4, 4), "expected a tensor [3, H, W] of pixels, got [2, 3, 4, 4]"),
    ],
)
def test_one_bad_image_stops_no_other(bad: Any, reason: str) -> None:
    images = [pixels("red"), bad, pixels("blue")]
    labels = ["cat", "dog", "dog"]
    for source in (
        list(zip(images, labels, strict=True)),
        (images, labels),
        iter([*zip(images, labels, strict=True)]),
        Pairs(images, tuple(labels)),
        pd.DataFrame({"image": pd.Series(images, dtype=object), "label": labels}),
    ):
        found = data.load(source)
        assert len(found) == 3
        (message,) = failures(found)
        place = "row 1" if isinstance(source, pd.DataFrame) else "image 1"
        assert reason.replace("image 1", place) in message
        assert message.count(place) <= 1  # its name stands in it once


def test_a_data_set_that_raises_for_one_index() -> None:
    class Broken(Pairs):
        def __getitem__(self, i: int) -> Any:
            if i == 1:
                raise RuntimeError("disk on fire")
            return super().__getitem__(i)

    images = [pixels(c) for c in COLOURS]
    found = data.load(Broken(images))
    assert found.labels == ("cat", "cat", "dog")
    assert failures(found) == ["<image 1>: the data set raises RuntimeError: disk on fire"]
    source = Broken(images)
    source.targets = [0, 1, 0, 1]  # type: ignore[attr-defined]  # torchvision's; then it is known
    assert data.load(source).labels == LABELS
    assert failures(data.load(source)) == failures(found)


# ------------------------------------------------------------------------------ what is refused

X, y = np.stack([pixels(c) for c in COLOURS]), list(LABELS)
FRAME = pd.DataFrame({"path": ["a", "b", "c", "d"], "label": LABELS})


class Loader:
    dataset, batch_sampler = [(X[0], "cat")], None

    def __iter__(self) -> Any:
        return iter(self.dataset)


def stopping() -> Any:
    yield (X[0], "cat")
    raise KeyError("gone")


REFUSED = [
    (42, {}, "expected a folder or a table on disk, a pandas.DataFrame.*got int"),
    (None, {}, "got NoneType"),
    (b"photos", {}, "got bytes"),
    ({"cat": ["a.jpg"]}, {}, "got dict"),
    (object(), {}, "got object"),
    ([], {}, r"the list: has no images; expected \(image, label\) pairs"),
    (iter([]), {}, "the iterator: has no images"),
    (([], []), {}, "has no images"),
    ((X[:0], []), {}, "has no images"),
    (Pairs([], ()), {}, "the data set Pairs: has no images"),
    (FRAME[:0], {}, "the data frame: has no rows"),
    (FRAME.rename(columns={"label": "kind"}), {}, "no column for the label; expected one named"),
    (FRAME.rename(columns={"label": "kind"}), {}, "label, class, category.*got path, kind"),
    (FRAME.rename(columns={"path": "picture"}), {}, "path, file_name.*got picture, label"),
    (pd.DataFrame(), {}, "has no rows"),
    (FRAME.rename(columns={"label": "path"}), {}, "two columns are called path"),
    (FRAME.assign(label=["cat", None, "dog", np.nan]), {}, r"empty labels \(2\): row 1, row 3"),
    (FRAME.assign(label=pd.array(["cat", pd.NA, "dog", "dog"])), {}, r"empty labels \(1\): row 1"),
    (FRAME.assign(label=[0, 1, 0, 1]), {}, r"column 'label': the labels are numbers, 0 \(row 0\)"),
    (FRAME.assign(path="a"), {}, "images listed twice"),
    (FRAME.assign(split=["train", "test", "x", "train"]), {}, "unknown splits"),
    (["a.jpg", "b.jpg"], {}, r"got something else \(2\): str \(image 0\), str \(image 1\)"),
    ([("a.jpg", "cat"), ("b.jpg",)], {}, r"got something else \(1\): a tuple of 1 \(image 1\)"),
    ([(X[0], "cat", 3)] * 9, {}, r"a tuple of 3 \(image 0\).* and 4 more"),
    ([{"image": X[0], "label": "cat"}], {}, r"something else \(1\): dict"),
    (("a.jpg", "cat"), {}, r"a single pair goes into a list"),
    ((("a.jpg", "cat"), ("b.jpg", "dog")), {}, "may be two pairs or"),
    (X, {}, r"an array without labels; give a tuple \(images, labels\)"),
    ((X, None), {}, "the labels are None"),
    ((X, np.array(3)), {}, "the labels are ndarray"),
    ((X, {"cat", "dog"}), {}, "the labels are set"),
    ({("a.jpg", "cat")}, {}, "got set"),
    ((X, y[:3]), {}, "4 images and 3 labels"),
    ((X[0, 0], y), {}, r"expected \[N, H, W, 3\], got \[4, 3\] uint8"),
    (
        (X.transpose(0, 3, 1, 2).repeat(2, axis=3), y),
        {},
        r"turn it with images.transpose\(0, 2, 3, 1\)",
    ),
    ((X.astype(np.float32), y), {}, r"the array of images: expected floats from 0 to 1, got 0 to"),
    ((X.astype(int), y), {}, r"the array of images: expected pixels of type uint8.*got int64"),
    ((torch.from_numpy(X)[:, :2], y), {}, r"turn it with images.permute\(0, 3, 1, 2\)"),
    ((torch.zeros(4, 2, 4, 4), y), {}, r"the array of images: expected a tensor \[3, H, W\]"),
    ((torch.zeros(4, 3, 2, 2) - 2.1, y), {}, "the array of images:.*look normalised"),
    ((X, [0, 1, 0, 1]), {}, r"the arrays: the labels are numbers, 0 \(image 0\), 1 \(image 1\)"),
    ((X, [0, 1, 2, 7]), {"classes": NAMES}, r"outside 0 to 1.*\(2\): 2 \(image 2\), 7 \(image 3\)"),
    ((X, [0, 1, 0, -1]), {"classes": NAMES}, r"outside 0 to 1, the 2 classes \(1\): -1"),
    ((X, [0.5, 1, 0, 1]), {"classes": NAMES}, r"not understood \(1\): 0.5 \(image 0\)"),
    ((X, ["cat", 1, "dog", 0]), {"classes": NAMES}, r"'cat' \(image 0\), and some are numbers, 1"),
    ((X, ["cat", None, "dog", ""]), {}, r"empty labels \(2\): image 1, image 3"),
    ((X, [object()] * 4), {}, r"not understood \(4\)"),
    ((X, ["cat", "dog", "cat", "owl"]), {"classes": NAMES}, "'owl'"),
    ((X, np.eye(4)), {"classes": NAMES}, "an array of 0 and 1 with 2 entries"),
    ((X, np.eye(4)), {}, r"one entry a class \(classes=\)"),
    ((X, y), {"classes": "cat"}, "classes: expected a list of names, got 'cat'"),
    ((X, y), {"classes": [0, 1]}, "classes: expected names as texts, got 0"),
    ((X, y), {"classes": ["cat", "cat"]}, "repeat"),
    (Pairs(list(X), (0, 1, 2, 1)), {}, "outside 0 to 1"),
    (Pairs(list(X), (None, "dog", "cat", "dog")), {}, r"empty labels \(1\): image 0"),
    (Loader(), {}, r"a DataLoader, which gives batches; give its data set, loader.dataset"),
    (stopping(), {}, r"the iterator stopped after 1 items \(KeyError: 'gone'\)"),
    ("photos", {"root": "elsewhere"}, "photos: root= is for paths in memory"),
]


@pytest.mark.parametrize(
    ("source", "options", "reason"), REFUSED, ids=[str(i) for i in range(len(REFUSED))]
)
def test_what_is_not_understood_is_refused(source: Any, options: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        data.load(data.read_source(source, **options))


def test_a_data_set_that_raises_for_every_index_says_why() -> None:
    class Broken(Pairs):
        def __getitem__(self, i: int) -> Any:
            raise OSError("no disk")

    with pytest.raises(InputError, match=r"has no images \(<image 0>: the data set raises OSErr"):
        data.load(Broken(list(X)))


# ------------------------------------------------------------------------- images to ask about


def test_images_to_ask_about(paths: list[Path], tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": paths, "label": LABELS})
    endless = (pixels("red") for _ in iter(int, 1))
    asked = {
        "a path": (str(paths[0]), 1),
        "a folder": (tmp_path, 4),
        "a frame": (frame, 4),
        "a frame without labels": (frame[["path"]], 4),
        "a column": (frame["path"], 4),
        "an array": (X, 4),
        "one array": (X[0], 1),
        "one tensor": (tensors()[0], 1),
        "tensors": (torch.stack(tensors()), 4),
        "pairs": ([*zip(paths, LABELS, strict=True)], 4),
        "a data set": (Pairs(list(X)), 4),
        "labelled images": (data.load(frame), 4),
        "bytes": (paths[0].read_bytes(), 1),
        "none": ([], 0),
    }
    for kind, (source, count) in asked.items():
        refs = [data.reference(image, "") for image in data.images_of(source)]
        assert len(refs) == count, kind
        assert all(data.decode(ref).size == (4, 4) for ref in refs), kind
    assert next(iter(data.images_of(endless))).shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (3, "got int"),
        (None, "got NoneType"),
        (np.array(3), "got ndarray"),
        ({"a": 1}, "got dict"),
        (FRAME[["label"]], "has no column of images; expected one named path, .*got label"),
        (Loader(), "a DataLoader gives batches"),
    ],
)
def test_what_is_no_image_is_refused(source: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        list(data.images_of(source))


def test_a_place_without_an_image_raises_when_it_is_read() -> None:
    ref = ImageRef("row 3", problem="there is none")
    for read in (ref.content, ref.digest, lambda: data.decode(ref)):
        with pytest.raises(ImageError, match=r"^row 3: there is none$"):
            read()


def test_a_picture_that_pillow_reads_only_now() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    cut = Image.open(io.BytesIO(buffer.getvalue()[:-40]))
    found = data.load([(cut, "cat"), (pixels("red"), "dog")])
    (message,) = failures(found)
    assert message.startswith("<image 0>: cannot be used as an image (")


# ------------------------------------------------------------------------- what nobody thought of

_ODD = [X[0], X[0] / 255, np.array(3), np.array(["a", "b"]), np.array([0, 1]), torch.tensor([0, 1])]
_ODD += [torch.zeros(3, 2, 2), pd.NA, pd.NaT, object(), 1j, range(3), np.float32("nan")]
_ODD += [np.datetime64("2020"), pd.Series([1, 2]), FRAME, dict, len]
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5), st.floats(), st.text(max_size=3),
    st.binary(max_size=3), st.sampled_from(_ODD),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.tuples(inner, inner, inner),
        st.dictionaries(st.sampled_from(["path", "label", "bytes"]), inner, max_size=3),
    ),
    max_leaves=12,
)
columns = st.dictionaries(
    st.sampled_from(["path", "image", "label", "labels", "split", "group", "x", 0]),
    st.lists(scalars, min_size=3, max_size=3),
    max_size=5,
)
frames = columns.map(
    lambda cells: pd.DataFrame({name: pd.Series(c, dtype=object) for name, c in cells.items()})
)
class_lists = st.sampled_from([None, ["a", "b"], ["cat", "dog"], "ab", [1], {}, {"a": "x"}, 3])


@settings(max_examples=150, deadline=None)
@given(st.one_of(values, frames), class_lists)
def test_whatever_is_given_becomes_images_or_an_error_of_ours(source: Any, classes: Any) -> None:
    for read in (read_one, read_several, read_images):
        with suppress(InputError):
            read(source, classes)


def read_one(source: Any, classes: Any) -> None:
    assert len(data.load(source, classes=classes))


def read_several(source: Any, classes: Any) -> None:
    found = data.read_source(source, classes=classes)
    if isinstance(found, data.MemoryTable):
        assert len(data.multi_label_table(found))


def read_images(source: Any, _: Any) -> None:
    assert all(isinstance(data.reference(i, "x"), ImageRef) for i in data.images_of(source))
