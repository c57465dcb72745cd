"""The README of a pack: a Hugging Face model card, written from the manifest alone."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from handful.packs import chosen, confidence, deltas, description, figures, novelty_words
from handful.packs.card_limits import limits, task_of
from handful.packs.card_metadata import encoder_name, front_matter
from handful.packs.format import CONFUSION


def write(manifest: Mapping[str, Any]) -> str:
    """The card of a skill.

    Args:
        manifest: see `docs/packs.md`; of `training` and `evaluation` what is there is written.
    """
    sections = [
        f"---\n{front_matter(manifest)}\n---\n",
        _what(manifest),
        description.intended_use(manifest, _cell),
        _USE,
        description.training_data(manifest, _cell),
        _made(manifest),
        _tuned(manifest),
        _chosen(manifest) or _NAMED,
        _task_table(manifest),
        _numbers(manifest["evaluation"], figures.caption(manifest), _expected(manifest)),
        confidence.card_section(manifest, _cell),
        novelty_words.card_section(manifest, _cell),
        limits(manifest),
        description.licence_section(manifest, _code),
    ]
    return "\n".join(section for section in sections if section)


_USE = """## How to use it

On the command line of Handful, with this folder, or one `.skill` file, called `SKILL`:

    handful verify SKILL
    handful predict SKILL photo.jpg --top-k 3

In Python:

```python
from handful import Predictor

predictor = Predictor("SKILL")
print(predictor.predict(["photo.jpg"], top_k=3)[0].scores)
```
"""

_RANKS = (
    "Accuracy on them ranks the methods; it may be above or below what new photos give, which "
    "`handful evaluate SKILL FOLDER --record` measures."
)

_NAMED = """## How it was chosen

Whoever taught it named the method; its settings are the defaults, found from the support images
alone, or those above. No test image took part.
"""


def _tuned(manifest: Mapping[str, Any]) -> str:
    lines = [
        f"- `{_cell(name)}`: {_cell(line)}" for name, line in deltas.summaries(manifest).items()
    ]
    if not lines:
        return ""
    return "\n".join(
        [
            "## What was changed inside the encoder\n",
            "Its own weights stay as they are; these are put in while the skill is used.\n",
            *lines,
            "",
        ]
    )


def _what(manifest: Mapping[str, Any]) -> str:
    classes, counts = manifest["classes"], manifest["training"].get("counts")
    kind = "tuned" if deltas.KEY in manifest else "frozen"
    counts = counts if isinstance(counts, Mapping) else {}
    rows = [f"| {_cell(name)} | {_cell(counts.get(name, '?'))} |" for name in classes]
    return "\n".join(
        [
            f"# {_cell(description.title(manifest))}\n",
            f"{_description(manifest)} It is a small head on the {kind} "
            f"vision-language model {_code(encoder_name(manifest))}, taught with "
            f"{len(manifest['support']['images'])} labelled images by Handful.\n",
            "| class | images taught with |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _description(manifest: Mapping[str, Any]) -> str:
    task, count = task_of(manifest), len(manifest["classes"])
    return task.description(count) if task else f"A skill of {count} classes."


def _expected(manifest: Mapping[str, Any]) -> str:
    """The sentence on what to expect, from images left out of the fit."""
    task = task_of(manifest)
    found = task.expected(manifest) if task else None
    if not task or not found or "cannot" in found:
        return ""
    return f"{_cell(task.expectation(manifest))} (From support images left out of the fit.) "


def _task_table(manifest: Mapping[str, Any]) -> str:
    """What the task adds, such as a threshold for each class."""
    task = task_of(manifest)
    try:
        found = task.card_table(manifest) if task else None
    except (AttributeError, KeyError, TypeError, ValueError):  # untrusted text
        return ""
    if found is None or not found[1].rows:
        return ""
    text, table = found
    head = [[_cell(name) for name in table.headers], *[[_cell(c) for c in r] for r in table.rows]]
    rule = "|" + "".join("---:|" if i in table.right else "---|" for i in range(len(table.headers)))
    rows = ["| " + " | ".join(row) + " |" for row in head]
    return "\n".join([text, rows[0], rule, *rows[1:], ""])


def _made(manifest: Mapping[str, Any]) -> str:
    encoder, training = manifest["encoder"], manifest["training"]
    params = {k: v for k, v in manifest["params"].items() if v is not None}
    facts = {
        "method": manifest["method"],
        "parameters": json.dumps(params, ensure_ascii=False) if params else "none",
        "prompts": " | ".join(manifest["templates"]),
        "encoder": encoder_name(manifest),
        "fingerprint": encoder["fingerprint"],
        "precision": encoder["precision"],
        **{k: v for k, v in training.items() if isinstance(v, str | int | float)},
        "Handful": manifest["handful"],
        "created": manifest["created"],
    }
    lines = [f"- {name}: {_code(value)}" for name, value in facts.items()]
    return "\n".join(["## How it was made\n", *lines, ""])


def _chosen(manifest: Mapping[str, Any]) -> str:
    selection = manifest["training"].get("selection")
    if not selection:
        return ""
    try:
        headers, *rows = chosen.selection_rows(selection)
        reason = _cell(selection["reason"])
    except (KeyError, TypeError, ValueError):  # of another version, or made by hand
        return ""
    lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(
        [
            f"## How it was chosen\n\n{reason}\n",
            "| " + " | ".join(headers) + " |",
            "|---|---|---:|---:|",
            *lines,
            "\nThe images left out are support images; no other image took part. "
            + (deltas.TOO_GOOD if deltas.KEY in manifest else _RANKS)
            + "\n",
        ]
    )


def _numbers(evaluation: Mapping[str, Any] | None, figure: str, expected: str) -> str:
    if not evaluation:
        return (
            f"## How good it is\n\n{expected}Not measured yet. Measure it on images it has not "
            "seen: `handful evaluate SKILL FOLDER --record`.\n"
        )
    lines = []
    if isinstance(evaluation.get("accuracy"), float):
        line = f"- accuracy: {100 * evaluation['accuracy']:.2f} %"
        interval = evaluation.get("interval")
        if isinstance(interval, list) and [type(v) for v in interval] == [float, float]:
            low, high = interval
            line += f" (95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
        lines.append(line)
    if isinstance(evaluation.get("micro_f1"), float):
        lines.append(f"- micro-F1: {evaluation['micro_f1']:.3f}")
    if isinstance(evaluation.get("macro_f1"), float):
        lines.append(f"- macro-F1: {evaluation['macro_f1']:.3f}")
    for key, name in (
        ("count", "images measured on"),
        ("units", "groups or single images among them"),
        ("interval_method", "intervals by"),
        ("dataset", "data"),
        ("how", "how"),
    ):
        if key in evaluation:
            lines.append(f"- {name}: {_cell(evaluation[key])}")
    leaks = evaluation.get("leaks")
    if isinstance(leaks, int) and leaks > 0:
        lines.append(f"- left out: {leaks} images that are also in the support set")
    of_groups = evaluation.get("group_leaks")
    if isinstance(of_groups, int) and of_groups > 0:
        lines.append(f"- left out: {of_groups} images of groups that the skill was taught with")
    if figure:
        lines.append(f"\n![{figure}]({CONFUSION})")
    return "\n".join(["## How good it is\n", *lines, ""])


def _cell(value: Any) -> str:
    """Text that stays inside its cell, whatever a class is called."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", text)


def _code(value: Any) -> str:
    """Code that ends where it should."""
    text = " ".join(str(value).split()).replace("`", "'")
    return f"`{text}`"
