"""Meta-Adapter: a network learned over many tasks predicts the head of a new one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from handful.adapters import Adapter, AffineHead
from handful.adapters._meta_network import MetaNetwork as MetaNetwork
from handful.contracts import ClassText
from handful.errors import InputError
from handful.features.store import default_folder

SHIPPED = "playground"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
_MAX_BYTES = 1 << 20  # the weights are a few kilobytes; a file given by name may be anything


@dataclass(eq=False, repr=False)
class MetaAdapter(Adapter):
    """One forward pass over support set and text gives the classifier; no gradient is taken.

    The idea of Meta-Adapter (Cheng et al., NeurIPS 2023): gated cross-attention from a class's text
    to its images refines the text classifier, and is learned once over many tasks. There the
    attention projects features with `D x D` matrices; here every network reads cosines and counts
    alone, some four hundred numbers in all, so weights learned with one encoder serve another of
    any width. Beside the refined class means we let the passes predict how far the covariance is
    shrunk and what zero-shot counts for. See `handful.adapters._meta_network` for the formula.

    Args:
        weights: `playground` (shipped: learned with `tiny` on tasks of the playground), or the name
            of weights that `handful meta-train` made.

    >>> MetaAdapter().get_params()
    {'weights': 'playground'}
    """

    title = "Meta-Adapter"
    head = AffineHead

    weights: str = SHIPPED

    def _fit(self, features: Tensor, targets: Tensor, text: ClassText) -> nn.Module:
        network = load(self.weights)
        with torch.no_grad():
            weights, bias = network(
                features.float(), targets, torch.from_numpy(text.weights), text.scale
            )
        return AffineHead(weights=weights.contiguous(), bias=bias.contiguous())


def weights_folder() -> Path:
    """Where weights that were made on this machine are kept: beside the user's features."""
    return default_folder() / "meta"


def weights_path(name: str) -> Path:
    """The file of weights by name.

    Raises:
        InputError: a name that cannot be one.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"expected the name of meta-learned weights (letters, digits, - and _), got {name!r}"
        )
    if name == SHIPPED:
        return Path(__file__).parent / "meta.safetensors"
    return weights_folder() / f"{name}.safetensors"


def load(name: str) -> MetaNetwork:
    """Weights by name.

    Raises:
        InputError: not there, damaged, or not such weights.
    """
    path = weights_path(name)
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        known = ", ".join(
            [SHIPPED, *sorted(p.stem for p in weights_folder().glob("*.safetensors"))]
        )
        raise InputError(
            f"no meta-learned weights called {name!r}; known: {known}. Make some with "
            "handful meta-train"
        ) from error


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> MetaNetwork:
    """Weights of a file; `changed`, its time of change, invalidates the cached older one."""
    data = path.read_bytes()[: _MAX_BYTES + 1]
    try:
        tensors = safetensors.torch.load(data)
        network = MetaNetwork(hidden=tensors["shot.0.weight"].shape[0])
        network.load_state_dict(tensors)
    except (safetensors.SafetensorError, KeyError, RuntimeError, IndexError) as error:
        raise InputError(
            f"{path}: holds no weights of a Meta-Adapter ({error}); train them again"
        ) from error
    if not all(torch.isfinite(t).all() for t in tensors.values()):
        raise InputError(f"{path}: holds NaN or infinity; train the weights again")
    return network.eval().requires_grad_(False)


def save(network: MetaNetwork, path: Path, facts: dict[str, Any]) -> None:
    """Write weights, and the facts of how they were made as JSON beside them."""
    tensors = {n: t.detach().contiguous() for n, t in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(safetensors.torch.save(tensors))
    new.replace(path)
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
