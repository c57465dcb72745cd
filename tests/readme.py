"""The README's blocks, run as a reader pastes them: `python tests/readme.py` writes their outputs.

A block of kind `sh` or `python` is run; a block of kind `text` that follows at once is its output.
The photos are those that `make demo` leaves; names of the hub are replaced by `tiny`.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import runpy
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

PAGE = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"^```(sh|python|text)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
HUB = re.compile(r"(openai|google)/[\w.-]+")
ELSEWHERE = ("make ", "git ", "pip ", "cd ", ". ", "export ")  # sets up; CI runs it
_SECONDS = re.compile(r"\d+(\.\d+)? s\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def blocks() -> list[tuple[str, str]]:
    """Kind and text of each, in order; the kind of a `text` that follows at once is `output`."""
    page, found, end = PAGE.read_text(encoding="utf-8"), [], -1
    for match in BLOCK.finditer(page):
        behind = found and found[-1][0] != "text" and not page[end : match.start()].strip()
        kind = "output" if match[1] == "text" and behind else match[1]
        found.append((kind, match[2]))
        end = match.end()
    return found


def draw_photos(folder: Path) -> None:
    """What `make demo` leaves in `handful-demo/photos`."""
    from handful.data import playground
    from handful.protocols import demo

    task = playground.task(demo.TASKS[0], max(demo.SHOTS), 0, demo.QUERIES)
    playground.write(task, folder / "handful-demo" / "photos")


def run(page: list[tuple[str, str]]) -> Iterator[tuple[int, str]]:
    """Index of each block that is run, and what it prints to the screen.

    Raises:
        AssertionError: a command that fails, with what it said.
    """
    names: dict[str, object] = {"__name__": "readme"}
    for index, (kind, text) in enumerate(page):
        source = HUB.sub("tiny", text)
        if kind == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(source, "README.md", "exec"), names)
            yield index, out.getvalue()
        if kind == "sh":
            yield index, "".join(_command(line) for line in source.splitlines())


def _command(line: str) -> str:
    """What one line of a `sh` block prints, in this process: a start takes longer than the rest."""
    words = shlex.split(line, comments=True)
    if not words or line.startswith(ELSEWHERE):
        return ""
    if words[:2] == ["cp", "-r"]:
        shutil.copytree(*words[2:])
        return ""
    if words[:1] == ["python"]:  # a script of the repository, which runs where the reader stands
        with _arguments(words[1:]):
            runpy.run_path(str(PAGE.parent / words[1]), run_name="__main__")
        return ""
    assert words[0] == "handful", line
    (script,) = entry_points(group="console_scripts", name="handful")
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            script.load()(words[1:])
        except SystemExit as stop:
            code = stop.code
    assert code == 0, f"{line}\n{out.getvalue()}{err.getvalue()}"
    return out.getvalue()


@contextlib.contextmanager
def _arguments(words: list[str]) -> Iterator[None]:
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before


def agree(printed: str, shown: str) -> bool:
    """Whether two outputs are the same but for seconds and the last digits of numbers.

    Processors round differently, so a number may differ by 2 % or by 0.006.
    """
    one, other = (_SECONDS.sub("N s", text).split() for text in (printed, shown))
    return len(one) == len(other) and all(map(_same_word, one, other))


def _same_word(one: str, other: str) -> bool:
    if _NUMBER.sub("#", one) != _NUMBER.sub("#", other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=0.006) for a, b in pairs)


def main() -> None:
    text, page = PAGE.read_text(encoding="utf-8"), blocks()
    places = [match.span(2) for match in BLOCK.finditer(text)]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ |= {"HANDFUL_HOME": str(Path(folder) / "home"), "COLUMNS": "100"}
        draw_photos(Path(folder))
        outputs = dict(run(page))
    for index in sorted(outputs, reverse=True):  # from the end, so that earlier places stay
        if index + 1 < len(page) and page[index + 1][0] == "output":
            start, end = places[index + 1]
            text = text[:start] + outputs[index].rstrip() + "\n" + text[end:]
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{PAGE}: outputs written\n")


if __name__ == "__main__":
    main()
