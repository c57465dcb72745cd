"""Fixtures that several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

_SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared() -> Path:
    """The folder of real data beside the checkout; the test is skipped where it is missing."""
    if not _SHARED.is_dir():
        pytest.skip("real data is not beside this checkout (../shared/data)")
    return _SHARED
