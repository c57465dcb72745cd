"""Features and activations on disk, keyed by what made them and by the content of the image.

A *space* is everything two features must share to be compared: the encoder's fingerprint, the
precision it computed in and, for averaged views, their number and seed. Within a space a row is
found by the digest of the image's content, never by the path of a file.

Activations, what enters the first tuned block of an encoder, are kept beside the features; their
space also names the block and the view.
"""

from handful.features.store.activation_store import ActivationStore
from handful.features.store.base import Health, Pruned
from handful.features.store.database import default_folder
from handful.features.store.feature_store import FILE, FeatureStore
from handful.features.store.housekeeping import check, prune
from handful.features.store.spaces import Space, activation_space, space

__all__ = [
    "FILE",
    "ActivationStore",
    "FeatureStore",
    "Health",
    "Pruned",
    "Space",
    "activation_space",
    "check",
    "default_folder",
    "prune",
    "space",
]
