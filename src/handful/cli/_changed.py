"""Where a changed skill goes and how the commands that change one tell of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from handful.cli import _console, _options
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.edit.commands import Grown

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
    _options.check_free(target, overwrite=overwrite)
    return target


def tell(done: Grown, out: Path, *, overwrite: bool, as_json: bool, counts: bool = True) -> int:
    """Save the skill and say what changed; returns the exit code."""
    done.pack.save(out, overwrite=overwrite)
    changed = {n: pair for n, pair in done.counts.items() if counts and pair[0] != pair[1]}
    if as_json:
        _console.say_json(_answer(done, out))
    else:
        _told(done, changed)
        _console.say(f"The skill is in {out}. Try: handful predict {out} PHOTO...")
    for note in done.notes:
        _console.complain(f"note: {note}")
    if done.repeated:
        count = len(done.repeated)
        _console.complain(
            f"{count} image{'s are' if count > 1 else ' is'} in the skill already, byte for byte; "
            f"each counts once ({', '.join(done.repeated[:3])}{', ...' if count > 3 else ''})"
        )
    if done.dropped_numbers:
        _console.complain(
            "numbers measured on the skill as it was are no longer on its card; measure it again: "
            f"handful evaluate {out} FOLDER --record"
        )
    _console.tell_ignored(done.ignored or {})
    return _console.report_failures(done.failures)


def pairs(items: list[str], option: str) -> dict[str, str]:
    """`OLD=NEW` to `{"OLD": "NEW"}`."""
    result: dict[str, str] = {}
    for item in items:
        old, equals, new = item.partition("=")
        if not equals or not old.strip() or not new.strip():
            raise InputError(f"{option} {item!r}: expected OLD=NEW, such as cat='house cat'")
        if old.strip() in result:
            raise InputError(f"{option} {item!r}: {old.strip()!r} is renamed twice")
        result[old.strip()] = new.strip()
    return result


def _answer(done: Grown, out: Path) -> dict[str, Any]:
    return {
        "skill": str(out),
        "method": done.pack.method,
        "classes": list(done.pack.classes),
        "images": {n: {"before": b, "after": a} for n, (b, a) in done.counts.items()},
        "encoded": done.encoded,
        "repeated": list(done.repeated),
        "refitted": done.refitted,
        "numbers_dropped": done.dropped_numbers,
        "seconds": round(done.seconds, 3),
        "stating": round(done.stating, 3),
        "notes": list(done.notes),
        "ignored": dict(done.ignored or {}),
        "failures": _console.named(done.failures),
    }


def _told(done: Grown, changed: dict[str, tuple[int, int]]) -> None:
    if changed:
        rows = [[name, str(b), str(a), f"{a - b:+d}"] for name, (b, a) in changed.items()]
        headers = ["class", "images before", "now", "change"]
        _console.say_table(_console.table(headers, rows, right=[1, 2, 3]))
    if done.refitted:
        support = done.pack.support
        images = len(support.ids) if support else 0
        _console.say(
            f"Refitted {done.pack.method} from the {images} features in the skill in "
            f"{done.seconds:.2f} s: {len(done.pack.classes)} classes ({done.encoded} encoded now). "
            f"What it states of itself is made anew ({done.stating:.2f} s)."
        )
    elif changed:
        _console.say(
            f"The head is as it was; what the skill states of itself is made anew "
            f"({done.stating:.2f} s)."
        )
    elif done.pack is done.former:
        _console.say("Nothing new: the skill is as it was.")
