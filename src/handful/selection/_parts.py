"""What leaves the class means when a unit is left out: its images, class by class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from handful.selection.modality_gap import ClassMeans, line, sums


@dataclass(frozen=True, eq=False)
class Parts:
    """P parts of U units: a part is the images of one unit that are of one class.

    Args:
        units: `[N]` unit of each sample, from 0.
        part: `[N]` part of each sample.
        unit: `[P]` unit of each part.
        column: `[P]` class of each part.
        sizes: `[P]` samples, float64.
    """

    units: Tensor
    part: Tensor
    unit: Tensor
    column: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, targets: Tensor, units: Tensor | None) -> Parts:
        """From `[N]` columns and `[N]` units; None: each sample alone."""
        if units is None:
            each = torch.arange(len(targets))
            return cls(each, each, each, targets, torch.ones(len(targets), dtype=torch.float64))
        classes = int(targets.max()) + 1
        keys = units * classes + targets
        found, part, sizes = torch.unique(keys, return_inverse=True, return_counts=True)
        return cls(units, part, found // classes, found % classes, sizes.double())

    def at(self, samples: slice) -> tuple[Parts, slice, slice]:
        """Those of some units, all of their samples, and where their parts and units are.

        Args:
            samples: of samples in the order of their units.
        """
        if self.part is self.unit:  # each sample alone
            return Parts.of(self.column[samples], None), samples, samples
        units, part = self.units[samples], self.part[samples]
        u = slice(int(units[0]), int(units[-1]) + 1)
        of = slice(int(part.min()), int(part.max()) + 1)
        units = units - u.start
        unit = self.unit[of] - u.start
        return Parts(units, part - of.start, unit, self.column[of], self.sizes[of]), of, u

    def total(self, values: Tensor) -> Tensor:
        """`[P, ...]` sums over the samples of each part, of `[N, ...]`."""
        if self.part is self.unit:  # each sample alone
            return values
        return _summed(values, self.part, len(self.unit))

    def of_units(self, values: Tensor) -> Tensor:
        """`[U, ...]` sums over the parts of each unit, of `[P, ...]`."""
        if self.part is self.unit:
            return values
        return _summed(values, self.unit, int(self.units.max()) + 1)

    def set_own(self, table: Tensor, rows: Tensor, own: Tensor) -> None:
        """Write `rows_i · own_p` into a `[N, C]` table, for all parts p of the unit of sample i.

        Args:
            table: `[N, C]`, changed where a class has images of the sample's unit.
            rows: `[N, D]`.
            own: `[P, D]`, of each part's class.
        """
        several = torch.bincount(self.unit) > 1  # images of several classes
        simple = torch.nonzero(~several[self.units])[:, 0]
        at = self.part[simple]
        table[simple, self.column[at]] = (rows[simple] * own[at]).sum(1)
        for unit in torch.nonzero(several)[:, 0].tolist():
            samples = torch.nonzero(self.units == unit)
            parts = torch.nonzero(self.unit == unit)[:, 0]
            table[samples, self.column[parts]] = rows[samples[:, 0]] @ own[parts].T


@dataclass(frozen=True, eq=False)
class Remaining:
    """Class means and the modality gap without each unit in turn, exactly.

    Args:
        counts: `[P]` images left in the class of each part.
        sums: `[P, D]` sum of the part's residuals.
        means: `[P, D]` mean of the class without the part; of no use where nothing is left.
        offset: `[U, D]` and
        gain: `[U]`, `modality_gap` without each unit.
    """

    counts: Tensor
    sums: Tensor
    means: Tensor
    offset: Tensor
    gain: Tensor

    @classmethod
    def of(cls, given: ClassMeans, parts: Parts, text: Tensor) -> Remaining:
        """What the fit of `given` becomes without each unit."""
        own, left = text[parts.column].double(), given.counts[parts.column] - parts.sizes
        gone = (left == 0)[:, None]
        leaving = parts.total(given.residuals)
        # without its part a class mean moves by - sum r / left, or leaves the sums
        moved = leaving / left.clamp(min=1)[:, None]
        means = given.means[parts.column] - moved
        moved = torch.where(gone, given.means[parts.column], moved)
        all_sums, lost = sums(given.means, given.counts, text), gone * own
        offset, gain = line(
            (all_sums.classes - parts.of_units(gone[:, 0].double()))[:, None],
            all_sums.image - parts.of_units(moved),
            all_sums.text - parts.of_units(lost),
            (all_sums.squares - parts.of_units((lost * own).sum(1)))[:, None],
            (all_sums.products - parts.of_units((moved * own).sum(1)))[:, None],
        )
        return cls(left, leaving, means, offset, gain)


def _summed(values: Tensor, index: Tensor, count: int) -> Tensor:
    return values.new_zeros(count, *values.shape[1:]).index_add_(0, index, values)
