"""Images and labels in: `load` a source, `decode` an image, `draw` a few of each class.

The functions `folder`, `table`, `multi_label_table` and `coop` have their modules' names; import
what else is in those modules as `from handful.data.folder import find`.
"""

from handful.data import augment
from handful.data.classes import (
    RESERVED,
    class_words,
    first_reasons,
    is_reserved,
    require_images,
    separate_reserved,
)
from handful.data.coop import coop
from handful.data.dataset import Dataset, MultiLabelDataset
from handful.data.decoding import decode
from handful.data.feature_files import feature_file, save_features
from handful.data.features import FeatureSet
from handful.data.folder import find, folder
from handful.data.multi_label_table import multi_label_table
from handful.data.sources import load, short_name, split_or_all
from handful.data.splits import draw, holdout, leaks, recall, record, rest
from handful.data.table import table
from handful.data.tip_cache import is_tip_cache, load_features, tip_cache

__all__ = [
    "RESERVED",
    "Dataset",
    "FeatureSet",
    "MultiLabelDataset",
    "augment",
    "class_words",
    "coop",
    "decode",
    "draw",
    "feature_file",
    "find",
    "first_reasons",
    "folder",
    "holdout",
    "is_reserved",
    "is_tip_cache",
    "leaks",
    "load",
    "load_features",
    "multi_label_table",
    "recall",
    "record",
    "require_images",
    "rest",
    "save_features",
    "separate_reserved",
    "short_name",
    "split_or_all",
    "table",
    "tip_cache",
]
