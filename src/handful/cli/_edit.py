"""What the commands that change a skill share: options, where it is saved, what is printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.edit.edited import Edited

Out = Annotated[
    Path | None, typer.Option(help="Folder to write the new skill to; the old one stays.")
]
Overwrite = Annotated[
    bool, typer.Option(help="Replace the skill itself, or the one that --out names.")
]


def destination(skill: Path, out: Path | None, *, overwrite: bool) -> Path:
    """Where to write; refuses before any work is done what would be refused after it."""
    if out is None and not overwrite:
        raise InputError(
            f"where to? Name a folder for the new skill (--out NEW), or say that {skill} itself "
            "may be replaced (--overwrite)"
        )
    target = out or skill
    _options.check_output(target, overwrite=overwrite)
    return target


def read_renames(items: list[str], option: str, skill: Path) -> dict[str, str]:
    """`OLD=NEW` to `{"OLD": "NEW"}`; of several equals signs the one after a class's name.

    Args:
        items: as they were typed.
        option: what errors call them.
        skill: whose classes are renamed; read where a name may hold an equals sign.
    """
    result: dict[str, str] = {}
    for item in items:
        old, new = _sides(item, option, skill)
        if old in result:
            raise InputError(f"{option} {item!r}: {old!r} is renamed twice")
        result[old] = new
    return result


def _sides(item: str, option: str, skill: Path) -> tuple[str, str]:
    """What stands before and after the equals sign that is meant."""
    places = [i for i, letter in enumerate(item) if letter == "="]
    sides = [(item[:i].strip(), item[i + 1 :].strip()) for i in places]
    sides = [(old, new) for old, new in sides if old and new]
    if not sides:
        raise InputError(f"{option} {item!r}: expected OLD=NEW, such as cat='house cat'")
    if len(sides) > 1:
        from handful.data import same_name
        from handful.packs import Pack

        classes = Pack.load(skill).classes
        meant = [pair for pair in sides if same_name(pair[0], classes) in classes]
        if len(meant) != 1:
            found = "several do" if meant else "none does"
            raise InputError(
                f"{option} {item!r}: holds several equals signs, and one has to follow the name of "
                f"a class, which {found}; the classes are: {', '.join(classes[:10])}"
            )
        sides = meant
    return sides[0]


def save(edited: Edited, out: Path, *, overwrite: bool, as_json: bool, counts: bool = True) -> int:
    """Save the skill and print what changed.

    Args:
        edited: the change.
        out: folder of the new skill.
        overwrite: replace a skill that is there.
        as_json: print JSON instead of a table and sentences.
        counts: show how many images of each class came or went.

    Returns:
        The exit code.
    """
    edited.pack.save(out, overwrite=overwrite)
    if as_json:
        _print_json(edited, out)
    else:
        _print(edited, counts=counts)
        _console.echo(f"The skill is in {out}. Try: handful predict {out} PHOTO...")
    for note in edited.notes:
        _console.echo_err(f"note: {note}")
    if edited.repeated:
        count = len(edited.repeated)
        _console.echo_err(
            f"{count} image{'s are' if count > 1 else ' is'} in the skill already, byte for byte; "
            f"each counts once ({_console.first_names(edited.repeated)})"
        )
    if edited.evaluation_dropped:
        _console.echo_err(
            "numbers measured on the skill as it was are no longer on its card; measure it again: "
            f"handful evaluate {out} FOLDER --record"
        )
    return _console.report_failures(edited.failures, edited.ignored or {})


def _print_json(edited: Edited, out: Path) -> None:
    _console.echo_json(
        {
            "skill": str(out),
            "method": edited.pack.method,
            "classes": list(edited.pack.classes),
            "images": {n: {"before": b, "after": a} for n, (b, a) in edited.counts.items()},
            "encoded": edited.encoded,
            "repeated": list(edited.repeated),
            "refitted": edited.refitted,
            "numbers_dropped": edited.evaluation_dropped,
            "seconds": round(edited.seconds, 3),
            "stating": round(edited.statement_seconds, 3),
            "notes": list(edited.notes),
            "ignored": dict(edited.ignored or {}),
            "failures": _console.failures_json(edited.failures),
        }
    )


def _print(edited: Edited, *, counts: bool) -> None:
    rows = [
        [name, str(before), str(after), f"{after - before:+d}"]
        for name, (before, after) in edited.counts.items()
        if counts and before != after
    ]
    if rows:
        headers = ["class", "images before", "now", "change"]
        _console.echo_table(headers, rows, right=[1, 2, 3])
    if edited.refitted:
        support = edited.pack.support
        images = len(support.ids) if support else 0
        _console.echo(
            f"Refitted {edited.pack.method} from the {images} features in the skill in "
            f"{edited.seconds:.2f} s: {len(edited.pack.classes)} classes ({edited.encoded} encoded "
            f"now). What it states of itself is made anew ({edited.statement_seconds:.2f} s)."
        )
    elif rows:
        _console.echo(
            f"The head is as it was; what the skill states of itself is made anew "
            f"({edited.statement_seconds:.2f} s)."
        )
    elif edited.pack is edited.original:
        _console.echo("Nothing new: the skill is as it was.")
