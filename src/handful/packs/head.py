"""A fitted estimator to named tensors and back, by the name of its method alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handful import plugins, tasks
from handful.errors import InputError, PackError, UnknownNameError
from handful.packs.format import Tensors

HEAD = "head."
# what the constructor of a plug-in's head may raise over untrusted tensors
REFUSALS = (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError, AttributeError)


def check_fitted(estimator: Any) -> None:
    """Refuse an estimator without a head.

    Raises:
        InputError: it is not fitted.
    """
    if not hasattr(estimator, "module_"):
        raise InputError(f"{type(estimator).__name__} is not fitted yet; call fit first")


def method_of(estimator: Any, task: str) -> str:
    """The name by which the task finds the estimator's class: that of its file, as a rule.

    Raises:
        InputError: no method of the task, so no pack could name it.
    """
    kind = type(estimator)
    own = tasks.get(task).estimators
    name = next((n for n, e in own.items() if e is kind), None)
    found = name if own else plugins.name_of("adapters", kind)
    if found is not None:
        return found
    raise InputError(
        f"{kind.__name__} is no plug-in, so no skill could name it; put the class into a file of "
        "its own in a folder 'adapters' and add the folder above with handful.plugins.add_folder"
    )


def tensors_of(estimator: Any) -> dict[str, NDArray[Any]]:
    """Copies of the tensors of a fitted head, under `head.`."""
    state = estimator.module_.state_dict()
    return {HEAD + n: t.detach().cpu().contiguous().numpy().copy() for n, t in state.items()}


def restore(manifest: Mapping[str, Any], tensors: Tensors, where: str) -> Any:
    """The fitted estimator, from its task, its method, its parameters and the tensors of its head.

    Raises:
        PackError: task or method are not installed, or the tensors are not what its head takes.
    """
    named = manifest["method"]
    try:
        estimator = tasks.get(tasks.of_manifest(manifest)).estimator(named)
    except UnknownNameError as error:
        missing = "method" if named in str(error) else "task"
        name = named if missing == "method" else tasks.of_manifest(manifest)
        raise PackError(
            f"{where}: needs the {missing} {name!r}, which is not installed here; install the "
            f"plug-in that provides it or add its folder to HANDFUL_PLUGINS ({error})"
        ) from error
    except InputError as error:
        raise PackError(f"{where}: {error}; teach the skill again") from error
    # copies: torch aligns memory, so that products come out bit for bit as they did before saving
    head = {
        name.removeprefix(HEAD): torch.from_numpy(values).clone()
        for name, values in tensors.items()
        if name.startswith(HEAD)
    }
    try:
        made = estimator(**manifest["params"])
        made.module_ = estimator.head(**head).eval().requires_grad_(False)
    except REFUSALS as error:
        raise PackError(
            f"{where}: its parameters and tensors do not make a {named!r} ({error}); the method "
            f"may have changed since Handful {manifest['handful']}, teach the skill again"
        ) from error
    made.classes_ = np.array(manifest["classes"])
    made.n_features_in_ = manifest["encoder"]["dim"]
    return made
