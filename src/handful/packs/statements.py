"""What a skill states about itself, from its support set alone: one place for all of it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from handful.packs import confidence, unknown
from handful.packs.support import Support

KEYS = ("confidence", "unknown")  # of the manifest; tensors go by the same names, `unknown.*`


def state(adapter: Any, support: Support) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Entries of `pack.json`, and tensors.

    Args:
        adapter: fitted on the support set.
        support: features, labels and text.
    """
    entry, tensors = unknown.fit(support)
    sure, scores = confidence.fit(adapter, support)
    return {"confidence": sure, "unknown": entry}, tensors | scores
