"""Keys of spaces: everything that two rows must share to be compared."""

from __future__ import annotations


def space(fingerprint: str, precision: str, views: int = 1, seed: int = 0) -> str:
    """The key of a space; the seed only counts where an image has several views.

    >>> space("model:clip weights:0f", "bfloat16", views=10, seed=1)
    'model:clip weights:0f precision:bfloat16 views:10 seed:1'
    """
    key = f"{fingerprint} precision:{precision}"
    return key if views == 1 else f"{key} views:{views} seed:{seed}"


def activation_space(
    fingerprint: str,
    precision: str,
    block: int,
    *,
    tower: str = "vision",
    augmentation: str = "none",
    view: int = 0,
    seed: int = 0,
) -> str:
    """The key of a space of activations; view 0 is the picture as it is, whatever the others are.

    >>> activation_space("model:clip weights:0f", "float32", 10, augmentation="crop", view=2)
    'model:clip weights:0f precision:float32 tower:vision block:10 augmentation:crop view:2 seed:0'
    """
    key = f"{fingerprint} precision:{precision} tower:{tower} block:{block}"
    return key if view == 0 else f"{key} augmentation:{augmentation} view:{view} seed:{seed}"
