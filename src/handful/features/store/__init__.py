"""Features on disk, keyed by what made them and by what the picture is, never by where it lies.

A *space* is everything two features must share to be compared: the encoder's fingerprint, the
precision it computed in and, for averaged views, their number and seed. Within a space a row is
found by the digest of the image's content.

Activations, what enters the first tuned block of an encoder, are kept beside them; their space also
names the block and the view.
"""

from handful.features.store.activation_store import ActivationStore
from handful.features.store.common import Health, Pruned
from handful.features.store.database import default_folder
from handful.features.store.feature_store import FILE, FeatureStore
from handful.features.store.housekeeping import Cleared, check, prune
from handful.features.store.row_files import Room
from handful.features.store.spaces import activation_space, space
from handful.features.store.upkeep import Space

__all__ = [
    "FILE",
    "ActivationStore",
    "Cleared",
    "FeatureStore",
    "Health",
    "Pruned",
    "Room",
    "Space",
    "activation_space",
    "check",
    "default_folder",
    "prune",
    "space",
]
