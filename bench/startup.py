"""How long the first answer takes: importing the package, and the command's help.

python bench/startup.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python, importing nothing": ["-c", "pass"],
    "import handful": ["-c", "import handful"],
    "handful --help": ["-m", "handful.cli", "--help"],
    "import torch, for comparison": ["-c", "import torch"],
}


def seconds(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):  # the first round warms the disk cache and is dropped
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    bare = statistics.median(times["python, importing nothing"][1:])
    print(
        f"Whole processes, median of {rounds} interleaved rounds; the last column leaves out what"
    )
    print("starting Python costs.\n")
    print("| | seconds | above bare Python |\n|---|---|---|")
    for name, values in times.items():
        median = statistics.median(values[1:])
        print(f"| {name} | {median:.3f} | {median - bare:.3f} |")


if __name__ == "__main__":
    main()
