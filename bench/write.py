"""Run every benchmark and write what they print into docs/benchmarks.md.

Usage: python bench/write.py [NAME ...] [--features FOLDER] [--photos FOLDER ...]

Without names all sections are measured anew; with names the others keep their last text.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import methods_page

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
TITLES = {
    "demo": "Hard tasks of the playground",
    "defaults": "Defaults of the trained methods",
    "whu_rs19": "Methods on real features",
    "photos": "Real photos through `tiny`",
    "conditions": "Which method wins when",
    "multilabel": "Several labels an image",
    "auto": "Choosing by itself: time and memory",
    "living": "Changing a skill",
    "library": "A library of many skills",
    "continual": "Tasks one after another",
    "sparse": "Sparse routing among tuned skills",
    "meta": "Learning to learn",
    "confidence": "How sure a skill is",
    "unknown": "Telling unknown images",
    "adapters": "Adapters: fitting and answering",
    "ape": "APE's channel criterion",
    "tuners": "Tuners",
    "consistency": "Images without labels",
    "selection": "Exact alpha against a grid",
    "doctor": "Finding wrong labels",
    "encode": "Encoding a folder of photos",
    "precision": "Precision: bfloat16 against float32",
    "tuner_costs": "Tuners: what they cost",
    "store": "The feature store",
    "startup": "Start-up",
}


def measure(name: str, arguments: list[str]) -> str:
    command = [sys.executable, str(ROOT / "bench" / f"{name}.py"), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    shown = " ".join(["python", f"bench/{name}.py", *(Path(a).name for a in arguments)])
    stamp = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}"
    return f"`{shown}`, {stamp}\n\n{done.stdout.strip()}\n"


def machine() -> str:
    """The processor and how much of it there is."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return f"{found[1] if found else platform.processor()}, {os.cpu_count()} cores"


def sections(page: str) -> dict[str, str]:
    """Name to text of the sections that the page has now."""
    parts = re.split(r"<!-- bench:(\w+) -->\n", page)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*TITLES, []])
    parser.add_argument("--photos", nargs="+", default=[], help="folders, for photos and encode")
    parser.add_argument("--features", help="a folder of features, for whu_rs19")
    arguments = parser.parse_args()
    for folder in arguments.photos:  # a section named after --photos is taken for one
        if not Path(folder).is_dir():
            parser.error(f"{folder} is no folder; names of sections stand before --photos")
    features = [arguments.features] if arguments.features else []
    given = {
        "encode": arguments.photos[:1],
        "photos": arguments.photos,
        "continual": [
            *(["--features", *features] if features else []),
            *(["--photos", *arguments.photos] if arguments.photos else []),
        ],
        "library": ["--figure", str(ROOT / "docs" / "images" / "library.png")],
        "whu_rs19": features,
        "conditions": [
            *(["--features", *features] if features else []),
            *(["--photos", *arguments.photos] if arguments.photos else []),
        ],
        "selection": ["--features", *features] if features else [],
        "confidence": ["--features", *features] if features else [],
        "unknown": ["--features", *features] if features else [],
        "doctor": ["--features", *features] if features else [],
    }
    for name in arguments.names or TITLES:
        extra = given.get(name, [])
        if name in ("whu_rs19", "photos") and not extra:
            continue
        print(f"measuring {name}", file=sys.stderr, flush=True)
        replace(name, measure(name, extra))
        if name == "conditions":
            methods_page.main()


def replace(name: str, body: str) -> None:
    """Write one section; the page is read anew, since another run may have written others."""
    texts = sections(PAGE.read_text()) if PAGE.exists() else {}
    texts[name] = f"\n## {TITLES[name]}\n\n{body}\n"
    head = (
        "# Benchmarks\n\nWritten by `python bench/write.py`; every table was printed by the script "
        "named above it. Speeds are compared side by side in one run: trust the ratios, not the "
        "seconds.\n\n"
    )
    ordered = [name for name in TITLES if name in texts]
    PAGE.write_text(head + "".join(f"<!-- bench:{n} -->\n{texts[n]}" for n in ordered))


if __name__ == "__main__":
    main()
