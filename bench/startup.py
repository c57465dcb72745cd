"""How long the first answer takes: importing the package, and the command's help."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from tables import head, in_turns, row, table

COMMANDS = {
    "python, importing nothing": ["-c", "pass"],
    "import handful": ["-c", "import handful"],
    "handful --help": ["-m", "handful.cli", "--help"],
    "import torch, for comparison": ["-c", "import torch"],
}


@table("startup", title="Start-up", seconds=15, rounds=1)
def startup(rounds: int = 9) -> Iterator[str]:
    """Whole processes; a first round warms the disk cache and is dropped."""
    runs = {
        name: partial(
            subprocess.run, [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL
        )
        for name, arguments in COMMANDS.items()
    }
    in_turns(runs, 1)
    medians = {name: statistics.median(spent) for name, spent in in_turns(runs, rounds)[0].items()}
    bare = medians["python, importing nothing"]
    yield (
        f"Whole processes, median of {rounds} interleaved rounds; the last column leaves out what\n"
        "starting Python costs.\n"
    )
    yield head("", "seconds", "above bare Python")
    for name, median in medians.items():
        yield row(name, f"{median:.3f}", f"{median - bare:.3f}")
