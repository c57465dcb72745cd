"""A covariance by its few rows does what its D x D matrix does."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from handful.selection._shrunk_covariance import ShrunkCovariance

WIDTH = 24


@pytest.mark.parametrize("count", [0, 1, 7, WIDTH - 1, WIDTH, 60])
@pytest.mark.parametrize(("share", "ridge"), [(0.7, 0.3), (1.0, 1e-6), (0.0, 2.0), (40.0, 0.9)])
def test_solves_and_whitens_as_the_whole_matrix_does(count, share, ridge):
    drawn = torch.Generator().manual_seed(count)
    rows = torch.randn(count, WIDTH, dtype=torch.float64, generator=drawn)
    rows[: count // 2] = rows[0] if count else rows  # of lower rank than their number
    x = torch.randn(5, WIDTH, dtype=torch.float64, generator=drawn)
    sigma = share * rows.T @ rows + ridge * torch.eye(WIDTH, dtype=torch.float64)
    inverse = torch.linalg.inv(sigma)
    found = ShrunkCovariance(rows, torch.tensor(share), torch.tensor(ridge))
    close = {"rtol": 1e-6, "atol": 1e-6 / ridge}
    assert_close(found.solve(x), x @ inverse, **close)
    white = found.whitening()(x)
    assert_close(white @ white.T, x @ inverse @ x.T, **close)


def test_few_rows_never_make_the_matrix(monkeypatch):
    def refuse(_: ShrunkCovariance) -> None:
        raise AssertionError

    monkeypatch.setattr(ShrunkCovariance, "_matrix", refuse)
    one = torch.ones((), dtype=torch.float64)
    few = ShrunkCovariance(torch.ones(3, 8, dtype=torch.float64), one, one)
    assert few.solve(torch.ones(2, 8, dtype=torch.float64)).shape == (2, 8)
    assert few.whitening()(torch.ones(2, 8, dtype=torch.float64)).shape == (2, 8)
