"""Numbers and photos to something to look at: tables, figures, files; it computes none of them."""

from handful.report.report import (
    check_folder,
    comparison_figure,
    comparison_markdown,
    confusion_figure,
    matrix_figure,
    png,
    reliability_figure,
    save,
    title,
)

__all__ = [
    "check_folder",
    "comparison_figure",
    "comparison_markdown",
    "confusion_figure",
    "matrix_figure",
    "png",
    "reliability_figure",
    "save",
    "title",
]
