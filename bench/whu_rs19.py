"""Every method on real features: CLIP ViT-B/32 on WHU-RS19, 1005 aerial photos of 19 classes.

Usage: python bench/whu_rs19.py FOLDER [--seeds 10] [--out FOLDER]

FOLDER holds `clip_vit_b32.safetensors` and `meta.json`. The same as
`handful bench FOLDER --shots 1,2,4,8,16 --seeds 10 --methods ...`, printed as markdown; with --out
a stopped run goes on where it was. Rows in brackets are yardsticks from bench/reference.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from handful import plugins, report
from handful.protocols import figure, text
from handful.protocols.bench import prepare
from handful.protocols.request import Request
from handful.protocols.trials import SHOTS

FACTS = {
    "encoders": ["OpenAI CLIP ViT-B/32 (features as published, mean of 106 prompts a class)"],
    "test": "all images outside the support set",
    "note": "when the first trained methods were written, settings were tried on this set; "
    "CLIP-Adapter's rate was then chosen anew on the playground, its 300 steps and the linear "
    "probe's settings were kept; while Auto's members and first weights were chosen, its table on "
    "this set was looked at beside the others. So read these rows as slightly optimistic",
}


def tell(done: int, total: int) -> None:
    print(f"\r{done} of {total}", end="", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    plugins.add_folder(Path(__file__).parent / "reference")
    request = Request(methods=plugins.names("adapters"), shots=SHOTS, seeds=arguments.seeds)
    ready = prepare([arguments.folder], request, out=arguments.out)
    done = ready.run(tell if sys.stderr.isatty() else None)
    done = replace(done, facts={**done.facts, **FACTS})
    if arguments.out is not None:
        report.save(figure.figure(done), arguments.out / "figure.png")
    print(text.tables(done, level=3))


if __name__ == "__main__":
    main()
