"""The README of a pack: a Hugging Face model card, written from the manifest alone."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from handful.packs import about, confidence, deltas, figures, limits, multi, unknown
from handful.packs.format import CONFUSION

# anything else is a folder on somebody's machine, which is nobody else's business
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def write(manifest: Mapping[str, Any]) -> str:
    """The card of a skill.

    Args:
        manifest: see `docs/packs.md`; of `training` and `evaluation` it tells what is there.
    """
    sections = [
        f"---\n{_front_matter(manifest)}\n---\n",
        _what(manifest),
        about.people_told(manifest, _cell),
        _USE,
        about.data_told(manifest, _cell),
        _made(manifest),
        _tuned(manifest),
        _chosen(manifest) or _NAMED,
        multi.thresholds_told(manifest, _cell),
        _numbers(manifest["evaluation"], figures.caption(manifest)),
        confidence.told(manifest, _cell),
        unknown.told(manifest, _cell),
        limits.told(manifest),
        about.licence_told(manifest, _code),
    ]
    return "\n".join(section for section in sections if section)


def selection_rows(selection: Mapping[str, Any]) -> list[list[str]]:
    """The ranking of `handful.adapters.auto.Auto.explain` as a table: headers, then rows."""
    rows = [["method", "settings", "right on left-out images, %", "share of the answer, %"]]
    for row in selection["ranking"]:
        settings = ", ".join(f"{name} {value:g}" for name, value in row["params"].items())
        known = row["accuracy"] is not None
        accuracy = f"{100 * row['accuracy']:.1f}" if known else "not known"
        rows.append([row["title"], settings or "defaults", accuracy, f"{100 * row['share']:.0f}"])
    return rows


_USE = """## How to use it

On the command line, with this folder, or one `.skill` file, called `SKILL`:

    pip install handful
    handful verify SKILL
    handful predict SKILL photo.jpg --top-k 3

In Python:

```python
from handful import Predictor

predictor = Predictor("SKILL")
print(predictor.predict(["photo.jpg"], top_k=3)[0].scores)
```
"""

_LOWER = "Accuracy on them ranks the methods, and is lower than what a fit of all images reaches."

_NAMED = """## How it was chosen

Whoever taught it named the method; its settings are the defaults, found from the support images
alone, or those above. No test image took part.
"""


def _front_matter(manifest: Mapping[str, Any]) -> str:
    zero_shot = manifest["method"] == "zero_shot"
    task = "zero-shot-image-classification" if zero_shot else "image-classification"
    name = manifest["encoder"]["name"]
    base = name if _HUB_NAME.fullmatch(name) else None
    results = _results(manifest["evaluation"], task)
    more = about.front_matter(manifest) | ({"base_model_relation": "adapter"} if base else {})
    facts = ModelCardData(
        **more,
        library_name="handful",
        pipeline_tag=task,
        tags=["handful", "few-shot", manifest["method"].replace("_", "-")],
        base_model=base,
        metrics=[result.metric_type for result in results] or None,
        model_name=about.title(manifest),
        eval_results=results or None,
    )
    return str(facts.to_yaml()).strip()


def _results(evaluation: Mapping[str, Any] | None, task: str) -> list[EvalResult]:
    numbers = evaluation or {}
    return [
        EvalResult(
            task_type=task,
            dataset_type="images",
            dataset_name=str(numbers.get("dataset", "not stated")),
            metric_type=kind,
            metric_value=round(numbers[key], 4),
        )
        for key, kind in (("accuracy", "accuracy"), ("macro_f1", "f1"))
        if isinstance(numbers.get(key), float)
    ]


def _tuned(manifest: Mapping[str, Any]) -> str:
    lines = [f"- `{_cell(name)}`: {_cell(said)}" for name, said in deltas.told(manifest).items()]
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
            f"# {_cell(about.title(manifest))}\n",
            f"{_told(manifest)} It is a small head on the {kind} "
            f"vision-language model {_code(_encoder(manifest))}, taught with "
            f"{len(manifest['support']['images'])} labelled images by Handful.\n",
            "| class | images taught with |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _told(manifest: Mapping[str, Any]) -> str:
    count = len(manifest["classes"])
    if multi.is_multi_label(manifest):
        return f"Tells of each of {count} things whether a photo shows it: several, one or none."
    return f"Tells on a photo which of {count} things it shows."


def _made(manifest: Mapping[str, Any]) -> str:
    encoder, training = manifest["encoder"], manifest["training"]
    params = {k: v for k, v in manifest["params"].items() if v is not None}
    facts = {
        "method": manifest["method"],
        "parameters": json.dumps(params, ensure_ascii=False) if params else "none",
        "prompts": " | ".join(manifest["templates"]),
        "encoder": _encoder(manifest),
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
        headers, *rows = selection_rows(selection)
        reason = _cell(selection["reason"])
    except (KeyError, TypeError, ValueError):  # another version's, or a stranger's
        return ""
    lines = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(
        [
            f"## How it was chosen\n\n{reason}\n",
            "| " + " | ".join(headers) + " |",
            "|---|---|---:|---:|",
            *lines,
            "\nThe images left out are support images; no other image took part. "
            + (deltas.TOO_GOOD if deltas.KEY in manifest else _LOWER)
            + "\n",
        ]
    )


def _numbers(evaluation: Mapping[str, Any] | None, figure: str) -> str:
    if not evaluation:
        return (
            "## How good it is\n\nNot measured yet. Measure it on images it has not seen: "
            "`handful evaluate SKILL FOLDER --record`.\n"
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
    for key, told in (("count", "images measured on"), ("dataset", "data"), ("how", "how")):
        if key in evaluation:
            lines.append(f"- {told}: {_cell(evaluation[key])}")
    leaks = evaluation.get("leaks")
    if isinstance(leaks, int) and leaks > 0:
        lines.append(f"- left out: {leaks} images that are also in the support set")
    if figure:
        lines.append(f"\n![{figure}]({CONFUSION})")
    return "\n".join(["## How good it is\n", *lines, ""])


def _encoder(manifest: Mapping[str, Any]) -> str:
    """The encoder's name; of a local folder only the last part."""
    name = str(manifest["encoder"]["name"])
    return name if _HUB_NAME.fullmatch(name) else re.split(r"[/\\]", name.rstrip("/\\"))[-1]


def _cell(value: Any) -> str:
    """Text that stays inside its cell, whatever a class is called."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", text)


def _code(value: Any) -> str:
    """Code that ends where it should."""
    text = " ".join(str(value).split()).replace("`", "'")
    return f"`{text}`"
