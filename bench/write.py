"""Measure tables and write them into docs/benchmarks.md.

Usage: python bench/write.py [NAME ...] [--list] [--print] [--quick] [options of the tables]

Without names, every table that the page has is measured anew, but for those whose data are not
given; with names, the others keep their text. `--print` shows the tables and writes nothing;
`--quick` shows the smallest run of each, to see that it works.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tables import Table

BENCH = Path(__file__).parent
DOCS = BENCH.parent / "docs"
PAGE = DOCS / "benchmarks.md"


def main() -> None:
    # here and not above: a process that a table spawns imports this file and must stay small
    for file in sorted(BENCH.glob("*.py")):
        if file != Path(__file__):
            importlib.import_module(file.stem)
    from tables import TABLES

    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        usage="write.py [NAME ...] [--list] [--print] [--quick] [settings of the tables]",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables; all that the page has")
    parser.add_argument("--list", action="store_true", help="names, rough times and settings")
    parser.add_argument("--print", action="store_true", help="show, write nothing")
    parser.add_argument("--quick", action="store_true", help="show the smallest run of each")
    for name in sorted({name for table in TABLES.values() for name in table.settings}):
        # their kinds differ from table to table, see `converted`
        parser.add_argument(f"--{name}", nargs="*", dest=f"set {name}", help=argparse.SUPPRESS)
    found = vars(parser.parse_args())
    if found["list"]:
        print("\n".join(TABLES[name].listed for name in sorted(TABLES)))
        return
    given = {k[4:]: v for k, v in found.items() if k.startswith("set ") and v is not None}
    names = found["names"] or [name for name in sections() if name in TABLES]
    try:
        jobs = [(TABLES[name], chosen(TABLES[name], given)) for name in names]
    except KeyError as error:
        parser.error(f"no table {error}; see --list")
    except ValueError as error:
        parser.error(str(error))
    if idle := given.keys() - {k for table, _ in jobs for k in table.settings}:
        parser.error(f"none of the tables has --{min(idle)}")
    for table, settings in jobs:
        if missing := [k for k in table.needs if not settings.get(k)]:
            print(f"{table.name} is left out: it needs --{missing[0]}", file=sys.stderr)
        elif found["print"] or found["quick"]:
            for line in table.lines(**{**(table.quick if found["quick"] else {}), **settings}):
                print(line, flush=True)
        else:
            print(f"measuring {table.name}, {table.duration}", file=sys.stderr, flush=True)
            own = {k: words for k, words in given.items() if k in settings}
            write_section(table, measure(table, own))


def chosen(table: Table, given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The settings of one table that were given."""
    return {k: converted(k, d, given[k]) for k, d in table.settings.items() if k in given}


def converted(name: str, default: Any, words: Sequence[str]) -> Any:
    """A setting, of the kind that its default has; a path or a word where that is None."""
    if isinstance(default, bool) and not words:
        return True
    if name == "photos" and (no_folders := [word for word in words if not Path(word).is_dir()]):
        raise ValueError(f"{no_folders[0]} is no folder; names of tables stand before --photos")
    if isinstance(default, tuple):
        return tuple(map(type(default[0]) if default else str, words))
    if len(words) != 1:
        raise ValueError(f"--{name} takes one value; names of tables stand before the settings")
    return words[0] if default is None else type(default)(words[0])


def measure(table: Table, given: Mapping[str, Sequence[str]]) -> str:
    """Text of a section, printed by a process of its own: no table disturbs the next one."""
    flags = [word for name, words in given.items() for word in (f"--{name}", *words)]
    command = [sys.executable, str(Path(__file__)), table.name, "--print", *flags]
    if "figures" in table.settings:
        command += ["--figures", str(DOCS / "images")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    shown = " ".join(["python bench/write.py", table.name, *(Path(flag).name for flag in flags)])
    stamp = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}"
    return f"`{shown}`, {stamp}\n\n{done.stdout.strip()}\n"


def machine() -> str:
    """The processor and how much of it there is."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return f"{found[1] if found else platform.processor()}, {os.cpu_count()} cores"


def sections() -> dict[str, str]:
    """Name to text of the sections that the page has now, in their order."""
    parts = re.split(r"<!-- bench:(\w+) -->\n", PAGE.read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def write_section(table: Table, body: str) -> None:
    """Replace a section, or append a new one.

    The page is read anew, since another run may have written other sections meanwhile.
    """
    head, texts = PAGE.read_text().split("<!-- bench:")[0], sections()
    texts[table.name] = f"\n## {table.title}\n\n{body}\n"
    PAGE.write_text(head + "".join(f"<!-- bench:{n} -->\n{text}" for n, text in texts.items()))
    if table.name == "conditions":
        page = DOCS / "methods.md"
        page.write_text(with_numbers(page.read_text(), PAGE.read_text()))


# ---- the tables of docs/methods.md, whose numbers are those of the table `conditions`

# A table below a line such as `<!-- numbers: WHU-RS19; columns 1 2; into 1 2 -->` takes, row by
# row, the columns of the table under the heading `### WHU-RS19` whose first or second cell is the
# same as the row's first.
_MARK = re.compile(
    r"<!-- numbers: (?P<heading>[^;]+?)(?:; columns (?P<columns>[\d ]+?))?"
    r"(?:; into (?P<into>[\d ]+?))? -->\n(?P<table>(?:\|.*\n)+)"
)
_FALLS = re.compile(r"Auto fell more than [\d.]+ points below zero-shot in \d+ of \d+ draws")


def with_numbers(page: str, benchmarks: str) -> str:
    """The page with the numbers of the benchmarks.

    Raises:
        SystemExit: a heading, a row or a column that the benchmarks do not have.
    """
    section = benchmarks.split("<!-- bench:conditions -->")[-1].split("<!-- bench:")[0]

    def replace(found: re.Match[str]) -> str:
        source = _printed(section, found["heading"])
        lines = found["table"].splitlines()
        width = len(_cells(lines[0])) - 1
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
        return found[0][: -len(found["table"])] + "\n".join(result) + "\n"

    falls = _FALLS.search(section)
    page = _MARK.sub(replace, page)
    return _FALLS.sub(falls[0], page) if falls else page


def _cells(line: str) -> list[str]:
    """A row's cells, without stars and intervals."""
    parts = [part.strip(" *") for part in line.strip().strip("|").split("|")]
    return [re.sub(r" ± [\d.]+", "", part).strip(" *") for part in parts]


def _printed(section: str, heading: str) -> dict[str, list[str]]:
    """First and second cell to all cells, of the table under a heading."""
    parts = section.split(f"\n### {heading}\n")
    if len(parts) != 2:
        raise SystemExit(f"docs/benchmarks.md has {len(parts) - 1} headings {heading!r}")
    rows = [_cells(x) for x in parts[1].split("\n###")[0].splitlines() if x.startswith("|")]
    return {key: row for row in rows for key in row[:2]} | {row[0]: row for row in rows}


if __name__ == "__main__":
    main()
