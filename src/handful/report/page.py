"""A page in one file: a template of this folder, with figures and photos inside it.

The page opens anywhere, also without a network, and runs no script. All values are escaped by the
template engine: names of classes and files come from others.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from handful.report.files import no_layout_warnings

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure
    from PIL.Image import Image

_SALT = "handful"  # of the names inside an SVG: the same figure gives the same file
_QUALITY = 82  # of JPEG


class Cell(NamedTuple):
    """A number of a table as text, and its interval, which stands below it in small."""

    value: str
    interval: str = ""


def render_page(template: str, values: Mapping[str, Any]) -> str:
    """The text of a page.

    Args:
        template: a file in `report/templates/`.
        values: by the names that the template uses; a missing one is an error.
    """
    return _environment().get_template(template).render(**values)


def svg_uri(figure: Figure) -> str:
    """A figure as the source of an `img`: an SVG whose texts stay texts, in the reader's fonts."""
    import matplotlib

    held = io.BytesIO()
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": _SALT}),
        no_layout_warnings(),
    ):
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
    return _uri("image/svg+xml", held.getvalue())


def jpeg_uri(picture: Image, most: int = 320) -> str:
    """A small picture as the source of an `img`, at most so many pixels wide and high.

    It carries no metadata of its file.
    """
    small = picture.convert("RGB")
    small.thumbnail((most, most))
    small.info.clear()
    held = io.BytesIO()
    small.save(held, "JPEG", quality=_QUALITY, optimize=True)
    return _uri("image/jpeg", held.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("handful.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
