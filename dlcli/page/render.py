"""Render a report as one self-contained HTML file, which loads and executes nothing."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dlcli.page.blocks import Cell, Estimate, Page, cell_text
from dlcli.sanitize.presentable import presentable

_TEMPLATES = Path(__file__).parent / "templates"

# The beginning of a report's file, by which later commands recognize it.
GENERATOR = '<meta name="generator" content="dlcli report">'

# Maximum number of characters of a collapsed text.
_FOLDED = 400_000


def page_html(page: Page) -> str:
    """Return the page as HTML."""
    css = Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return _environment().get_template("report.html").render(page=page, css=css, generator=Markup(GENERATOR))


def fragment_html(page: Page) -> str:
    """Return the head and the sections of a page as HTML for use within another page, such as a notebook."""
    css = Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return _environment().get_template("fragment.html").render(page=page, css=css)


@cache
def _environment() -> Environment:
    """Return jinja's environment: secrets and control characters are removed from every text, then it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_presented,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    environment.filters["breakable"] = _breakable
    environment.filters["whole"] = _whole
    environment.filters["safe_uri"] = _safe_uri
    environment.tests["estimate"] = _is_estimate
    return environment


def _presented(value: Any) -> Any:
    return value if isinstance(value, Markup) else presentable(str(value))


def _is_estimate(cell: Cell) -> bool:
    return isinstance(cell, Estimate) and cell.has_interval


def _cell(cell: Cell) -> str | Markup:
    return _breakable(cell) if isinstance(cell, str) else cell_text(cell)


def _breakable(text: str) -> Markup:
    """Return a name with optional line breaks after its separators."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/=,])(?!(?<=\d[.,])\d)", presentable(str(text))))


def _safe_uri(uri: str) -> Markup:
    """Return the data URI of a picture, which need not be searched for secrets.

    Raises:
        ValueError: It is not a data URI of a PNG file.
    """
    if not re.fullmatch(r"data:image/png;base64,[A-Za-z0-9+/=]+", uri):
        raise ValueError("not a picture")
    return Markup(uri)


def _whole(text: str) -> Markup:
    """Return a long text of many lines, from each of which secrets and control characters are removed."""
    lines = text[:_FOLDED].split("\n")
    more = [f"... {len(text) - _FOLDED:,} more characters"] if len(text) > _FOLDED else []
    return Markup("\n").join(presentable(line) for line in [*lines, *more])
