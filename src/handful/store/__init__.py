"""Features on disk, keyed by what made them and by what the picture is, never by where it lies.

A *space* is everything two features must share to be compared: the encoder's fingerprint, the
precision it computed in and, for averaged views, their number and seed. Within a space a row is
found by the digest of the image's content.

Activations, what enters the first tuned block of an encoder, are kept beside them; their space also
names the block and the view.
"""

from handful.store._activations import ActivationStore
from handful.store._both import Cleared, check, prune
from handful.store._common import Health, Pruned
from handful.store._database import default_folder
from handful.store._rooms import Room
from handful.store._spaces import activation_space, space
from handful.store._store import FILE, FeatureStore
from handful.store._upkeep import Space

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
