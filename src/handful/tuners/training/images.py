"""What training sees of the images: features, activations, or the pictures themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from handful import data
from handful.contracts import Encoder, ImageRef
from handful.data import augment
from handful.encoders.towers import Inputs, Tunable
from handful.errors import ImageError
from handful.features import Failure, Progress, extract_activations
from handful.features.store import ActivationStore
from handful.tuners.training.recipe import Recipe

OUTPUT = -1  # in the place of a block: what the tower gives
_CACHE_BYTES = 512 * 2**20  # bytes of prepared pictures that are held where nothing else can be


@dataclass(eq=False)
class TrainingImages:
    """Images on their way through the tower that sees.

    Args:
        base: the encoder whose tower the rest of the way goes through.
        entry: the block that `held` enters; None where it is the tower's result already.
        held: `[N, V, ...]` of N images in V views each, or None where pictures are prepared anew
            each time they are asked for.
        refs: the N images.
        recipe: for the views of pictures that are prepared anew.
        failures: images that could not be used.
        kept: places of the N images among those asked for.
    """

    base: Tunable
    entry: int | None
    held: Tensor | None
    refs: Sequence[ImageRef]
    recipe: Recipe
    failures: tuple[Failure, ...]
    kept: tuple[int, ...]

    def __post_init__(self) -> None:
        self._blank: dict[str, Tensor] | None = None
        self._ready: dict[tuple[int, int], Any] = {}
        self._room = _CACHE_BYTES if self.recipe.cache else 0

    def __len__(self) -> int:
        return len(self.refs)

    @property
    def views(self) -> int:
        """V."""
        return self.recipe.views if self.held is None else self.held.shape[1]

    def draw(self, rows: Tensor) -> Tensor:
        """A view of each row, from torch's generator."""
        return torch.randint(self.views, rows.shape)

    def features(self, rows: Tensor, views: Tensor) -> Tensor:
        """`[B, D]` unit rows, differentiable where the model is."""
        return normalize(self._features(rows, views).float(), dim=-1)

    def _features(self, rows: Tensor, views: Tensor) -> Tensor:
        tower, device = self.base.vision, self.base.device
        if self.held is None:
            return tower.forward(self.base.pixels(self._prepared(rows, views)))
        found = self.held[rows, views].to(device)
        if self.entry is None:
            return found
        return tower.resumed(found, self._inputs(len(found)), self.entry)

    def frozen(self, batch: int = 64) -> Tensor:
        """`[N, V, D]` unit rows as the model is now; call it before anything is attached."""
        at = torch.cartesian_prod(torch.arange(len(self)), torch.arange(self.views))
        with torch.no_grad():
            found = [self.features(*part.unbind(1)).cpu() for part in torch.split(at, batch)]
        return torch.cat(found).reshape(len(self), self.views, -1)

    def _prepared(self, rows: Tensor, views: Tensor) -> list[Any]:
        pairs = zip(rows.tolist(), views.tolist(), strict=True)
        return [self._picture(row, view) for row, view in pairs]

    def _picture(self, row: int, view: int) -> Any:
        """One prepared picture; decoding a photo can take as long as a step."""
        if (row, view) in self._ready:
            return self._ready[row, view]
        made = self.base.prepare(_view(self.refs[row], self.recipe, view))
        parts = made.values() if isinstance(made, dict) else (made,)
        size = sum(int(part.nbytes) for part in parts)
        if size <= self._room:
            self._ready[row, view] = made
            self._room -= size
        return made

    def _inputs(self, count: int) -> Inputs:
        """Pixels of the right shape, which nobody looks at."""
        if self._blank is None:
            picture = data.decode(self.refs[0])
            self._blank = self.base.pixels([self.base.prepare(picture)])
        return {k: v.expand(count, *v.shape[1:]) for k, v in self._blank.items()}


def prepare_images(
    base: Tunable,
    key: Encoder,
    images: Sequence[ImageRef],
    entry: int | None,
    recipe: Recipe,
    store: ActivationStore | None,
    progress: Progress | None,
) -> TrainingImages:
    """Compute once what stays the same while training; nothing may be attached that is trained.

    Args:
        base: the encoder.
        key: the encoder whose fingerprint the results belong to.
        images: N images; those that cannot be used are told in `failures`.
        entry: the first block that training changes; None for none.
        recipe: views, augmentation, and whether anything is to be kept at all.
        store: where results are kept; the user's own store when not given.
        progress: called with (images done, N).
    """
    early = entry is not None and entry < 0  # nothing stays the same but the pictures
    if early or not recipe.cache or not _alone(base, images):
        failures = _unreadable(images)
        bad = {failure.index for failure in failures}
        kept = tuple(i for i in range(len(images)) if i not in bad)
        return TrainingImages(base, entry, None, [images[i] for i in kept], recipe, failures, kept)
    tower = base.vision

    def compute(prepared: Sequence[Any]) -> np.ndarray[Any, Any]:
        with torch.no_grad():
            inputs = base.pixels(prepared)
            found = tower.forward(inputs) if entry is None else tower.entering(inputs, entry)
        return found.float().cpu().numpy()

    found = extract_activations(
        key,
        images,
        compute,
        block=OUTPUT if entry is None else entry,
        views=recipe.views,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        store=store,
        progress=progress,
    )
    refs = [images[i] for i in found.kept]
    held = torch.from_numpy(found.values)
    return TrainingImages(base, entry, held, refs, recipe, found.failures, found.kept)


def _alone(base: Tunable, images: Sequence[ImageRef]) -> bool:
    """Whether pixels are all that the tower is given; sizes of their own cannot be left out."""
    for image in images:
        try:
            return len(base.pixels([base.prepare(data.decode(image))])) == 1
        except ValueError:  # an image that cannot be read is told of later
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


def _view(ref: ImageRef, recipe: Recipe, index: int) -> Any:
    picture = data.decode(ref)
    if index == 0:
        return picture
    return augment.view(picture, recipe.seed, index, key=ref.digest(), kind=recipe.augmentation)
