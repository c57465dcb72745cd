"""Images and labels in: `load` a source, `decode` an image, `draw` a few of each class.

The functions `folder`, `table` and `coop` have their modules' names; import from the modules with
`from handful.data.folder import find`.
"""

from handful.data import augment
from handful.data._load import load
from handful.data.coop import coop
from handful.data.dataset import Dataset
from handful.data.folder import find, folder
from handful.data.images import decode
from handful.data.splits import draw, holdout, leaks, recall, record, rest
from handful.data.table import table

__all__ = [
    "Dataset",
    "augment",
    "coop",
    "decode",
    "draw",
    "find",
    "folder",
    "holdout",
    "leaks",
    "load",
    "recall",
    "record",
    "rest",
    "table",
]
