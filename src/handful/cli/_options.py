"""Options that several commands share, declared once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from handful.cli import _paths, _results
from handful.errors import InputError


def _check_precision(name: str) -> str:
    from handful import encoders

    return encoders.check_precision(name)


def _read_photos(context: typer.Context, max_pixels: int | None) -> int | None:
    """Hold the limit while the command runs, and tell what was remarked on photos at its end."""
    if context.resilient_parsing:
        return max_pixels
    from handful import data

    notes = context.with_resource(data.reading(max_pixels))
    context.call_on_close(lambda: _results.report_notes(notes))
    return max_pixels


Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Overwrite = Annotated[bool, typer.Option(help="Replace a skill that is there.")]
Seed = Annotated[int, typer.Option(help="Seed of every draw.")]
Seeds = Annotated[int, typer.Option(min=1, help="How many draws.")]
Methods = Annotated[
    str | None, typer.Option(help="Names joined by commas; default all inductive ones.")
]
Shots = Annotated[str | None, typer.Option(help="Default: those of 1,2,4,8,16 the images allow.")]
Revision = Annotated[str | None, typer.Option(help="Of the hub: a branch, tag or commit.")]
ENCODER = "photo"  # as `encoders.DEFAULT`, which the command line does not import at its start
EncoderName = Annotated[
    str,
    typer.Option(
        "--encoder",
        help="photo (embedded), a hub name, a folder with a model, or tiny.",
        envvar="HANDFUL_ENCODER",
    ),
]
OtherEncoder = Annotated[
    str | None,
    typer.Option("--encoder", help="Where the skill's encoder lies now: a hub name or a folder."),
]
GroupBy = Annotated[
    str,
    typer.Option(
        "--group-by",
        "--group",
        help="What belongs together: auto (as the data state, else near copies), none, parent "
        "(folder), 60s (time), '(.+)_' (part of the name) or a column.",
    ),
]
OnConflict = Annotated[
    str,
    typer.Option(help="A photo that has two labels, byte for byte: refuse, or drop all of it."),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Of the encoder: float32, bfloat16, or auto: bfloat16 where the processor has it and "
        "the features stay the same (never for photo).",
        callback=_check_precision,
    ),
]
Device = Annotated[
    str, typer.Option(help="Where the encoder computes: cpu, cuda:0, ...; auto takes a GPU.")
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Refuse photos of more pixels, width x height; default 89478485.",
        callback=_read_photos,
        show_default=False,
    ),
]
Templates = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        help="A prompt with {} where the class goes, or a set: photo, satellite, ...; repeatable.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        help="A text file, one class a line in the order of the answers; after ' = ', an equals "
        "sign between spaces, the words that prompts use: n02123045 = tabby cat. A class that is "
        "really called background, none, noise or other has to stand here",
    ),
]
Excel = Annotated[
    bool,
    typer.Option(
        "--excel",
        help="CSV for spreadsheets: with a byte order mark, and no cell is run as a formula.",
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(
        "--separator",
        help="Between the cells of a CSV: ; where the comma is the decimal mark, tab.",
    ),
]
TunerName = Annotated[
    str | None,
    typer.Option("--tuner", help="Change the encoder inside too: block, lora, soft_prompt, ..."),
]
With = Annotated[
    str | None,
    typer.Option("--with", help="A second tuner, trained together with the first."),
]
TuneParams = Annotated[
    list[str] | None,
    typer.Option("--tune", help="An argument of the tuner or its training: epochs=40; repeatable."),
]
Unlabelled = Annotated[
    Path | None,
    typer.Option(
        help="Photos of the same kind without labels; they help auto, or a tuner with --tune "
        "consistency=1."
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(help="Folder that training writes after each epoch and goes on from."),
]
Log = Annotated[Path | None, typer.Option(help="Folder for TensorBoard's record of the training.")]
Images = Annotated[
    Path,
    typer.Argument(
        help="A folder per class, a table, or a split file.", callback=_paths.existing_images
    ),
]
Skill = Annotated[
    Path,
    typer.Argument(help="A skill: its folder, or one .skill file.", callback=_paths.existing_skill),
]

_SEPARATOR = re.compile(r"\s+=\s+")  # a label may hold an = of its own


def read_classes(path: Path | None) -> dict[str, str] | None:
    """The file of `--classes` as label to words."""
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: does not exist; --classes takes a text file with a class name a line"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(
            f"{path}: cannot be read as text ({reason}); --classes takes a text file with a class "
            "name a line"
        ) from error
    from handful.data.text import clean_name

    plain = [clean_name(line) for line in lines]
    pairs = [_SEPARATOR.split(line, maxsplit=1) for line in plain if line]
    labels = [pair[0] for pair in pairs]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise InputError(f"{path}: class names repeat: {', '.join(repeated[:5])}")
    return {pair[0]: pair[-1] for pair in pairs}


def check_output(out: Path, *, overwrite: bool) -> None:
    """Refuse early what the skill's folder would refuse once the work is done."""
    from handful import report

    if out.is_file() and out.suffix != ".skill":
        raise InputError(f"{out}: is a file; expected a folder, or a name that is free")
    held = [entry.name for entry in out.iterdir()] if out.is_dir() else []
    held = [name for name in held if name[0] != "." and name not in ("Thumbs.db", "desktop.ini")]
    if (held or out.is_file()) and not overwrite:
        raise InputError(
            f"{out}: exists already and is not empty; choose another name, or add --overwrite "
            "where it is a skill"
        )
    report.check_folder(out.parent)


def read_params(pairs: list[str] | None, option: str = "--param") -> dict[str, Any]:
    """`alpha=2` to `{"alpha": 2}`; values are JSON where they can be, else text."""
    result = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{option} {pair!r}: expected NAME=VALUE, such as alpha=2.0")
        result[name.strip()] = read_value(value.strip())
    return result


def read_value(text: str) -> Any:
    """`0.2` to a number, `image` to a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def read_names(text: str | None) -> list[str] | None:
    """`tip,zero_shot` to `["tip", "zero_shot"]`."""
    return None if text is None else [name.strip() for name in text.split(",")]


def read_integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """`1,2,4` to `(1, 2, 4)`."""
    if text is None:
        return None
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise InputError(f"{option} {text!r}: expected whole numbers above 0, such as 1,2,4,8,16")
    return values


def read_separator(given: str | None) -> str:
    """What stands between the cells of a CSV; a tab can be spelled out."""
    return {"tab": "\t", "\\t": "\t"}.get(given or ",", given or ",")
