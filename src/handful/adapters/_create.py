"""An adapter by its name, with its parameters checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handful import plugins
from handful.errors import InputError


def create_adapter(method: str, seed: int = 0, params: Mapping[str, Any] | None = None) -> Any:
    """An adapter that is not fitted yet; the seed goes to those that have one.

    Raises:
        UnknownNameError: no such method.
        InputError: a parameter that the method does not have.
    """
    return create_estimator(plugins.get("adapters", method), method, seed, params)


def create_estimator(
    estimator: Any, name: str, seed: int = 0, params: Mapping[str, Any] | None = None
) -> Any:
    """An estimator of a class, with `params`, and with `seed` where it takes one.

    Raises:
        InputError: a parameter that it does not have; says which it has.
    """
    accepted = estimator().get_params()
    if params is not None and not isinstance(params, Mapping):
        raise InputError(
            f"params: expected the method's arguments by name, such as {{'alpha': 2.0}}, "
            f"got {params!r}"
        )
    given = dict(params or {})
    unknown = sorted(given.keys() - accepted.keys())
    if unknown:
        raise InputError(
            f"{name} has no parameter {', '.join(unknown)}; it has: {', '.join(accepted) or 'none'}"
        )
    return estimator(**({"seed": seed} if "seed" in accepted else {}) | given)
