"""The images of a training: their features, activations, or the prepared images themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from handful import data
from handful.contracts import ImageRef
from handful.data import augmentation
from handful.encoders.towers import Inputs, Tunable
from handful.errors import ImageError
from handful.features import Failure, Progress, extract_activations
from handful.features.store import ActivationStore
from handful.tuners._tuned_encoder import TunedEncoder
from handful.tuners.training.recipe import Recipe

OUTPUT = -1  # in place of a block: the tower's output
_CACHE_BYTES = 512 * 2**20  # of prepared images, where no activation can be kept


@dataclass(eq=False)
class TrainingImages:
    """N images in V views each, and the part of the image tower that they still have to pass.

    Args:
        base: the encoder whose tower that is.
        refs: the N images.
        recipe: for views that are prepared anew.
        failures: images that could not be used.
        kept: indices of the N images among those given.
        values: `[N, V, ...]` input of `block`, or output of the tower; None where each view is
            prepared anew whenever it is asked for.
        block: the block that `values` are the input of; None where they are the output.
    """

    base: Tunable
    refs: Sequence[ImageRef]
    recipe: Recipe
    failures: tuple[Failure, ...]
    kept: Sequence[int]
    values: Tensor | None = None
    block: int | None = None

    def __post_init__(self) -> None:
        self._blank: dict[str, Tensor] | None = None
        self._cache: dict[tuple[int, int], Any] = {}
        self._cache_left = _CACHE_BYTES if self.recipe.cache else 0

    def __len__(self) -> int:
        return len(self.refs)

    @property
    def views(self) -> int:
        """V."""
        return self.recipe.views if self.values is None else self.values.shape[1]

    def draw_views(self, rows: Tensor) -> Tensor:
        """A view of each row, from torch's generator."""
        return torch.randint(self.views, rows.shape)

    def features(self, rows: Tensor, views: Tensor) -> Tensor:
        """`[B, D]` unit rows, differentiable where the model is."""
        return normalize(self._features(rows, views).float(), dim=-1)

    def _features(self, rows: Tensor, views: Tensor) -> Tensor:
        tower = self.base.vision
        if self.values is None:
            pairs = zip(rows.tolist(), views.tolist(), strict=True)
            return tower.forward(self.base.pixels([self._prepared(*pair) for pair in pairs]))
        values = self.values[rows, views].to(self.base.device)
        if self.block is None:
            return values
        return tower.forward_from(values, self._blank_inputs(len(values)), self.block)

    def frozen_features(self, batch: int = 64) -> Tensor:
        """`[N, V, D]` unit rows of the model as it is now; call it before anything is attached."""
        at = torch.cartesian_prod(torch.arange(len(self)), torch.arange(self.views))
        with torch.no_grad():
            found = [self.features(*part.unbind(1)).cpu() for part in torch.split(at, batch)]
        return torch.cat(found).reshape(len(self), self.views, -1)

    def _prepared(self, row: int, view: int) -> Any:
        """One prepared view; kept while there is room, as decoding can take as long as a step."""
        if (row, view) in self._cache:
            return self._cache[row, view]
        image, key = data.decode(self.refs[row]), self.refs[row].digest()
        if view:  # view 0 is the image as it is
            image = augmentation.random_view(
                image, self.recipe.seed, view, key=key, kind=self.recipe.augmentation
            )
        prepared = self.base.prepare(image)
        arrays = prepared.values() if isinstance(prepared, dict) else (prepared,)
        size = sum(int(array.nbytes) for array in arrays)
        if size <= self._cache_left:
            self._cache[row, view] = prepared
            self._cache_left -= size
        return prepared

    def _blank_inputs(self, count: int) -> Inputs:
        """Pixels of the right shape, of which `forward_from` uses nothing but the shape."""
        if self._blank is None:
            self._blank = self.base.pixels([self.base.prepare(data.decode(self.refs[0]))])
        return {k: v.expand(count, *v.shape[1:]) for k, v in self._blank.items()}


def prepare_images(
    encoder: Tunable | TunedEncoder,
    images: Sequence[ImageRef],
    block: int | None,
    recipe: Recipe,
    store: ActivationStore | None = None,
    progress: Progress | None = None,
) -> TrainingImages:
    """Compute once what stays the same while training; call it before new tuners are attached.

    Args:
        encoder: the results are kept under its fingerprint; the deltas of a tuned one are attached.
        images: N images; those that cannot be used are listed in `failures`.
        block: the first block that training changes; None for none.
        recipe: views, augmentation, and whether anything is to be kept at all.
        store: where results are kept; the user's own store when not given.
        progress: called with (images done, N).
    """
    base = encoder.base if isinstance(encoder, TunedEncoder) else encoder
    nothing_is_frozen = block is not None and block < 0
    if nothing_is_frozen or not recipe.cache or not _takes_pixels_alone(base, images):
        failures = _unreadable(images)
        kept = sorted(set(range(len(images))) - {failure.index for failure in failures})
        return TrainingImages(base, [images[i] for i in kept], recipe, failures, kept)
    tower = base.vision

    def compute(prepared: Sequence[Any]) -> np.ndarray[Any, Any]:
        with torch.no_grad():
            inputs = base.pixels(prepared)
            found = tower.forward(inputs) if block is None else tower.forward_until(inputs, block)
        return found.float().cpu().numpy()

    found = extract_activations(
        encoder,
        images,
        compute,
        block=OUTPUT if block is None else block,
        views=recipe.views,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        store=store,
        progress=progress,
    )
    refs, values = [images[i] for i in found.kept], torch.from_numpy(found.values)
    return TrainingImages(base, refs, recipe, found.failures, found.kept, values, block)


def _takes_pixels_alone(base: Tunable, images: Sequence[ImageRef]) -> bool:
    """Whether the tower has no input but pixels; sizes, say, would have to be kept as well."""
    for image in images:
        try:
            return len(base.pixels([base.prepare(data.decode(image))])) == 1
        except ValueError:  # an image that cannot be read; it is reported later
            continue
    return True


def _unreadable(images: Sequence[ImageRef]) -> tuple[Failure, ...]:
    found = []
    for index, image in enumerate(images):
        try:
            data.decode(image)
        except ImageError as error:
            found.append(Failure(image.name, str(error), index))
    return tuple(found)
