"""`handful add`: more images of a skill's classes, and new classes."""

from __future__ import annotations

from handful.cli import _changed, _console, _options


def run(
    skill: _options.Skill,
    images: _options.Images,
    out: _changed.Out = None,
    overwrite: _changed.Overwrite = False,
    classes: _options.Classes = None,
    encoder: _options.OtherEncoder = None,
    as_json: _options.Json = False,
) -> int:
    """Teach a skill more photos of its classes, and new classes, without its old photos."""
    from handful.skills.edit import commands

    target = _changed.destination(skill, out, overwrite=overwrite)
    with _console.progress("encoding") as progress:
        done = commands.add(
            skill,
            images,
            encoder=encoder,
            words=_options.read_classes(classes),
            progress=progress,
        )
    return _changed.tell(done, target, overwrite=overwrite, as_json=as_json)
