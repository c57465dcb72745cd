"""Numbers to something to look at: markdown, figures, JSON; it computes none of them."""

from __future__ import annotations

import io
import json
import secrets
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handful import plugins
from handful.errors import StorageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.metrics import Evaluation
    from handful.protocols.compare import Comparison

# Okabe and Ito's colours, told apart by colour-blind readers too.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#999999")
_LONGEST = 24  # letters of a class name in a figure


def title(method: str) -> str:
    """The name a method has in tables, such as `Tip-Adapter-F`."""
    return str(plugins.get("adapters", method).title)


def comparison_markdown(comparison: Comparison) -> str:
    """A table of methods by shots, percent ± half of the 95 % interval, and the facts below it."""
    shots = comparison.shots
    head = "| accuracy, % | " + " | ".join(f"{k} shot{'s' * (k > 1)}" for k in shots) + " |"
    lines: list[str] = []
    for block in comparison.blocks():
        if block.note:
            lines += ["", f"{', '.join(map(title, block.methods))}: {block.note}.", ""]
        lines += [head, "|---" * (len(shots) + 1) + "|"]
        for method in block.methods:
            row = " | ".join(str(comparison.cell(method, k)) for k in shots)
            lines.append(f"| {title(method)} | {row} |")
    if any(cell.interval is not None for cell in comparison.cells()):
        lines += ["", "± is half of the 95 % interval (Student's t) over the seeds."]
    else:
        lines += ["", "One seed only, so nothing is known of the spread: no interval is given."]
    facts = {name: _plain(value) for name, value in comparison.facts.items()}
    lines += [f"{name}: {value.removesuffix('.')}.  " for name, value in facts.items() if value]
    return "\n".join(lines) + "\n"


def comparison_figure(comparison: Comparison) -> Figure:
    """Accuracy against shots, one line a method, intervals as bands."""
    figure, axes = _axes(6.4, 4.2)
    shots = comparison.shots
    apart = {
        m: block.semantics for block in comparison.blocks() if block.note for m in block.methods
    }
    for colour, method in zip(_repeat(len(comparison.methods)), comparison.methods, strict=True):
        cells = [comparison.cell(method, k) for k in shots]
        mean = np.array([c.accuracy for c in cells])
        half = np.array([c.interval or 0 for c in cells])
        told = f"{title(method)} ({apart[method]})" if method in apart else title(method)
        style = "--" if method in apart else "-"
        axes.plot(shots, mean, style, marker="o", markersize=4, color=colour, label=told)
        axes.fill_between(shots, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.set_xlabel("labelled images a class")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small")
    return figure


def confusion_figure(evaluation: Evaluation) -> Figure:
    """The confusion matrix: rows are true classes, columns answers, cells counts."""
    return matrix_figure(np.asarray(evaluation.confusion), evaluation.classes)


def matrix_figure(matrix: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """The same of a `[C, C]` matrix and C names."""
    size = min(4 + 0.32 * len(names), 24)
    figure, axes = _axes(size, size)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = [_short(name) for name in names]
    axes.set_xticks(range(len(names)), ticks, rotation=90, parse_math=False)  # a $ is a $
    axes.set_yticks(range(len(names)), ticks, parse_math=False)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    if len(names) <= 40:  # beyond that the digits are dust
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour, fontsize=7)
    return figure


def reliability_figure(found: Mapping[str, Any]) -> Figure:
    """How often answers are right, by how sure they are (`Evaluated.confidence`).

    A point on the diagonal is an honest probability; its area is the share of the answers.
    """
    figure, axes = _axes(4.8, 4.4)
    axes.plot([0, 1], [0, 1], "--", color=_COLOURS[7], linewidth=1)
    shown = (
        ("ece_uncalibrated", "method's own", _COLOURS[4]),
        ("ece", "this skill", _COLOURS[5]),
    )
    for key, name, colour in shown:
        bins = [b for b in found["bins"][key] if b["count"]]
        total = sum(b["count"] for b in bins)
        x, y = ([b[side] for b in bins] for side in ("confidence", "accuracy"))
        told = f"{name}, ECE {100 * found[key]:.1f} %"
        axes.plot(x, y, color=colour, linewidth=1, label=told)
        axes.scatter(x, y, s=[8 + 200 * b["count"] / total for b in bins], color=colour, alpha=0.6)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("share that is right")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small")
    return figure


def save(content: Figure | str | Mapping[str, Any], path: Path) -> Path:
    """Write a figure, a text or JSON whole or not at all.

    Raises:
        StorageError: naming the file and what the disk said.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # two may write at once
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            _write(content, part)
        elif isinstance(content, Mapping):
            _write(json.dumps(content, indent=1) + "\n", part)
        else:
            with warnings.catch_warnings():  # about glyphs and room: nothing a reader could change
                warnings.simplefilter("ignore", UserWarning)
                content.savefig(part, format=path.suffix[1:], dpi=150)
        part.replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with suppress(OSError):  # the error above is the one to tell
            part.unlink(missing_ok=True)
    return path


def png(figure: Figure, most: int = 1600) -> bytes:
    """A figure as a small PNG at most `most` pixels wide; the same figure gives the same bytes."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    dots = min(100.0, most / figure.get_figwidth())
    with warnings.catch_warnings():  # as in save
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(drawn, format="png", dpi=dots)
    few = Image.open(drawn).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(small, format="png", optimize=True)
    return small.getvalue()


def check_folder(folder: Path) -> None:
    """Can files be written into this folder, which need not exist? Leaves nothing behind.

    Raises:
        StorageError: naming the folder and what the disk said.
    """
    nearest = folder.absolute()
    try:
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _refused(folder, error) from error


def _write(text: str, path: Path) -> None:
    # a file name that is no valid text is told as its escape, which JSON reads back
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: cannot be written ({error.strerror or error}); "
        "free some space or choose another folder"
    )


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure  # not pyplot: no global state and no window

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _repeat(count: int) -> list[str]:
    return [_COLOURS[i % len(_COLOURS)] for i in range(count)]


def _short(name: str) -> str:
    """A class name that leaves room for the matrix."""
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {what}" for what, count in value.items())
    if not isinstance(value, list):
        return str(value)
    return ", ".join(map(str, value[:8])) + (
        f" and {len(value) - 8} more" if len(value) > 8 else ""
    )
