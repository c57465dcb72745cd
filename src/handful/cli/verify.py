"""`handful verify`: is a skill whole, and does it answer here as it did where it was made."""

from __future__ import annotations

from typing import Annotated

import typer

from handful.cli import _console, _options


def run(
    skill: Annotated[str, typer.Argument(help="A folder, a .skill file, or a hub name.")],
    encoder: _options.OtherEncoder = None,
    precision: _options.Precision = "auto",
    device: _options.Device = "auto",
    no_encoder: Annotated[
        bool, typer.Option("--no-encoder", help="Leave the encoder alone; it need not be here.")
    ] = False,
    revision: _options.Revision = None,
    as_json: _options.Json = False,
) -> int:
    """Verify a skill: files, format, digests, tensors, golden vectors, encoder.

    Exit code 0: all is right; 1: right as far as it could be checked; 2: something is wrong.
    """
    from handful.skills import verify

    report = verify.verify(
        skill,
        encoder=encoder,
        precision=precision,
        device=device,
        check_encoder=not no_encoder,
        revision=revision,
    )
    if as_json:
        _console.echo_json(
            {
                "skill": report.where,
                "ok": report.complete,
                "failed": report.failed,
                "checks": [
                    {"check": c.name, "state": c.state, "told": c.detail} for c in report.checks
                ],
            }
        )
    else:
        for check in report.checks:
            _console.echo(f"{check.name}: {check.state}: {check.detail}")
    if report.failed:
        _console.echo_err(f"error: {report.where} must not be trusted as it is")
        return 2
    if not report.complete:
        _console.echo_err("right as far as it was checked; its encoder was not")
        return 1
    return 0
