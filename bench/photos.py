"""Real photos through `tiny`, which was trained on coloured shapes: what it reaches is what it is.

Usage: python bench/photos.py FOLDER [FOLDER ...] [--seeds 3]

Each folder holds `train/<class>/` and `test/<class>/`; the whole road from files, as a user has it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from handful import compare, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        result, failures = compare(folder, encoder="tiny", seeds=arguments.seeds)
        print(f"### {folder.name}\n\n{report.comparison_markdown(result)}")
        print(f"{len(failures)} images could not be read.\n")


if __name__ == "__main__":
    main()
