"""The playground's hard tasks with `tiny`: the table of `handful demo`, and the README's picture.

Usage: python bench/demo.py [--seeds 3] [--figure docs/images/demo.png]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from handful import report
from handful.protocols import demo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", type=Path, default=Path("docs/images/demo.png"))
    arguments = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        done = demo.run(Path(folder), seeds=arguments.seeds)
    print(report.comparison_markdown(done.comparison))
    result = done.evaluated.result
    low, high = (100 * x for x in result.interval)
    print(f"A skill fitted from files on `{done.comparison.facts['tasks'][0]}` is right on")
    print(f"{100 * result.accuracy:.1f} % ({low:.1f} to {high:.1f}) of {result.count} new images.")
    print(f"All of it took {time.perf_counter() - began:.0f} s.")
    report.save(report.comparison_figure(done.comparison), arguments.figure)


if __name__ == "__main__":
    main()
