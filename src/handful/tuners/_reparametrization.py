"""Changes of the model's own parameters: `W0 + dW` wherever the model looks `W` up.

The parameters themselves are never written to. While a change is attached, the dict in which a
module keeps its parameters is replaced by one that adds the change on lookup, so every use is met:
by the module's own forward, by fused attention, by a method that is not `forward`. Detaching puts
the old dict back. (`torch.nn.utils.parametrize` would rename the model's parameters and change the
classes of its modules while attached; `functional_call` computes `W` once, not anew each step.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from handful.errors import InputError

BEFORE_FIRST_BLOCK = -1  # in a `FirstChanged`: the input of the first block differs already


class Reparametrization(nn.Module):
    """`W - W0` of some parameters, zero at the start, under the names they have in the model.

    Args:
        originals: the model's parameters by dotted name; they stay as they are.

    Raises:
        InputError: a parameter that is not in float32.
    """

    def __init__(self, originals: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        # A dict, not a ParameterDict: the originals must not count as parameters of this module.
        self._originals = dict(originals)
        self._sums: dict[str, tuple[int, Tensor]] = {}
        for name, original in originals.items():
            if original.dtype != torch.float32:
                raise InputError(
                    f"{name} is held in {str(original.dtype).removeprefix('torch.')}; load the "
                    "encoder with precision='float32' to change it"
                )
            path, _, last = name.rpartition(".")
            module = _submodule(self, path)
            module.register_parameter(last, nn.Parameter(torch.zeros_like(original)))

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """The model with the changes added; nothing of it is copied, and nothing written to."""
        # By identity: one parameter may be shared by several modules (tied weights).
        names = {id(original): name for name, original in self._originals.items()}
        with ExitStack() as stack:
            missing = set(self._originals)
            for module in model.modules():
                table = vars(module)["_parameters"]
                changed = {k: names[id(p)] for k, p in table.items() if id(p) in names}
                if changed:
                    adders = {k: self._adder(name) for k, name in changed.items()}
                    object.__setattr__(module, "_parameters", _ParameterTable(table, adders))
                    stack.callback(object.__setattr__, module, "_parameters", table)
                    missing.difference_update(changed.values())
            if missing:
                raise InputError(
                    f"{min(missing)} is no longer part of the model, for another delta stands in "
                    "its place; attach this delta before that one"
                )
            yield

    def _adder(self, name: str) -> Callable[[Tensor], Tensor]:
        change, original = self.get_parameter(name), self._originals[name]

        def add(below: Tensor) -> Tensor:
            """`W0 + dW`, or `(W0 + dW') + dW` where another change is attached below."""
            if isinstance(below, nn.Parameter):
                below = below.detach()  # the model itself learns nothing
            if change.requires_grad or below.data_ptr() != original.data_ptr():
                return below + change
            # Computed once while neither side changes; torch counts in-place writes as versions.
            version = change._version
            if self._sums.get(name, (None,))[0] != version:
                with torch.inference_mode(mode=False), torch.no_grad():
                    self._sums[name] = version, below + change
            return self._sums[name][1]

        return add


class _ParameterTable(dict[str, Any]):
    """A module's parameters: iteration gives the original ones, lookup the changed ones."""

    def __init__(
        self, below: dict[str, Any], adders: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> None:
        super().__init__(below)
        self._below, self._adders = below, adders

    def __getitem__(self, name: str) -> Any:
        value = self._below[name]
        return self._adders[name](value) if name in self._adders else value


def _submodule(root: nn.Module, path: str) -> nn.Module:
    """The module of a dotted path, created where it is missing."""
    module = root
    for part in path.split(".") if path else ():
        if part not in module._modules:
            module.add_module(part, nn.Module())
        module = module.get_submodule(part)
    return module
