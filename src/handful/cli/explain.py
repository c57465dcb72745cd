"""`handful explain`: which support images carried an answer, and how much the text did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options, _paths

if TYPE_CHECKING:
    from handful.skills.explain import Explanation


def run(
    skill: _options.Skill,
    image: Annotated[
        Path,
        typer.Argument(help="The photo to explain the answer for.", callback=_paths.existing_photo),
    ],
    images: Annotated[
        Path | None, typer.Option(help="Where the skill's support images lie, to show them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the figure (.png).")] = None,
    top: Annotated[int, typer.Option(min=1, help="Support images to name.")] = 6,
    encoder: _options.OtherEncoder = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    as_json: _options.Json = False,
) -> int:
    """Say which support photos carried an answer."""
    from handful import report
    from handful.contracts import ImageRef
    from handful.skills.explain import explain_image
    from handful.skills.explanation_figure import explanation_figure
    from handful.skills.locate import LocatedImages, locate_images

    if out is not None:
        report.check_figure_name(out)
        report.check_folder(out.parent)
    explanation = explain_image(skill, image, encoder=encoder, precision=precision, device=device)
    if as_json:
        _console.echo_json({"file": str(image), **explanation.as_dict(top)})
    else:
        _show(explanation, top)
    if out is not None:
        shown = explanation.support.subset(explanation.top(top))
        found = LocatedImages({}, ())
        if images is not None:
            found = locate_images(images, shown.ids, shown.names)
        figure = explanation_figure(explanation, ImageRef.of(image), found, top)
        _console.echo_err(f"wrote {report.save(figure, out)}")
        if images is None:
            _console.echo_err("a skill holds no pixels: show its photos with --images FOLDER")
        elif missing := len({*shown.ids}) - len(found):
            _console.echo_err(f"{missing} photos are not in {images}")
        return _console.report_failures(found.failures, found.ignored)
    return 0


def _show(explanation: Explanation, top: int) -> None:
    margins, support = explanation.image_margins, explanation.support
    shown = explanation.top(top)
    rows = [
        [support.names[i] or support.ids[i][:12], support.labels[i], f"{margins[i]:+.3f}"]
        for i in shown
    ]
    others = float(margins.sum()) - sum(float(margins[i]) for i in shown)
    if len(margins) > top:
        rows.append([f"{len(margins) - top} other support images", "", f"{others:+.3f}"])
    rows.append(["the text", "", f"{explanation.text_margin:+.3f}"])
    rows.append(["neither", "", f"{explanation.rest_margin:+.3f}"])
    _console.echo_table(["what", "label", "adds to the lead"], rows, right=[2])
    _console.echo(explanation.sentence)
