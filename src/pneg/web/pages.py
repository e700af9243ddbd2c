"""What the pages share: templates with one stylesheet, and plots that can be read in light and in dark."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pneg.errors import needs

INK = "#010203"
"""Drawn in the page's own colour of text, whatever that is."""
SOFT = "#7d8796"
"""Drawn in the same grey on light and dark ground: 3.6 to 1 against white, 4.5 to 1 against the dark paper."""


def rendered(template: str, extra: str, **values: Any) -> str:
    """A page: one HTML file that needs nothing else.

    Args:
        template: its name in the folder `templates`.
        extra: the extra that brings the template engine along.
        values: what the template shows.
    """
    with needs(extra):
        import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pneg.web"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**values)


@contextmanager
def drawing(width: float, height: float, extra: str) -> Iterator[Any]:
    """A figure of `matplotlib` to draw on, whose text stays text.

    Args:
        width: in inches.
        height: in inches.
        extra: the extra that brings `matplotlib` along.
    """
    with needs(extra):
        from matplotlib import rc_context
        from matplotlib.figure import Figure

    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    settings: Any = {
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 11,
        "svg.hashsalt": "pneg",
        **dict.fromkeys(inked, INK),
    }
    with rc_context(settings):
        yield Figure(figsize=(width, height), layout="constrained")


def svg(figure: Any) -> str:
    """The figure as an element of a page, without a ground of its own; the same each time."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    text = drawn.getvalue()
    return text[text.index("<svg") :].replace(INK, "currentColor")
