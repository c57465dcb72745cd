"""What `handful evaluate` says and keeps, whatever kind of skill was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console

if TYPE_CHECKING:
    from handful.skills.evaluate import Evaluated
    from handful.skills.multi_label import MultiEvaluated


def answer(done: Evaluated | MultiEvaluated) -> dict[str, Any]:
    """The numbers and what was left out of them, for --json."""
    return {
        **done.result.as_dict(),
        "leaks": list(done.leaks),
        "failed": len(done.failures),
        "failures": _console.named(done.failures),
    }


def record(skill: Path, images: Path, answer: dict[str, Any]) -> None:
    """Write the numbers into the skill; names of files stay here."""
    from handful.packs import Pack

    facts = {key: value for key, value in answer.items() if key != "failures"}
    facts |= {"dataset": images.resolve().name, "leaks": len(answer["leaks"])}
    Pack.load(skill).with_evaluation(facts).save(skill, overwrite=True)
    _console.complain(f"wrote the numbers into {skill}")


def tell_leaks(leaks: Sequence[str], *, kept: bool) -> None:
    """Warn of test images that the skill was taught with."""
    if leaks:
        treated = "counted all the same" if kept else "left out"
        _console.complain(
            f"{len(leaks)} test images are also in the support set, byte for byte: {treated} "
            f"({', '.join(leaks[:3])}{', ...' if len(leaks) > 3 else ''})"
        )
