"""What a skill states about itself, from its support set alone: one place for all of it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from handful.packs import confidence, unknown
from handful.packs.support import Support

KEYS = ("confidence", "unknown")  # of the manifest; tensors go by the same names, `unknown.*`


TUNED = (
    "the encoder was tuned on the support images, which therefore look easier to it than new ones "
    "will; how sure it may be is not known"
)


def state(
    adapter: Any, support: Support, *, tuned: bool = False
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Entries of `pack.json`, and tensors.

    Args:
        adapter: fitted on the support set.
        support: features, labels and text.
        tuned: whether the features come from an encoder that was trained on these images; leaving
            one out of the head does not leave it out of the encoder then.
    """
    if tuned:
        return {key: {"cannot": TUNED} for key in KEYS}, {}
    entry, tensors = unknown.fit(support)
    sure, scores = confidence.fit(adapter, support)
    return {"confidence": sure, "unknown": entry}, tensors | scores
