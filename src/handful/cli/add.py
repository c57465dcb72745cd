"""`handful add`: more images of a skill's classes, and new classes."""

from __future__ import annotations

from handful.cli import _console, _edit, _options


def run(
    skill: _options.Skill,
    images: _options.Images,
    out: _edit.Out = None,
    overwrite: _edit.Overwrite = False,
    classes: _options.Classes = None,
    encoder: _options.OtherEncoder = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    max_pixels: _options.MaxPixels = None,
    as_json: _options.Json = False,
) -> int:
    """Teach a skill more photos of its classes, and new classes, without its old photos."""
    from handful.skills.edit.add import add

    target = _edit.destination(skill, out, overwrite=overwrite)
    with _console.progress("encoding") as progress:
        edited = add(
            skill,
            images,
            encoder=encoder,
            precision=precision,
            device=device,
            words=_options.read_classes(classes),
            progress=progress,
        )
    return _edit.save(edited, target, overwrite=overwrite, as_json=as_json)
