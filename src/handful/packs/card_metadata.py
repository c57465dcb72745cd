"""The metadata of a model card (YAML between `---` lines), as the Hugging Face Hub reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from handful.packs import description

# any other name is a folder on the maker's machine, and paths must not be published
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def front_matter(manifest: Mapping[str, Any]) -> str:
    """Task, base model, licence, tags and measured numbers, as YAML."""
    zero_shot = manifest["method"] == "zero_shot"
    task = "zero-shot-image-classification" if zero_shot else "image-classification"
    name = manifest["encoder"]["name"]
    base = name if _HUB_NAME.fullmatch(name) else None
    results = _results(manifest["evaluation"], task)
    more = description.front_matter(manifest) | ({"base_model_relation": "adapter"} if base else {})
    facts = ModelCardData(
        **more,
        library_name="handful",
        pipeline_tag=task,
        tags=["handful", "few-shot", manifest["method"].replace("_", "-")],
        base_model=base,
        metrics=[result.metric_type for result in results] or None,
        model_name=description.title(manifest),
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


def encoder_name(manifest: Mapping[str, Any]) -> str:
    """The encoder's name; of a local folder only the last part."""
    name = str(manifest["encoder"]["name"])
    return name if _HUB_NAME.fullmatch(name) else re.split(r"[/\\]", name.rstrip("/\\"))[-1]
