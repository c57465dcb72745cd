"""`Recipe`: how a skill is taught, apart from its images; as stated, or as a skill states it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import tasks
from handful.contracts import Encoder
from handful.encoders import prompts
from handful.errors import InputError
from handful.packs import deltas
from handful.skills.encoder import load_encoder
from handful.skills.loaded import AnySkill, unpack
from handful.skills.pool import pool_ids
from handful.skills.taught_groups import stated_way


@dataclass(frozen=True)
class Recipe:
    """How each fold's skill is taught; see `handful.fit` for each.

    Args:
        task: what is asked; by default what the data show.
        method: an adapter's name; that of the task when not given.
        params: the method's own arguments.
        templates: prompts with `{}`, or names of sets.
        words: class name to its words in a prompt, in the order of the classes.
        seed: of the method where it has one.
        group_by: how the groups of the skill were stated that this is the recipe of; "" for none.
    """

    task: str | None = None
    method: str | None = None
    params: Mapping[str, Any] | None = None
    templates: Sequence[str] = prompts.DEFAULT
    words: Mapping[str, str] | None = None
    seed: int = 0
    group_by: str = ""


def recipe_of(
    skill: AnySkill, encoder: str | Path | Encoder | None, precision: str, device: str
) -> tuple[Recipe, Encoder]:
    """The recipe of a skill, and its encoder.

    Args:
        skill: a skill, its folder, or one with its encoder.
        encoder: instead of the skill's own.
        precision: of an encoder that is loaded by name.
        device: likewise.

    Raises:
        InputError: more than a recipe was needed: a tuned encoder, photos without labels.
    """
    pack, given, _ = unpack(skill, encoder, precision=precision, device=device)
    if deltas.KEY in pack.manifest:
        raise InputError(
            f"{pack.where}: its encoder was tuned on its support set, and every fold would have to "
            "train it anew; measure it on other photos with handful evaluate"
        )
    if pool_ids(pack):
        raise InputError(
            f"{pack.where}: photos without labels helped to teach it, and it does not hold them; "
            "measure it on other photos with handful evaluate"
        )
    training = pack.manifest["training"]
    words = training.get("words")
    recipe = Recipe(
        tasks.of_manifest(pack.manifest),
        pack.method,
        pack.manifest["params"],
        tuple(pack.manifest["templates"]),
        {name: str(dict(words or {}).get(name, name)) for name in pack.classes},
        seed=int(training.get("seed") or 0),
        group_by=stated_way(training),
    )
    return recipe, load_encoder(pack, given, precision=precision, device=device)
