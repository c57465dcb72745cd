"""`handful explain`: which support images carried an answer, and how much the text did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from handful.cli import _console, _options

if TYPE_CHECKING:
    from handful.skills.explain import Reasons


def run(
    skill: _options.Skill,
    image: Annotated[Path, typer.Argument(help="The photo to explain the answer for.")],
    images: Annotated[
        Path | None, typer.Option(help="Where the skill's support images lie, to show them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for the figure (.png).")] = None,
    top: Annotated[int, typer.Option(min=1, help="Support images to name.")] = 6,
    encoder: _options.OtherEncoder = None,
    as_json: _options.Json = False,
) -> int:
    """Say which support photos carried an answer."""
    from handful import report
    from handful.contracts import ImageRef
    from handful.skills import explain, photos, support_images

    if out is not None:
        report.check_figure_name(out)
        report.check_folder(out.parent)
    why = explain.of_image(skill, image, encoder=encoder)
    if as_json:
        _console.echo_json({"file_name": str(image), **why.as_dict(top)})
    else:
        _show(why, top)
    if out is not None:
        rows = why.top(top)
        wanted = [why.support.ids[i] for i in rows], [why.support.names[i] for i in rows]
        found = support_images.find(images, *wanted) if images is not None else {}
        figure = photos.reasons_figure(why, ImageRef.of(image), found, top)
        _console.echo_err(f"wrote {report.save(figure, out)}")
        if images is None:
            _console.echo_err("a skill holds no pixels: show its photos with --images FOLDER")
        elif len(found) < len(set(wanted[0])):
            _console.echo_err(f"{len(set(wanted[0])) - len(found)} photos are not in {images}")
    return 0


def _show(why: Reasons, top: int) -> None:
    leads, support = why.image_leads, why.support
    rows = [
        [support.names[i] or support.ids[i][:12], support.labels[i], f"{leads[i]:+.3f}"]
        for i in why.top(top)
    ]
    others = float(leads.sum()) - sum(float(leads[i]) for i in why.top(top))
    if len(leads) > top:
        rows.append([f"{len(leads) - top} other support images", "", f"{others:+.3f}"])
    rows.append(["the text", "", f"{why.text_lead:+.3f}"])
    rows.append(["neither", "", f"{why.rest_lead:+.3f}"])
    _console.echo_table(["what", "label", "adds to the lead"], rows, right=[2])
    _console.echo(why.sentence)
