"""Changes of the model's own parameters: `W0 + dW` wherever the model looks `W` up.

The parameters themselves are never written to. While a change is attached, the table in which a
module keeps its parameters is replaced by one that adds the change on the way out, so every use is
met: by the module's own forward, by fused attention, by a method that is no forward. Detaching puts
the old table back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from handful.encoders.towers import Tower, Tunable
from handful.errors import InputError

BEFORE = -1  # for `Entry`: what enters the first block differs already, nothing is computed once


class Change(nn.Module):
    """`W - W0` of some parameters, zero at the start, under the names they have in the model.

    Args:
        origins: the model's parameters by dotted name; kept as they are, beside what is learned.

    Raises:
        InputError: a parameter that is not in float32.
    """

    def __init__(self, origins: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self._origins = dict(origins)  # a plain dict: these are not this module's parameters
        self._sums: dict[str, tuple[int, Tensor]] = {}
        for name, origin in origins.items():
            if origin.dtype != torch.float32:
                raise InputError(
                    f"{name} is held in {str(origin.dtype).removeprefix('torch.')}; load the "
                    "encoder with precision='float32' to change it"
                )
            path, _, last = name.rpartition(".")
            _place(self, path).register_parameter(last, nn.Parameter(torch.zeros_like(origin)))

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """The model with the changes added; nothing of it is copied, and nothing written to."""
        names = {id(origin): name for name, origin in self._origins.items()}
        with ExitStack() as stack:
            missing = set(self._origins)
            for module in model.modules():
                table = vars(module)["_parameters"]
                changed = {k: names[id(p)] for k, p in table.items() if id(p) in names}
                if changed:
                    adders = {k: self._adder(name) for k, name in changed.items()}
                    object.__setattr__(module, "_parameters", _Table(table, adders))
                    stack.callback(object.__setattr__, module, "_parameters", table)
                    missing.difference_update(changed.values())
            if missing:
                raise InputError(
                    f"{min(missing)} is no longer part of the model, for another delta stands in "
                    "its place; attach this delta before that one"
                )
            yield

    def _adder(self, name: str) -> Callable[[Tensor], Tensor]:
        change, origin = self.get_parameter(name), self._origins[name]

        def added(below: Tensor) -> Tensor:
            if isinstance(below, nn.Parameter):
                below = below.detach()  # the model itself learns nothing
            if change.requires_grad or below.data_ptr() != origin.data_ptr():
                return below + change
            version = change._version
            if self._sums.get(name, (None,))[0] != version:  # once, while neither changes
                with torch.inference_mode(mode=False), torch.no_grad():
                    self._sums[name] = version, below + change
            return self._sums[name][1]

        return added


class _Table(dict[str, Any]):
    """A module's parameters; listed, they are the old ones, looked up, the changed ones."""

    def __init__(
        self, below: dict[str, Any], adders: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> None:
        super().__init__(below)
        self._below, self._adders = below, adders

    def __getitem__(self, name: str) -> Any:
        value = self._below[name]
        return self._adders[name](value) if name in self._adders else value


def whole(encoder: Tunable, tower: Tower, tuner: str) -> dict[str, nn.Parameter]:
    """All parameters of a tower.

    Raises:
        InputError: some are rounded, so that they are no parameters any more.
    """
    if encoder.precision != "float32":
        raise InputError(
            f"{encoder.name} computes in {encoder.precision} here, and its weights are rounded; "
            f"load it with precision='float32' for the tuner {tuner}"
        )
    return tower.parameters()


def _place(root: nn.Module, path: str) -> nn.Module:
    """The module of a dotted path, made where it is not there yet."""
    place = root
    for part in path.split(".") if path else ():
        if part not in place._modules:
            place.add_module(part, nn.Module())
        place = place.get_submodule(part)
    return place
