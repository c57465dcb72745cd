"""Photos in bursts, and copies of photos, claim what single photos claim (real photos)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import handful
from handful.skills.fitted import Fitted

FRAMES = 4


@pytest.fixture(scope="module")
def satellite() -> Path:
    folder = Path(__file__).parents[2] / "shared" / "data" / "eurosat"
    if not folder.is_dir():
        pytest.skip("real data is not beside this checkout (../shared/data)")
    return folder


def tables(folder: Path, satellite: Path) -> Iterator[tuple[str, Path]]:
    """Four photos of each of ten classes: each once, as a burst of a group, as byte copies."""
    rows: dict[str, list[str]] = {"once": [], "burst": [], "copies": []}
    for kind in sorted(p.name for p in (satellite / "train").iterdir()):
        for i, path in enumerate(sorted((satellite / "train" / kind).iterdir())[:4]):
            photo = Image.open(path).convert("RGB")
            for k in range(FRAMES):
                for name, quality in (("burst", 95 - 6 * k), ("copies", 95)):
                    file = f"{name}_{kind}_{i}_{k}.jpg"
                    photo.save(folder / file, quality=quality)
                    group = f"{kind}-{i}" if name == "burst" else ""
                    rows[name].append(f"{file},{kind},{group}")
            rows["once"].append(f"burst_{kind}_{i}_0.jpg,{kind},")
    for name, lines in rows.items():
        (folder / f"{name}.csv").write_text("\n".join(["path,label,group", *lines]))
        yield name, folder / f"{name}.csv"


@pytest.fixture(scope="module")
def fits(satellite: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fitted]:
    folder = tmp_path_factory.mktemp("units")
    return {name: handful.fit(path) for name, path in tables(folder, satellite)}


@pytest.mark.parametrize("kind", ["burst", "copies"])
def test_bursts_and_copies_claim_what_single_photos_claim(fits, satellite, kind):
    once, several = (fits[name].pack.manifest["confidence"] for name in ("once", kind))
    assert several["units"] == once["units"] == 40
    assert several["smallest"] == once["smallest"] == round(1 / 41, 6)
    assert several["accuracy"] == pytest.approx(once["accuracy"], abs=0.06)


def test_what_bursts_claim_and_promise_comes_true(fits, satellite):
    done = fits["burst"].evaluate(satellite / "test")
    claimed = fits["burst"].pack.manifest["confidence"]["accuracy"]
    assert claimed == pytest.approx(done.result.accuracy, abs=0.12)  # 40 units: give or take 0.08
    for error, sets in done.confidence["sets"].items():
        assert sets["coverage"] > 1 - float(error) - 0.05
