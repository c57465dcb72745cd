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

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="tables; see --list")
    parser.add_argument("--list", action="store_true", help="names, times and settings")
    parser.add_argument("--print", action="store_true", help="show, write nothing")
    parser.add_argument("--quick", action="store_true", help="show the smallest run of each")
    settings = {k: v for table in TABLES.values() for k, v in table.settings.items()}
    for name, default in sorted(settings.items()):
        add_option(parser, name, default)
    found = parser.parse_args()
    if found.list:
        for _, table in sorted(TABLES.items()):
            options = " ".join(f"--{name}" for name in table.settings)
            print(f"{table.name:13}{duration(table.seconds):>9}  {table.title}  {options}")
        return
    given = {k: v for k, v in vars(found).items() if k in settings and v is not None}
    names = found.names or [name for name in sections() if name in TABLES]
    if problem := wrong_options(names, given, TABLES, named=bool(found.names)):
        parser.error(problem)
    for table in (TABLES[name] for name in names):
        own = {k: v for k, v in given.items() if k in table.settings}
        if not all(own.get(k) for k in table.needs):
            needed = " and ".join(f"--{k}" for k in table.needs)
            print(f"{table.name} is left as it is: it needs {needed}", file=sys.stderr)
        elif found.print or found.quick:
            for line in table.lines(**{**(table.quick if found.quick else {}), **own}):
                print(line, flush=True)
        else:
            print(f"measuring {table.name}, {duration(table.seconds)}", file=sys.stderr, flush=True)
            write_section(table, measure(table, own))


def wrong_options(
    names: Sequence[str], given: Mapping[str, Any], tables: Mapping[str, Table], *, named: bool
) -> str | None:
    """What is wrong with the names and the options, if anything."""
    if unknown := [name for name in names if name not in tables]:
        return f"no such table: {', '.join(unknown)}; see --list"
    if idle := [k for k in given if not any(k in tables[n].settings for n in names)]:
        return f"none of the tables has --{idle[0]}"
    for folder in given.get("photos", ()):  # a table named after --photos is taken for one
        if not Path(folder).is_dir():
            return f"{folder} is no folder; names of tables stand before --photos"
    missing = [(n, k) for n in names for k in tables[n].needs if not given.get(k)]
    return f"{missing[0][0]} needs --{missing[0][1]}" if named and missing else None


def duration(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"


def add_option(parser: argparse.ArgumentParser, name: str, default: Any) -> None:
    """The option of a setting; its kind is that of the default, a path or a name for None."""
    if isinstance(default, bool):
        parser.add_argument(f"--{name}", action="store_true", default=None)
    elif isinstance(default, tuple):
        kind = type(default[0]) if default else str
        parser.add_argument(f"--{name}", nargs="+", type=kind)
    else:
        parser.add_argument(f"--{name}", type=str if default is None else type(default))


def measure(table: Table, settings: Mapping[str, Any]) -> str:
    """Text of a section, printed by a process of its own: no table disturbs the next one."""
    flags: list[str] = []
    for key, value in settings.items():
        values = value if isinstance(value, list) else [] if value is True else [value]
        flags += [f"--{key}", *map(str, values)]
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
