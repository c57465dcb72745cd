"""The vocabulary: what an image, a class text and a feature are, and what an encoder provides.

Longer than other files because every room uses these types and none below may import more.

Rows are things, always: `[N, D]` support features, `[C, D]` class weights, `[M, C]` logits. N is
support images, M queries, C classes, D feature width, P prompts a class.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import ImageError, InputError

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[np.float32]

UNIT_TOLERANCE = 1e-3  # float16 rows on disk are unit to about 5e-4
_EXACT = 1e-6  # norms of rows that were scaled in float32 are off by up to 2e-7
_LOOKS = ("transparency", "exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
# bits a sample, whether white is zero, the samples of black and white and of no data
_TIFF = (258, 262, 340, 341, 42113)
_UNSEEN = ("Cc", "Zl", "Zp")  # Unicode's control characters and ends of lines
MAX_BYTES = 1 << 30  # an image file is read whole; 16-bit RGBA of 100 megapixels fits in this


@dataclass(frozen=True, eq=False)
class ImageRef:
    """One image: a file, its bytes, its pixels, or PIL's; decoding happens later and elsewhere.

    Or a place where an image should be and is not, so that it is reported like an unreadable file.

    Args:
        name: what reports and errors call it (a path, or anything that helps to find it again).
        path: the file, read when needed.
        data: the bytes of an image file.
        pixels: decoded RGB, `[H, W, 3]` uint8.
        image: a PIL image of any mode; the decoder makes of it what it makes of its file.
        problem: why there is no image; whoever reads it gets an `ImageError` that says so.

    Exactly one of these is given beside the name. Use `ImageRef.of` to build one.
    """

    name: str
    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False)
    image: Image | None = field(default=None, repr=False)
    problem: str | None = None

    def __post_init__(self) -> None:
        sources = (self.path, self.data, self.pixels, self.image, self.problem)
        if sum(source is not None for source in sources) != 1:
            raise InputError(f"{self.name}: give exactly one of path, data, pixels and image")
        if self.image is not None and 0 in self.image.size:
            raise InputError(f"{self.name}: expected a picture, got one of size {self.image.size}")
        if self.image is not None:
            object.__setattr__(self, "image", _kept(self.image))
        p = self.pixels
        if p is not None and (p.ndim != 3 or p.shape[2] != 3 or p.dtype != np.uint8 or not p.size):
            raise InputError(
                f"{self.name}: expected pixels [H, W, 3] uint8, got {list(p.shape)} {p.dtype}"
            )

    @classmethod
    def of(
        cls, source: ImageRef | str | Path | bytes | Image | ArrayLike, name: str = ""
    ) -> ImageRef:
        """Make a reference from whatever a caller has: a path, bytes, a PIL image or an array."""
        if isinstance(source, ImageRef):
            return source
        if isinstance(source, str | Path):
            return cls(name or str(source), path=at_home(source))
        if isinstance(source, bytes):
            return cls(name or "<bytes>", data=source)
        if hasattr(source, "convert"):  # a PIL image, without importing PIL here
            return cls(name or "<array>", image=cast("Image", source))
        return cls(name or "<array>", pixels=np.ascontiguousarray(source))

    def content(self) -> bytes:
        """The bytes that identify the image: the file as it lies, or shape and pixels.

        Of a PIL image, everything that decides how it looks.

        Raises:
            ImageError: a file that cannot be read, or no image at all.
        """
        if self.pixels is not None:
            return repr(self.pixels.shape).encode() + self.pixels.tobytes()
        if self.data is not None:
            return self.data
        if self.image is not None:
            i = self.image
            facts = (i.mode, i.size, i.getpalette("RGBA"), sorted(i.info.items()))
            return repr(facts).encode() + i.tobytes()
        if self.problem is not None:
            raise ImageError(f"{self.name}: {self.problem}")
        path = self.path
        if path is None:  # excluded by __post_init__; for the type checker
            raise InputError(f"{self.name}: has no content")
        with image_file(self.name, path) as file:
            return file.read()

    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal: the same picture has one digest wherever it lies."""
        return hashlib.sha256(self.content()).hexdigest()


def _kept(image: Image) -> Image:
    """A copy, for the caller may draw on or close theirs, with what decides how it looks."""
    copy = image.copy()
    tags = getattr(image, "tag_v2", image.info.get("tiff", {}))  # of a TIFF; lost in copying
    copy.info = {key: value for key, value in image.info.items() if key in _LOOKS}
    copy.info["tiff"] = {tag: tags[tag] for tag in _TIFF if tag in tags}
    return copy


@contextmanager
def image_file(name: str, path: Path) -> Iterator[FileIO]:
    """An image file to read; a pipe or device is refused: reading one may wait for ever.

    Raises:
        ImageError: with the name, for everything that cannot be opened or read.
    """
    if "\0" in str(path):
        raise ImageError(f"{name}: a path cannot contain a zero byte; check the path")
    try:
        with FileIO(path, "rb", opener=_at_once) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ImageError(f"{name}: is a pipe or device; expected an image file")
            if found.st_size > MAX_BYTES:
                raise ImageError(f"{name}: is larger than {MAX_BYTES} bytes; make it smaller")
            yield file
    except FileNotFoundError as error:
        link = " (a link to nothing)" if path.is_symlink() else ""
        raise ImageError(missing_path(name, "check the path", link)) from error
    except IsADirectoryError as error:
        raise ImageError(f"{name}: is a folder; expected an image file") from error
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror}); check its rights") from error
    except UnicodeEncodeError as error:
        raise ImageError(f"{name}: is no path this system can have; check the path") from error


def _at_once(path: str, flags: int) -> int:
    """Open a pipe without waiting for its writer, so that it can be distinguished from a file."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@dataclass(frozen=True, eq=False)
class ClassText:
    """Class names and the text features of their prompts.

    Deliberately *not* array-like (no `__len__`, `shape` or `__array__`): scikit-learn slices any
    array-like fit argument whose length equals the number of samples, without a word.

    Args:
        embeddings: `[C, P, D]`, unit rows: P prompts for each of C classes.
        classes: C different names; they fix the order of every logit column.
        scale: the encoder's `exp(logit_scale)`, about 100 for CLIP.

    Raises:
        InputError: shapes that disagree, repeated names, numbers that are not finite, zero rows.

    >>> text = ClassText(np.eye(2)[:, None, :], ("cat", "dog"), 100.0)
    >>> text.weights.shape
    (2, 2)
    """

    embeddings: Array
    classes: tuple[str, ...]
    scale: float

    def __post_init__(self) -> None:
        values = np.asarray(self.embeddings, dtype=np.float32)
        if values.ndim != 3 or 0 in values.shape:
            raise InputError(f"expected text embeddings [C, P, D], got {list(values.shape)}")
        object.__setattr__(self, "embeddings", unit(values, "text embeddings"))
        object.__setattr__(self, "classes", class_names(self.classes))
        if len(self.classes) != len(values):
            raise InputError(
                f"expected one row of text embeddings a class, got {len(values)} rows "
                f"for {len(self.classes)} classes"
            )
        if not 0 < self.scale <= float(np.finfo(np.float32).max):
            raise InputError(f"expected a positive logit scale within float32, got {self.scale}")

    @property
    def weights(self) -> Array:
        """`[C, D]` zero-shot classifier: mean over the prompts, renormalised (methods of CLIP)."""
        return unit(self.embeddings.mean(axis=1), "the mean of the prompts")


@dataclass(frozen=True, eq=False)
class Features:
    """Image features with what is needed to trust them.

    Args:
        values: `[N, D]` float32, unit rows.
        ids: N image digests, in the order of the rows.
        encoder: fingerprint of the encoder they came from.
    """

    values: Array
    ids: tuple[str, ...]
    encoder: str

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.ids):
            raise InputError(
                f"expected features [N, D] with N = {len(self.ids)} ids, "
                f"got {list(self.values.shape)}"
            )


@runtime_checkable
class TextTower(Protocol):
    """The half of an encoder that reads."""

    @property
    def dim(self) -> int:
        """Feature width D."""
        ...

    @property
    def scale(self) -> float:
        """`exp(logit_scale)`: what a cosine is multiplied by to become a logit."""
        ...

    def texts(self, batch: Sequence[str]) -> Array:
        """N texts to `[N, D]` float32 unit rows."""
        ...


@runtime_checkable
class Encoder(TextTower, Protocol):
    """A frozen vision-language model.

    `prepare` does everything that happens to one picture before the network (resize, crop,
    normalise); it is thread-safe, so that it can run ahead while `images` computes.
    """

    @property
    def name(self) -> str:
        """What the user calls it: a hub name, a folder, or `tiny`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Identity of weights, preprocessing and tokenizer; equal on every machine."""
        ...

    @property
    def precision(self) -> str:
        """`float32` or `bfloat16`: how it computes here; not part of the fingerprint."""
        ...

    def prepare(self, image: Image) -> Any:
        """One decoded RGB picture to the network's input for it (opaque; give it to `images`)."""
        ...

    def images(self, batch: Sequence[Any]) -> Array:
        """N prepared pictures to `[N, D]` float32 unit rows."""
        ...


def at_home(path: str | os.PathLike[str]) -> Path:
    """A path that a person gives, with `~` as that person's own folder.

    A shell does it, but not in `--out=~/skill`, in quotes, or in a program.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user, or a user without a home
        return Path(path)


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an address of the web, which nothing here fetches."""
    return os.fspath(path)[:8].lower().startswith(("http:/", "https:/"))


def missing_path(path: str | os.PathLike[str], cure: str, note: str = "") -> str:
    """The words of an error about a path that does not exist, and what to do.

    >>> missing_path("cat.png", "check the path")
    'cat.png: does not exist; check the path'
    """
    if not is_address(path):
        return f"{path}: does not exist{note}; {cure}"
    scheme, _, rest = os.fspath(path).partition(":")
    return (
        f"{scheme}://{rest.lstrip('/')}: is an address, and nothing is fetched from the network; "
        "download it first, then name the file or folder"
    )


def check_count(name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number, `least` or more; True is none.

    Raises:
        InputError: naming the argument.
    """
    # bool is a subclass of int, and shots=True must not count as 1
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name}: expected a whole number, {least} or more, got {value!r}")
    if value < least:
        raise InputError(f"expected {name} of {least} or more, got {value}")


def unit(values: ArrayLike, what: str = "features") -> Array:
    """Rows scaled to length one, float32; a row that was scaled already keeps its bits.

    Raises:
        InputError: a row that is zero or not finite; it has no direction.
    """
    array = np.asarray(values, dtype=np.float32)
    norms = np.linalg.norm(array, axis=-1, keepdims=True)
    if not np.isfinite(norms).all():
        raise InputError(f"{what} contain NaN or infinity; encode the images again")
    if not (norms > 0).all():
        raise InputError(f"{what} contain a row of zeros, which has no direction")
    norms[np.abs(norms - 1) < _EXACT] = 1  # or text saved and read would differ in its last bit
    return np.asarray(array / norms, dtype=np.float32)


def class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check class names: at least one, none empty or with control characters, none twice.

    Names that differ in upper and lower case only count as one twice.

    Raises:
        InputError: naming what is wrong.
    """
    result = tuple(str(n) for n in names)
    if not result:
        raise InputError("no class names given")
    if any(not n.strip() for n in result):
        raise InputError("a class name is empty; every class needs a name")
    unseen = [n for n in result if any(unicodedata.category(c) in _UNSEEN for c in n)]
    if unseen:
        raise InputError(
            f"the class name {unseen[0]!r} holds a control character or a line break, which can "
            "garble a terminal; rename it"
        )
    seen: dict[str, str] = {}
    for n in result:
        key = unicodedata.normalize("NFC", n).strip().casefold()
        if key in seen:
            raise InputError(f"class names repeat: {seen[key]!r} and {n!r}; make them different")
        seen[key] = n
    return result
