"""Images to features, or to the activations that enter a block; computed once, kept on disk."""

from handful.features._threads import processors
from handful.features.activations import Activations, extract_activations
from handful.features.batching import BATCH, Failure, Progress
from handful.features.extraction import Extraction, extract_features

__all__ = [
    "BATCH",
    "Activations",
    "Extraction",
    "Failure",
    "Progress",
    "extract_activations",
    "extract_features",
    "processors",
]
