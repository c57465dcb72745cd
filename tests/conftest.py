"""Fixtures that several tests share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

os.environ["HANDFUL_ENCODER"] = "tiny"  # before `handful` is imported: `photo` is for photos
_SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the store of the person who runs the tests out of them, and the hub as well."""
    os.environ["HANDFUL_HOME"] = str(tmp_path_factory.mktemp("home"))
    os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture
def shared() -> Path:
    """The folder of real data beside the checkout; the test is skipped where it is missing."""
    if not _SHARED.is_dir():
        pytest.skip("real data is not beside this checkout (../shared/data)")
    return _SHARED


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `train/<class>/*.png`, `test/<class>/*.png` of a small task of the playground."""
    from handful.data import playground

    folder = tmp_path_factory.mktemp("photos")
    task = playground.task(playground.tasks()[0], shots=8, seed=0, queries_per_class=4)
    playground.write(task, folder)
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A folder as a reader of the documentation has it: `photos/`, and `new_photos/` to classify.

    Of each class 4 photos to learn from, as many as the documentation's `--shots` needs.
    """

    def more(_: str, names: list[str]) -> list[str]:
        return sorted(name for name in names if name.endswith(".png"))[4:]

    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(photos, folder / "photos", ignore=more)
    (folder / "new_photos").mkdir()
    for i, image in enumerate(sorted((photos / "test").rglob("*.png"))[:3]):
        shutil.copy(image, folder / "new_photos" / f"{i}.jpg")
    return folder
