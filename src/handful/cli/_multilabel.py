"""What the commands do for skills of several labels an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from handful.cli import _console, _measured
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.skills.fit import Fitted
    from handful.skills.multi_label import MultiEvaluated

METHOD = "multi_label"


def fit(
    images: Path, out: Path, *, method: str | None, overwrite: bool, as_json: bool, **given: Any
) -> int:
    """Teach a skill from a table of several labels an image."""
    from handful.skills import multi_label

    if method not in (None, METHOD):
        raise InputError(
            f"--method {method} answers with one class an image; --multi-label has a method of "
            "its own, leave one of the two out"
        )
    with _console.progress("encoding") as progress:
        fitted = multi_label.fit(images, progress=progress, **given)
    fitted.pack.save(out, overwrite=overwrite)
    if as_json:
        _console.say_json(_fitted(fitted, out))
    else:
        _tell(fitted, out)
    stated = fitted.pack.manifest["multi_label"]["thresholds"]
    for name, row in zip(fitted.pack.classes, stated, strict=True):
        if row["positives"] == fitted.pack.manifest["training"]["images"]:
            _console.complain(f"every image shows {name}; it will always be answered")
    return _console.report_failures(fitted.failures)


def evaluate(
    skill: Path,
    images: Path,
    *,
    out: Path | None,
    encoder: str | None,
    keep_leaks: bool,
    record: bool,
    as_json: bool,
) -> int:
    """Measure a skill of several labels an image."""
    from handful import report
    from handful.skills import multi_label

    with _console.progress("encoding") as progress:
        done = multi_label.evaluate(
            skill, images, encoder=encoder, keep_leaks=keep_leaks, progress=progress
        )
    answer = _measured.answer(done)
    if as_json:
        _console.say_json(answer)
    else:
        _show(done)
    if out is not None:
        report.save(answer, out / "evaluation.json")
        _console.complain(f"wrote {out / 'evaluation.json'}")
    if record:
        _measured.record(skill, images, answer)
    _measured.tell_leaks(done.leaks, kept=keep_leaks)
    return _console.report_failures(done.failures)


def _fitted(fitted: Fitted, out: Path) -> dict[str, Any]:
    manifest = fitted.pack.manifest
    return {
        "skill": str(out),
        "method": fitted.pack.method,
        "encoder": manifest["encoder"]["name"],
        "classes": list(fitted.pack.classes),
        "images": manifest["training"]["images"],
        "without_labels": manifest["training"]["without labels"],
        "encoded": fitted.encoded,
        "seconds": round(fitted.seconds, 3),
        "multi_label": manifest["multi_label"],
        "failures": _console.named(fitted.failures),
    }


def _tell(fitted: Fitted, out: Path) -> None:
    facts, stated = fitted.pack.manifest["training"], fitted.pack.manifest["multi_label"]
    _console.say(
        f"Taught {len(fitted.pack.classes)} classes from {facts['images']} images, "
        f"{facts['without labels']} of them with none, as yes/no questions in "
        f"{fitted.seconds:.2f} s ({fitted.encoded} encoded now)."
    )
    rows = [
        [name, str(row["positives"]), f"{row['threshold']:.3f}", row["from"]]
        for name, row in zip(fitted.pack.classes, stated["thresholds"], strict=True)
    ]
    headers = ["class", "images", "yes from", "learned from"]
    _console.say_table(_console.table(headers, rows, right=[1, 2]))
    _console.say(f"The skill is in {out}. Try: handful predict {out} PHOTO...")


def _show(done: MultiEvaluated) -> None:
    result = done.result
    rows = [
        [name, f"{c['precision']:.3f}", f"{c['recall']:.3f}", f"{c['f1']:.3f}", f"{c['support']:g}"]
        for name, c in result.per_class.items()
    ]
    headers = ["class", "precision", "recall", "F1", "images"]
    _console.say_table(_console.table(headers, rows, right=[1, 2, 3, 4]))
    _console.say(
        f"micro-F1 {result.micro_f1:.3f}, macro-F1 {result.macro_f1:.3f} "
        f"(with every threshold at 0.5: {result.fixed['micro_f1']:.3f}, "
        f"{result.fixed['macro_f1']:.3f}), {100 * result.exact:.1f} % of images told exactly, "
        f"{result.count} images, {result.unlabelled} of them with no class"
    )
