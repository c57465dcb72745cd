"""Copy the numbers of docs/benchmarks.md into the tables of docs/methods.md.

Usage: python bench/methods_page.py

`bench/write.py` does it after it has measured the section. A table below a line such as
`<!-- numbers: WHU-RS19; columns 1 2; into 1 2 -->` takes, row by row, the columns of the table
under the heading `### WHU-RS19` whose first or second cell is the same as the row's first.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
_MARK = re.compile(
    r"<!-- numbers: (?P<heading>[^;]+?)(?:; columns (?P<columns>[\d ]+?))?"
    r"(?:; into (?P<into>[\d ]+?))? -->\n(?P<table>(?:\|.*\n)+)"
)
_FALLS = re.compile(r"Auto fell more than [\d.]+ points below zero-shot in \d+ of \d+ draws")


def cells(line: str) -> list[str]:
    """A row's cells, without stars and intervals."""
    parts = [part.strip(" *") for part in line.strip().strip("|").split("|")]
    return [re.sub(r" ± [\d.]+", "", part).strip(" *") for part in parts]


def printed(section: str, heading: str) -> dict[str, list[str]]:
    """First and second cell to all cells, of the table under a heading."""
    parts = section.split(f"\n### {heading}\n")
    if len(parts) != 2:
        raise SystemExit(f"docs/benchmarks.md has {len(parts) - 1} headings {heading!r}")
    rows = [cells(x) for x in parts[1].split("\n###")[0].splitlines() if x.startswith("|")]
    return {key: row for row in rows for key in row[:2]} | {row[0]: row for row in rows}


def refreshed(page: str, benchmarks: str) -> str:
    """The page with the numbers of the benchmarks.

    Raises:
        SystemExit: a heading, a row or a column that the benchmarks do not have.
    """
    section = benchmarks.split("<!-- bench:conditions -->")[-1].split("<!-- bench:")[0]

    def replace(found: re.Match[str]) -> str:
        source = printed(section, found["heading"])
        lines = found["table"].splitlines()
        width = len(cells(lines[0])) - 1
        columns = [int(i) for i in (found["columns"] or "").split()] or range(1, width + 1)
        into = [int(i) for i in (found["into"] or "").split()] or range(1, width + 1)
        result = lines[:2]
        for line in lines[2:]:
            row = [part.strip() for part in line.strip().strip("|").split("|")]
            if row[0] not in source:
                raise SystemExit(f"docs/benchmarks.md, {found['heading']}: no row {row[0]!r}")
            row += [""] * (width + 1 - len(row))  # a new row may be its name alone
            for i, column in zip(into, columns, strict=True):
                row[i] = source[row[0]][column]
            result.append("| " + " | ".join(row) + " |")
        head = found[0][: -len(found["table"])]
        return head + "\n".join(result) + "\n"

    falls = _FALLS.search(section)
    page = _MARK.sub(replace, page)
    return _FALLS.sub(falls[0], page) if falls else page


def main() -> None:
    page = DOCS / "methods.md"
    page.write_text(refreshed(page.read_text(), (DOCS / "benchmarks.md").read_text()))


if __name__ == "__main__":
    main()
