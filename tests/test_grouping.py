"""Groups of images that belong together: how they are stated."""

from __future__ import annotations

import pytest

from handful.contracts import ImageRef
from handful.data import Dataset
from handful.errors import InputError


def dataset(names, labels=None, **more):
    images = tuple(ImageRef.of(b"x" + name.encode(), name) for name in names)
    return Dataset(images, tuple(labels or ["cat"] * len(images)), **more)


def test_a_subset_keeps_its_cells_of_further_columns():
    three = dataset("abc", columns={"site": ["north", "", "south"]})
    assert three.subset([2, 0]).columns == {"site": ("south", "north")}


def test_a_column_has_a_cell_for_each_image():
    with pytest.raises(InputError, match="column 'site': expected 3 cells, one an image, got 1"):
        dataset("abc", columns={"site": ["north"]})
