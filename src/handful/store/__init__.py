"""Features on disk, keyed by what made them and by what the picture is, never by where it lies.

A *space* is everything two features must share to be compared: the encoder's fingerprint, the
precision it computed in and, for averaged views, their number and seed. Within a space a row is
found by the digest of the image's content.
"""

from handful.store._database import FILE, default_folder
from handful.store._store import FeatureStore, space
from handful.store._upkeep import Health, Pruned, Space

__all__ = ["FILE", "FeatureStore", "Health", "Pruned", "Space", "default_folder", "space"]
