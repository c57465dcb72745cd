"""`handful doctor`: which support images hurt, look mislabelled, are copies or too small."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options, _paths

if TYPE_CHECKING:
    from handful.skills.doctor import Examination, Finding

_ROWS = 20
_PROBLEMS = {  # of an image: what is so in any precision, and what may be so
    "label": ("label looks wrong", "label may be wrong"),
    "hurts": ("hurts the others", "may hurt the others"),
    "far": ("far from its class", "perhaps far from its class"),
    "small": ("too small", ""),
}
_COUNTED = {
    "label": ("labels that look wrong", "labels that may be wrong"),
    "hurts": ("photos that hurt the others", "photos that may hurt the others"),
    "far": ("photos far from their class", "photos perhaps far from their class"),
    "small": ("photos too small to help", ""),
}


def run(
    source: Annotated[
        Path,
        typer.Argument(
            help="A skill, or a folder or table of images.", callback=_paths.existing_images
        ),
    ],
    encoder: _options.EncoderName = _options.ENCODER,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    images: Annotated[
        Path | None, typer.Option(help="Where a skill's support images lie, to show them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for doctor.png and doctor.json.")] = None,
    template: _options.Templates = None,
    classes: _options.Classes = None,
    similar: Annotated[
        float | None, typer.Option(min=0, max=1, help="Cosine of near-duplicates; default 0.97.")
    ] = None,
    group_by: _options.GroupBy = "auto",
    as_json: _options.Json = False,
) -> int:
    """Find wrong labels, copies, strays and tiny pictures in a support set."""
    # over 60 lines, for every option of the command is declared with its help
    from handful import report
    from handful.encoders import prompts
    from handful.skills import doctor

    if out is not None:
        report.check_folder(out)
        _paths.warn_inside(out, source)
    with _console.progress("encoding") as progress:
        done = doctor.diagnose(
            source,
            images=images,
            encoder=encoder,
            precision=precision,
            device=device,
            templates=template or prompts.DEFAULT,
            words=_options.read_classes(classes),
            similar=doctor.SIMILAR if similar is None else similar,
            group_by=group_by,
            progress=progress,
        )
    answer = {
        **done.examination.as_dict(),
        "pictures": len(done.pictures),
        "encoded": done.encoded,
        "ignored": dict(done.ignored),
        "failures": _console.failures_json(done.failures),
    }
    if as_json:
        _console.echo_json(answer)
    else:
        _show(done.examination)
    if out is not None:
        report.save(answer, out / "doctor.json")
        sheet = doctor.contact_sheet(done.examination, done.pictures) if done.pictures else None
        if sheet is not None:
            path = report.save(sheet, out / "doctor.png")
            _console.echo_err(f"wrote {path} and doctor.json beside it")
        elif done.pictures:
            _console.echo_err(
                f"wrote {out / 'doctor.json'}; no photo stands out, so there is no figure"
            )
        else:
            _console.echo_err(
                f"wrote {out / 'doctor.json'}; a skill holds no pixels, so there is no figure: "
                "name the folder of its images with --images"
            )
    return _console.report_failures(done.failures, done.ignored)


def _show(found: Examination) -> None:
    """The worst first, then copies, then what concerns whole classes."""
    worst = [f for f in found.images if f.named]
    if worst:
        rows = [
            [f.name, f.label, f.looks_like if f.looks_like != f.label else "", _said(f)]
            for f in worst[:_ROWS]
        ]
        _console.echo_table(["image", "label", "looks like", "what"], rows)
        if len(worst) > _ROWS:
            _console.echo(f"and {len(worst) - _ROWS} more; all of them with --json or --out")
    by_row = found.by_row()
    for d in found.duplicates[:_ROWS]:
        first, second = by_row[d.first], by_row[d.second]
        alike = f"{'perhaps ' * d.near}nearly the same picture (cosine {d.cosine:.3f})"
        same = "the same file" if d.exact else alike
        classes = f" under two labels, {first.label} and {second.label}" if d.across else ""
        _console.echo(f"{first.name} and {second.name}: {same}{classes}")
    if len(found.duplicates) > _ROWS:
        _console.echo(f"and {len(found.duplicates) - _ROWS} more pairs")
    if found.rare_classes:
        names = ", ".join(f"{name} ({found.counts[name]})" for name in found.rare_classes[:5])
        _console.echo(f"few images beside the other classes: {names}")
    for line in _summary(found):
        _console.echo_text(line)
    for note in found.notes:
        _console.echo_err(note)


def _said(finding: Finding) -> str:
    """Its problems in words that are true in any precision."""
    said = []
    for problem in (p for p in _PROBLEMS if p in finding.named):
        words = _PROBLEMS[problem][problem in finding.near]
        said.append(f"{words} ({100 * finding.wrong:.0f} %)" if problem == "label" else words)
    return ", ".join(said)


def _summary(found: Examination) -> list[str]:
    """How many images there are, and how many of them have each problem, or may have it."""
    parts = []
    for problem, (clearly, perhaps) in _COUNTED.items():
        clear, near = len(found.clearly(problem)), len(found.perhaps(problem))
        parts += [f"{clearly}: {clear}"] * bool(clear) + [f"{perhaps}: {near}"] * bool(near)
    if found.duplicates:
        parts.append(f"pairs of copies: {len(found.duplicates)}")
    size = f"{len(found.images)} images of {len(found.counts)} classes"
    lines = [f"{size}; {'; '.join(parts) or 'no image stands out'}."]
    if any(f.near for f in found.images):
        lines.append(
            "What may be so lies near its threshold; another precision of the encoder can tip it."
        )
    return lines
