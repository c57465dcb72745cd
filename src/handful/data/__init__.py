"""Images and labels in: `load` a source, `decode` an image, `draw_shots` of each class.

The functions `folder`, `table`, `multi_label_table`, `coop` and `reading` have their modules'
names; import what else is in those modules as `from handful.data.folder import find`.
"""

from handful.data import augmentation
from handful.data._label_names import check_classes
from handful.data.classes import (
    RESERVED,
    class_words,
    clean_words,
    describe_failures,
    is_reserved,
    require_images,
    reserved_in_errors,
    separate_reserved,
)
from handful.data.coop import coop
from handful.data.dataset import Dataset, LabelledImages, MultiLabelDataset
from handful.data.decoding import decode
from handful.data.feature_files import feature_file, save_features
from handful.data.feature_set import FeatureSet
from handful.data.folder import FoundImages, find_images, folder
from handful.data.image_names import unique_names
from handful.data.in_memory import Source, read_source
from handful.data.memory_table import MemoryTable, reference
from handful.data.multi_label_table import is_multi_label_table, multi_label_table
from handful.data.photo_list import PhotoList, read_list, read_stream
from handful.data.pixels import image_ref
from handful.data.queries import images_of
from handful.data.reading import Notes, reading
from handful.data.sources import load, split_or_all, with_classes_known
from handful.data.splits import (
    draw_from_digests,
    draw_shots,
    draw_to_digests,
    holdout,
    leaks,
    remaining,
)
from handful.data.table import table
from handful.data.text import clean_name, same_name
from handful.data.tip_cache import is_tip_cache, load_features, tip_cache

__all__ = [
    "RESERVED",
    "Dataset",
    "FeatureSet",
    "FoundImages",
    "LabelledImages",
    "MemoryTable",
    "MultiLabelDataset",
    "Notes",
    "PhotoList",
    "Source",
    "augmentation",
    "check_classes",
    "class_words",
    "clean_name",
    "clean_words",
    "coop",
    "decode",
    "describe_failures",
    "draw_from_digests",
    "draw_shots",
    "draw_to_digests",
    "feature_file",
    "find_images",
    "folder",
    "holdout",
    "image_ref",
    "images_of",
    "is_multi_label_table",
    "is_reserved",
    "is_tip_cache",
    "leaks",
    "load",
    "load_features",
    "multi_label_table",
    "read_list",
    "read_source",
    "read_stream",
    "reading",
    "reference",
    "remaining",
    "require_images",
    "reserved_in_errors",
    "same_name",
    "save_features",
    "separate_reserved",
    "split_or_all",
    "table",
    "tip_cache",
    "unique_names",
    "with_classes_known",
]
