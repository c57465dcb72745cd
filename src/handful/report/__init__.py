"""Numbers and photos to something to look at: tables, figures, files; it computes none of them."""

from handful.report.figures import (
    COLOURS,
    confusion_figure,
    matrix_figure,
    new_figure,
    reliability_figure,
    shorten,
)
from handful.report.files import check_figure_name, check_folder, png, save
from handful.report.frames import to_frame
from handful.report.markdown import fact_lines, markdown_table, plain
from handful.report.photos import show_photo, show_photos

__all__ = [
    "COLOURS",
    "check_figure_name",
    "check_folder",
    "confusion_figure",
    "fact_lines",
    "markdown_table",
    "matrix_figure",
    "new_figure",
    "plain",
    "png",
    "reliability_figure",
    "save",
    "shorten",
    "show_photo",
    "show_photos",
    "to_frame",
]
