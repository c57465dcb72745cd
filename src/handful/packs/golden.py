"""Golden answers: features and logits of synthetic pictures, by which a loaded skill is checked.

The features and logits of the pictures show whether the method is still the same; one of the
pictures travels in the pack and shows whether an encoder is. They come from a formula and a
counter, so no photo of a user gets into a pack that is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handful.contracts import Array, Encoder, unit
from handful.errors import MismatchError, PackError
from handful.packs.confidence import probabilities
from handful.packs.format import Tensors, mismatched
from handful.packs.head import REFUSALS

PICTURES = 8
TOLERANCE = 0.01  # largest |dp| between two machines that count as one encoder
ROUNDING = 0.9999  # cosine of bfloat16 to float32 features, measured on a ViT-B/32 (docs/packs.md)
_DRAWS = 32
_ROUNDS = 4
_SURE = 0.8  # with less, max p (1 - p) is within a factor 1.6 of the most there can be
_CLOSE = 1e-4  # golden logits, relative to the largest: other processors round differently
HEIGHT, WIDTH = 96, 128  # not square and not a size any encoder takes: resize and crop are tested


def make(adapter: Any, encoder: Encoder, factor: float = 1.0) -> dict[str, NDArray[Any]]:
    """The golden tensors of a fitted adapter; row 0 of the features is that of the image.

    Args:
        adapter: the method.
        encoder: looks at the pictures.
        factor: what the skill multiplies logits by before the softmax.
    """
    answer = _answer(adapter, factor)
    images = [picture(index) for index in range(PICTURES)]
    first = features = _encode(encoder, images)
    best, golden, row = -np.inf, images[0], features[:1]
    for left in reversed(range(_ROUNDS)):
        worth = telling(features, answer)
        if worth.max() > best:
            found = int(worth.argmax())
            best, golden, row = float(worth[found]), images[found], features[found : found + 1]
        scores = answer(features)
        answers = scores.argmax(axis=1)
        turns = np.flatnonzero(answers[1:] != answers[:-1])
        dull = best < TOLERANCE / 5 and scores.max(axis=1).min() >= _SURE
        if not (left and dull and len(turns)):
            break
        # sure of all: somewhere between two answers lies a picture of which the skill is not
        images = _between(images[turns[0]], images[turns[0] + 1])
        features = _encode(encoder, images)
    return _tensors(golden, np.concatenate([row, first]), adapter, answer)


def remake(tensors: Tensors, adapter: Any, factor: float = 1.0) -> dict[str, NDArray[Any]]:
    """The golden tensors of another head on the same encoder, without it.

    The picture is chosen anew among the eight whose features are there, so that nothing of the
    former head remains, not even the choice of the picture. Where `make` would search between
    pictures, this cannot, and takes the best of the eight.
    """
    rows = tensors["golden.features"][1:]  # [PICTURES, D]
    answer = _answer(adapter, factor)
    best = int(telling(rows, answer).argmax())
    return _tensors(picture(best), np.concatenate([rows[best : best + 1], rows]), adapter, answer)


def _answer(adapter: Any, factor: float) -> Callable[[Array], Array]:
    """Probabilities of the skill; without a factor, those of methods without a softmax too."""
    if factor == 1:
        return cast(Callable[[Array], Array], adapter.predict_proba)
    return lambda rows: probabilities(adapter.logits(rows), factor)


def _tensors(
    image: NDArray[np.uint8], features: Array, adapter: Any, answer: Callable[[Array], Array]
) -> dict[str, NDArray[Any]]:
    return {
        "golden.image": image,
        "golden.features": features,
        "golden.logits": adapter.logits(features),
        "golden.probabilities": answer(features[:1])[0],
    }


def check(tensors: Tensors, adapter: Any, where: str) -> None:
    """Does the adapter answer as it did when the skill was made?

    Raises:
        PackError: golden tensors missing or of a wrong shape, or other logits.
    """
    dim, classes = adapter.n_features_in_, len(adapter.classes_)
    _check_shape(tensors, "golden.image", "uint8", (None, None, 3), where)
    _check_shape(tensors, "golden.features", "float32", (None, dim), where)
    _check_shape(tensors, "golden.logits", "float32", (None, classes), where)
    _check_shape(tensors, "golden.probabilities", "float32", (classes,), where)
    expected = tensors["golden.logits"]
    try:
        given = adapter.logits(tensors["golden.features"])
    except REFUSALS as error:
        raise PackError(f"{where}: its tensors do not fit one another ({error})") from error
    if given.shape != expected.shape:
        raise PackError(
            f"{where}: expected logits {list(expected.shape)}, its head gives {list(given.shape)}"
        )
    gap = float(np.abs(given - expected).max())
    size = float(np.abs(expected).max())
    if not gap <= _CLOSE * max(size, _CLOSE):  # also refuses a gap that is not a number
        raise PackError(
            f"{where}: does not answer as it did when it was made (its golden logits, of size "
            f"{size:.3g}, differ by {gap:.2g}); the method has changed, teach the skill again"
        )


def check_encoder(
    manifest: Mapping[str, Any],
    tensors: Tensors,
    encoder: Encoder,
    probabilities: Callable[[Array], Array],
    where: str,
) -> float:
    """Does this encoder give the features that a skill was taught with?

    Fingerprints must be equal. Precision may differ; then, as in every case, the golden image
    must get nearly the probabilities it got when the skill was made.

    Args:
        manifest: of the skill.
        tensors: of the skill.
        encoder: the one at hand.
        probabilities: the skill, `[M, D]` to `[M, C]`.
        where: what errors call the skill.

    Returns:
        Largest `|dp|` on the golden image, below `TOLERANCE`.

    Raises:
        MismatchError: naming what differs, or which precision to use.
    """
    stated = manifest["encoder"]
    differing = mismatched(stated["fingerprint"], encoder.fingerprint)
    if differing:
        raise MismatchError(
            f"{where} was made for another encoder: {'; '.join(differing)}. "
            f"Load {stated['name']!r} as it was then, or teach the skill again on {encoder.name!r}"
        )
    image = Image.fromarray(tensors["golden.image"])
    given = probabilities(encoder.images([encoder.prepare(image)]))[0]
    moved = float(np.abs(given - tensors["golden.probabilities"]).max())
    if moved < TOLERANCE:
        return moved
    then, now = stated["precision"], encoder.precision
    if then != now:
        cause = f"it was taught in {then} and the encoder computes in {now} here"
        cure = f"load the encoder with precision={then!r}"
    else:
        cause = "weights and precision are the same, so pictures are prepared differently here"
        cure = "install the versions of Pillow and transformers it was made with"
    raise MismatchError(
        f"{where}: its golden image gets other probabilities (they differ by {moved:.3f}, "
        f"expected less than {TOLERANCE}): {cause}. To put it right, {cure}, or teach "
        "the skill again"
    )


def _check_shape(
    tensors: Tensors, name: str, dtype: str, shape: tuple[int | None, ...], where: str
) -> None:
    values = tensors.get(name)
    if values is not None and values.size and str(values.dtype) == dtype:
        sizes = zip(shape, values.shape, strict=False)
        if len(shape) == values.ndim and all(want in (None, got) for want, got in sizes):
            return
    got = "none" if values is None else f"{values.dtype} {list(values.shape)}"
    expected = f"{dtype} {['any' if size is None else size for size in shape]}"
    raise PackError(f"{where}: tensor {name}: expected {expected}, got {got}")


def picture(index: int) -> NDArray[np.uint8]:
    """Picture number `index`, `[96, 128, 3]`: a gradient, waves on it, four shapes, some grain."""
    random = np.random.default_rng(index)
    v, u = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]  # [H, W] each
    first, second, wave = random.uniform(0, 255, (3, 3))
    turn = random.uniform(0, 2 * np.pi)
    slope = 0.5 + 0.5 * (np.cos(turn) * (2 * u - 1) + np.sin(turn) * (2 * v - 1)) / np.sqrt(2)
    values = first + slope[..., None] * (second - first)
    along, across = random.uniform(2, 12, 2)
    values += 0.2 * (wave - 128) * np.sin(2 * np.pi * (along * u + across * v))[..., None]
    for shape in range(4):
        x, y = random.uniform(0.15, 0.85, 2)
        width, height = random.uniform(0.08, 0.3, 2)
        across_x, across_y = np.abs(u - x) / width, np.abs(v - y) / height
        inside = across_x**2 + across_y**2 < 1 if shape % 2 else np.maximum(across_x, across_y) < 1
        values[inside] = random.uniform(0, 255, 3)
    values += random.normal(0, 6, values.shape)
    return np.asarray(values.clip(0, 255).round(), dtype=np.uint8)


def telling(features: Array, probabilities: Callable[[Array], Array]) -> NDArray[np.float64]:
    """How well each of K pictures shows another encoder without mistaking rounding for one.

    Noise as strong as that of bfloat16 moves the probabilities of picture k by `d_k` (95th
    percentile of `max |dp|`). A saturated picture has `d_k` near 0 and would pass any encoder; one
    on the edge between classes may move by more than is tolerated although all is well. So the
    worth is `d_k` below half of the tolerance and `-d_k` above.

    Args:
        features: `[K, D]` unit rows.
        probabilities: the skill, `[M, D]` to `[M, C]`.
    """
    count, dim = features.shape
    noise = unit(np.random.default_rng(0).standard_normal((_DRAWS, dim)))
    moved = unit(features[:, None] + np.tan(np.arccos(ROUNDING)) * noise)  # [K, draws, D]
    there = probabilities(moved.reshape(-1, dim)).reshape(count, _DRAWS, -1)
    distance = np.abs(there - probabilities(features)[:, None]).max(axis=2)  # [K, draws]
    moves = np.quantile(distance, 0.95, axis=1)
    worth: NDArray[np.float64] = np.where(moves < TOLERANCE / 2, moves, -moves)
    return worth


def _encode(encoder: Encoder, images: Sequence[NDArray[np.uint8]]) -> Array:
    """`[K, D]` features, each picture alone as later: other batch sizes round differently."""
    prepared = [encoder.prepare(Image.fromarray(image)) for image in images]
    rows = [np.asarray(encoder.images([one]), dtype=np.float32) for one in prepared]
    return np.concatenate(rows)


def _between(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Both pictures and even steps from one to the other."""
    shares = np.linspace(0, 1, PICTURES)
    return [(one + s * (other.astype(float) - one)).round().astype(np.uint8) for s in shares]
