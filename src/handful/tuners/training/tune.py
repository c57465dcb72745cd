"""Tuners by name: their arguments read and checked, then trained (`tune`).

This is what `handful fit --tuner` and `handful.fit(tuning=...)` call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from handful import plugins
from handful.contracts import Encoder, ImageRef, at_home
from handful.encoders.prompts import ClassPrompts
from handful.errors import InputError
from handful.features import Progress
from handful.features.store import ActivationStore, FeatureStore
from handful.tuners._base import BaseTuner
from handful.tuners.training.callbacks import Callback
from handful.tuners.training.fit import Trained
from handful.tuners.training.interpolation import fit_interpolated
from handful.tuners.training.recipe import Recipe
from handful.tuners.training.trainer import TrainingProgress

WEIGHT = "weight"


@dataclass(frozen=True)
class Plan:
    """What to train and how.

    Args:
        tuners: trained together.
        recipe: how.
        weight: how much of the change to keep; `auto` chooses it from the support set, None leaves
            it to the caller of `fit`.
    """

    tuners: tuple[BaseTuner, ...]
    recipe: Recipe
    weight: float | Literal["auto"] | None = None


@dataclass(frozen=True)
class Tuning:
    """A request to change the encoder, by name.

    Args:
        tuners: a name, or several that are trained together.
        params: see `plan`.
        unlabelled: images of the new domain without labels, for the consistency loss.
        checkpoint: a folder that is written after each epoch; training goes on from it.
        progress: called with (steps done, steps in all, loss, seconds left).
        callbacks: called at every step.
    """

    tuners: str | Sequence[str]
    params: Mapping[str, Any] = field(default_factory=dict)
    unlabelled: Sequence[ImageRef] = ()
    checkpoint: str | Path | None = None
    progress: TrainingProgress | None = None
    callbacks: Sequence[Callback] = ()


def plan(
    names: str | Sequence[str], params: Mapping[str, Any] | None = None, seed: int = 0
) -> Plan:
    """Tuners by name, and their arguments together with the recipe's.

    Args:
        names: a tuner, or several that are trained together.
        params: an argument of a tuner (`bottleneck`; `block.towers` where several have it and only
            one is meant), a field of the recipe (`epochs`), or `weight`: 0 to 1, or `auto`.
        seed: where `params` does not give one.

    Raises:
        UnknownNameError: no such tuner.
        InputError: an argument that neither has; names those there are.

    >>> plan(["block"], {"bottleneck": 8, "epochs": 5}).recipe.epochs
    5
    """
    names = (names,) if isinstance(names, str) else tuple(names)
    kinds = {name: plugins.get("tuners", name) for name in names}
    if not kinds or len(kinds) < len(names):
        raise InputError(f"expected one or several different tuners, got {list(names)}")
    accepted = {name: set(kind().get_params()) for name, kind in kinds.items()}
    recipe_fields = {field.name for field in fields(Recipe)}
    own: dict[str, dict[str, Any]] = {
        name: {"seed": seed} if "seed" in known else {} for name, known in accepted.items()
    }
    shared: dict[str, Any] = {"seed": seed}
    weight: Any = None
    for key, value in (params or {}).items():
        tuner, dot, argument = key.rpartition(".")
        takers = [n for n in names if argument in accepted[n] and (not dot or n == tuner)]
        for name in takers:
            own[name][argument] = value
        if key in recipe_fields:  # `seed` is of both
            shared[key] = value
        if key == WEIGHT:
            weight = value
        elif not takers and key not in recipe_fields:
            known = "; ".join(f"{n}: {', '.join(sorted(a))}" for n, a in accepted.items())
            raise InputError(
                f"no tuner argument {key!r}; {known}; "
                f"training: {', '.join(sorted(recipe_fields))}; and {WEIGHT}"
            )
    if shared.get("epochs") == 0:
        raise InputError("epochs=0 trains nothing; expected 1 or more, or no tuner at all")
    tuners = tuple(kind(**own[name]) for name, kind in kinds.items())
    return Plan(tuners, replace(tuners[0].recipe, **shared), _check_weight(weight))


def tune(
    tuning: Tuning,
    encoder: Encoder,
    images: Sequence[ImageRef],
    labels: Sequence[str],
    text: ClassPrompts,
    *,
    seed: int = 0,
    head: Callable[[], Any] | None = None,
    groups: Sequence[str] | None = None,
    store: FeatureStore | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train what was asked for; see `handful.tuners.fit` and `fit_interpolated`.

    Args:
        tuning: tuners and their arguments. Where no `weight` is given, it is chosen from the
            support set if the head is known, and 1 else.
        encoder: in float32.
        images: N images.
        labels: N class names.
        text: C classes and their prompts.
        seed: where the arguments do not give one.
        head: creates the adapter that will stand on the tuned encoder, not fitted yet.
        groups: N names of what belongs together, which the choice of the weight keeps together.
        store: where features are kept, and activations beside them.
        progress: called with (images done, images in all).

    Raises:
        InputError: an encoder whose towers cannot be reached, and all that `fit` raises.
    """
    if not isinstance(tuning, Tuning):
        raise InputError(f"expected tuning as handful.tuners.Tuning(names, params), got {tuning!r}")
    what = plan(tuning.tuners, tuning.params, seed)
    if not hasattr(encoder, "vision"):
        raise InputError(
            f"{encoder.name}: its insides are not known to Handful, so it cannot be tuned; "
            "use an encoder of the transformers or open_clip backend"
        )
    weight = 1.0 if what.weight is None and head is None else what.weight
    return fit_interpolated(
        what.tuners,
        encoder,  # type: ignore[arg-type]  # checked above
        images,
        labels,
        text,
        weight=None if weight == "auto" else weight,
        head=head,
        features_in=store,
        groups=groups,
        store=None if store is None else ActivationStore(store.path),
        recipe=what.recipe,
        unlabelled=tuning.unlabelled,
        progress=progress,
        training_progress=tuning.progress,
        checkpoint=None if tuning.checkpoint is None else at_home(tuning.checkpoint),
        callbacks=tuning.callbacks,
    )


def _check_weight(value: Any) -> float | Literal["auto"] | None:
    if value is None or value == "auto":
        return "auto" if value else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"expected {WEIGHT} from 0 to 1, or auto, got {value!r}")
    return float(value)
