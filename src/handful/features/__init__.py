"""Images to features, or to the activations that enter a block; kept on disk, computed once."""

from handful.features.activations import extract_activations
from handful.features.encoding import Progress
from handful.features.extraction import Extraction, extract_features
from handful.features.results import BATCH, Activations, Failure
from handful.features.threads import processors

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
