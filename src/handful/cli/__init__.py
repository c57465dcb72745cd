"""The command line: parse, call one function, show its answer.

Exit codes: 0 all went well; 1 some images could not be read and the rest was done; 2 an error, with
its cause and cure; 130 stopped by Ctrl-C, nothing half-written; 141 the reader of the answers went
away before it had them all (`| head`).
"""

from __future__ import annotations

import gc
import sys

_STOPPED = 130
_ANY_STOPPED = (
    "stopped; nothing half-written remains, and the same command goes on from what was kept "
    "(of a training, with --checkpoint)"
)
# Imports make 200 000 objects that stay; looking through them again and again for garbage took a
# tenth of every start. Training that makes garbage still has it collected.
_COLLECT_AFTER = (200_000, 10, 10)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    try:  # everything else is imported in here, so that Ctrl-C is answered from the start
        code = _run(arguments)
    except KeyboardInterrupt:
        code = _STOPPED
    if code == _STOPPED and sys.stderr is not None:
        console = sys.modules.get("handful.cli._console")  # not there where the start was stopped
        sys.stderr.write(f"{getattr(console, 'stopped', None) or _ANY_STOPPED}\n")
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    import warnings

    if arguments is None:  # a process of its own
        gc.set_threshold(*_COLLECT_AFTER)
    from handful.cli._console import (
        READER_GONE,
        discard_output,
        echo_err,
        flush,
        prepare_output,
        say_when_stopped,
    )
    from handful.errors import HandfulError

    # odd EXIF and odd tags, once an image
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL|pydicom")
    warnings.showwarning = _show_warning
    say_when_stopped("")
    try:
        prepare_output()
        code = _command(arguments)
        flush()
    except HandfulError as error:
        echo_err(f"error: {error}")
        return 2
    except BrokenPipeError:  # the reader went away, as `| head` does; silent, as other tools are
        discard_output()
        return READER_GONE
    except OSError as error:
        if error.filename is not None:  # not the output, which has no name
            echo_err(f"error: {error.filename}: {error.strerror or error}")
            return 2
        discard_output()
        echo_err(f"error: the answer cannot be written ({error.strerror or error})")
        return 2
    return code


def _command(arguments: list[str] | None) -> int:
    from handful.cli._app import app
    from handful.cli._paths import expand_home

    try:
        app(args=expand_home(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning in one line, without the source line that raised it."""
    from handful.cli._console import echo_err

    echo_err(f"warning: {message}")
