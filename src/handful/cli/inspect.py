"""`handful inspect`: what a skill is, without its encoder."""

from __future__ import annotations

from collections.abc import Mapping

from handful.cli import _console, _options


def run(skill: _options.Skill, as_json: _options.Json = False) -> int:
    """Verify a skill and show what it is made of."""
    from handful import tasks
    from handful.packs import chosen, deltas, format  # noqa: A004 the format of packs

    manifest, _ = format.read(skill)  # no head is built: that would import torch
    if as_json:
        _console.echo_json(manifest)
        return 0
    counts = manifest["training"].get("counts")
    counts = counts if isinstance(counts, Mapping) else {}  # a pack is untrusted
    task = tasks.get(tasks.of_manifest(manifest))
    expectation = task.expectation(manifest)
    numbers = _console.left_out_line(task.expected(manifest))
    recorded = _recorded(manifest.get("evaluation"))
    facts = {
        **({"expect": expectation.removeprefix("Expect ")} if expectation else {}),
        **({"left out": numbers} if numbers else {}),
        **({"evaluated": recorded} if recorded else {}),
        "method": f"{manifest['method']} {manifest['params'] or ''}",
        "encoder": manifest["encoder"]["name"],
        **{f"tuner {name}": line for name, line in deltas.summaries(manifest).items()},
        "fingerprint": manifest["encoder"]["fingerprint"],
        "fitted in": manifest["encoder"]["precision"],
        "templates": " | ".join(manifest["templates"]),
        "classes": ", ".join(f"{name} ({counts.get(name, '?')})" for name in manifest["classes"]),
        "seed": str(manifest["training"].get("seed")),
        "created": str(manifest["created"]),
        "licence": str(manifest["license"]),
        "bytes": str(
            sum(f.stat().st_size for f in (skill.iterdir() if skill.is_dir() else [skill]))
        ),
    }
    _console.echo_table(["fact", "value"], [[k, v] for k, v in facts.items()])
    _console.show_selection(*chosen.selection_parts(manifest), title="\nHow it was chosen:")
    return 0


def _recorded(evaluation: object) -> str:
    """What `evaluate --record` measured, in one line; "" where nothing sound is recorded.

    >>> _recorded({"accuracy": 0.81, "interval": [0.77, 0.845], "count": 400, "dataset": "test"})
    'accuracy 81.00 % (95 % interval 77.00 to 84.50 %), 400 images, test'
    """
    if not isinstance(evaluation, Mapping):
        return ""
    parts = []
    if isinstance(accuracy := evaluation.get("accuracy"), float):
        line = f"accuracy {100 * accuracy:.2f} %"
        interval = evaluation.get("interval")
        if isinstance(interval, list) and [type(v) for v in interval] == [float, float]:
            line += f" (95 % interval {100 * interval[0]:.2f} to {100 * interval[1]:.2f} %)"
        parts.append(line)
    elif isinstance(f1 := evaluation.get("micro_f1"), float):
        parts.append(f"micro-F1 {f1:.3f}")
    if parts and type(evaluation.get("count")) is int:
        parts.append(f"{evaluation['count']} images")
    if parts and isinstance(evaluation.get("dataset"), str):
        parts.append(evaluation["dataset"])
    return ", ".join(parts)
