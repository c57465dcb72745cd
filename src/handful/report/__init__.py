"""Numbers and photos to something to look at: tables, figures, files; it computes none of them."""

from handful.report.confusion import confusion_figure, matrix_figure
from handful.report.curves import Mark, curves_figure, forest_figure
from handful.report.figures import COLOURS, new_figure, shorten
from handful.report.files import check_figure_name, check_folder, png, save
from handful.report.frames import to_frame
from handful.report.markdown import fact_lines, markdown_table, plain
from handful.report.page import jpeg_uri, render_page, svg_uri
from handful.report.photos import show_photo, show_photos
from handful.report.reliability import reliability_figure

__all__ = [
    "COLOURS",
    "Mark",
    "check_figure_name",
    "check_folder",
    "confusion_figure",
    "curves_figure",
    "fact_lines",
    "forest_figure",
    "jpeg_uri",
    "markdown_table",
    "matrix_figure",
    "new_figure",
    "plain",
    "png",
    "reliability_figure",
    "render_page",
    "save",
    "shorten",
    "show_photo",
    "show_photos",
    "svg_uri",
    "to_frame",
]
