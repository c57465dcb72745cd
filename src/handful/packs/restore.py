"""From a fitted adapter to named tensors and back, knowing of the method its name alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from handful import plugins
from handful.errors import InputError, PackError, UnknownNameError
from handful.packs.format import Tensors

HEAD = "head."
_PLACES = ("adapters", "tasks")  # kinds of plug-ins that a skill can be made with
# what a head that we do not know may raise over tensors that we do not trust
REFUSALS = (TypeError, ValueError, RuntimeError, LookupError, ArithmeticError, AttributeError)


def method_of(adapter: Any) -> str:
    """The name under which plug-ins hold the adapter's class: its file's, as a rule.

    Raises:
        InputError: no plug-in, so no pack could name it.
    """
    kind = type(adapter)
    own = kind.__module__.rpartition(".")[2]
    for place in _PLACES:
        for name in sorted(plugins.names(place), key=lambda n: n != own):
            if plugins.get(place, name) is kind:
                return name
    raise InputError(
        f"{kind.__name__} is no plug-in, so no skill could name it; put the class into a file of "
        "its own in a folder 'adapters' and add the folder above with handful.plugins.add_folder"
    )


def method(name: str) -> Any:
    """The class of the plug-in that a skill names, an adapter or a task.

    Raises:
        UnknownNameError: neither.
    """
    task = name not in plugins.names("adapters") and name in plugins.names("tasks")
    return plugins.get("tasks" if task else "adapters", name)


def tensors_of(adapter: Any) -> dict[str, NDArray[Any]]:
    """Copies of the tensors of a fitted head, under `head.`."""
    state = adapter.module_.state_dict()
    return {HEAD + n: t.detach().cpu().contiguous().numpy().copy() for n, t in state.items()}


def adapter(manifest: Mapping[str, Any], tensors: Tensors, where: str) -> Any:
    """The fitted adapter, from its method's name, its parameters and the tensors of its head.

    Raises:
        PackError: the method is not installed, or the tensors are not what its head takes.
    """
    named = manifest["method"]
    try:
        kind = method(named)
    except UnknownNameError as error:
        raise PackError(
            f"{where}: needs the method {named!r}, which is not installed here; install the "
            f"plug-in that provides it or add its folder to HANDFUL_PLUGINS ({error})"
        ) from error
    # copies: torch aligns memory, so that products come out bit for bit as they did before saving
    head = {
        name.removeprefix(HEAD): torch.from_numpy(values).clone()
        for name, values in tensors.items()
        if name.startswith(HEAD)
    }
    try:
        made = kind(**manifest["params"])
        made.module_ = kind.head(**head).eval().requires_grad_(False)
    except REFUSALS as error:
        raise PackError(
            f"{where}: its parameters and tensors do not make a {named!r} ({error}); the method "
            f"may have changed since Handful {manifest['handful']}, teach the skill again"
        ) from error
    made.classes_ = np.array(manifest["classes"])
    made.n_features_in_ = manifest["encoder"]["dim"]
    return made
