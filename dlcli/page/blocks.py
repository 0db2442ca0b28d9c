"""The elements of a report, without a layout: sections of texts, facts, tables and pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from markupsafe import Markup

from dlcli.formatting import number


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: the figure.
        low: lower end of the interval; None if there is none.
        high: upper end of the interval.
        is_mean: whether it is a mean over folds or seeds, whose interval is symmetric unless a bound clips it.
    """

    value: float
    low: float | None = None
    high: float | None = None
    is_mean: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None and self.high is not None and math.isfinite(self.high - self.low)

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval, before it was clipped to the metric's bounds; None without an interval."""
        if self.low is None or self.high is None or not self.has_interval:
            return None
        return max(self.value - self.low, self.high - self.value)

    def interval_text(self) -> str:
        """Return the interval as `0.74 to 0.99`, or an empty text."""
        if self.low is None or self.high is None or not self.has_interval:
            return ""
        return f"{shown_number(self.low)} to {shown_number(self.high)}"


Cell = str | float | Estimate | None


def shown_number(value: float) -> str:
    """Return a number with four significant digits, and a separator of thousands."""
    if math.isfinite(value) and 999.5 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return number(float(value))


def cell_text(cell: Cell) -> str:
    """Return a cell as text; for an estimate, the figure only."""
    if cell is None:
        return "\u2013"
    if isinstance(cell, Estimate):
        return shown_number(cell.value)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return shown_number(cell) if isinstance(cell, float) else cell


@dataclass(frozen=True)
class Prose:
    """A paragraph.

    Attributes:
        text: the text; line feeds are preserved.
        tone: plain, a quiet remark, a warning, or an error.
        hint: the remedy.
    """

    text: str
    tone: Literal["plain", "quiet", "warning", "error"] = "plain"
    hint: str = ""
    kind: str = field(default="prose", init=False)


@dataclass(frozen=True)
class Facts:
    """A list of names with texts."""

    rows: dict[str, str]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True)
class Figures:
    """A table.

    Attributes:
        name: short name, which becomes part of labels: `folds`.
        title: contents of the table, and the object they refer to.
        heading: one text per column; text after a line feed is shown below in small letters.
        rows: a cell for each column.
        note: a sentence below the table.
        marked: the rows that are marked, such as the best trial.
        many: show only this many rows at first; 0 for all.
        keys: names of the columns in JSON and CSV; by default the headings.
    """

    name: str
    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    marked: frozenset[int] = frozenset()
    many: int = 0
    keys: tuple[str, ...] = ()
    kind: str = field(default="table", init=False)

    def is_numeric(self, column: int) -> bool:
        """Return whether a column holds numbers, which are right-aligned."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return bool(cells) and not any(isinstance(cell, str) for cell in cells)

    def columns(self) -> list[str]:
        """Return the name of each column for JSON and CSV; a repeated name is qualified by the column before it."""
        if self.keys:
            return list(self.keys)
        found: list[str] = []
        for text in self.heading:
            name = text.replace("\n", ", ")
            found.append(f"{name} of {found[-1]}" if found and self.heading.count(text) > 1 else name)
        return found

    def transposed(self, corner: str) -> Figures:
        """Return the transposed table; `corner` is the heading of the first column."""
        columns = list(zip(*self.rows, strict=True))
        rows = tuple((name, *cells) for name, cells in zip(self.heading[1:], columns[1:], strict=True))
        return replace(
            self, heading=(corner, *map(cell_text, columns[0])), rows=rows, marked=frozenset(), keys=()
        )

    def to_json(self) -> dict[str, Any]:
        """Return the table for `--json`: for each row a mapping of column to value, including ends of intervals."""
        columns = self.columns()
        rows = []
        for row in self.rows:
            line: dict[str, Any] = {}
            for name, cell in zip(columns, row, strict=True):
                line[name] = cell.value if isinstance(cell, Estimate) else cell
                if isinstance(cell, Estimate) and cell.has_interval:
                    line[f"{name} low"], line[f"{name} high"] = cell.low, cell.high
            rows.append(line)
        return {"name": self.name, "title": self.title, "rows": rows, "note": self.note}


@dataclass(frozen=True)
class Drawing:
    """Charts as SVG, drawn by dlcli.

    Attributes:
        charts: the charts, side by side if there is space.
        note: a sentence below them.
    """

    charts: tuple[Markup, ...]
    note: str = ""
    kind: str = field(default="drawing", init=False)


@dataclass(frozen=True)
class Photograph:
    """A picture of the run as a data URI.

    Attributes:
        title: caption.
        uri: `data:image/png;base64,...`.
        width: in pixels.
        height: in pixels.
        inverts: whether its colours may be inverted in dark mode.
    """

    title: str
    uri: str
    width: int
    height: int
    inverts: bool


@dataclass(frozen=True)
class Gallery:
    """Pictures of the run."""

    pictures: tuple[Photograph, ...]
    kind: str = field(default="gallery", init=False)


@dataclass(frozen=True)
class ColouredText:
    """A text whose words are coloured.

    Attributes:
        title: title of the text.
        words: words and the characters between them, each with a number from -1 to 1, 0 for no colour.
        note: a sentence below it.
    """

    title: str
    words: tuple[tuple[str, float], ...]
    note: str = ""
    kind: str = field(default="coloured", init=False)


@dataclass(frozen=True)
class Folded:
    """A long text that is collapsed at first, and not printed."""

    title: str
    text: str
    kind: str = field(default="folded", init=False)


@dataclass(frozen=True)
class Command:
    """A command for the shell."""

    text: str
    kind: str = field(default="command", init=False)


Block = Prose | Facts | Figures | Drawing | Gallery | ColouredText | Folded | Command


@dataclass(frozen=True)
class Section:
    """A section of the page; a section without blocks is left out."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """The section's ID in links."""
        return self.title.lower().replace(" ", "-")


@dataclass(frozen=True)
class Page:
    """A whole report.

    Attributes:
        title: the name of the run, or of the runs.
        kicker: kind of run, shown above the title.
        lead: summary of the run, in sentences.
        keys: the key figures: label to text.
        sections: the sections.
        run_ids: IDs of the runs.
        made: date and version of dlcli, for the foot of the page.
        is_judged: whether the first key figure is the run's result.
    """

    title: str
    kicker: str
    lead: tuple[Prose, ...]
    keys: tuple[tuple[str, str, str], ...]
    sections: tuple[Section, ...]
    run_ids: tuple[str, ...]
    made: str
    is_judged: bool = False

    def tables(self) -> list[Figures]:
        """Return all tables."""
        return [block for section in self.sections for block in section.blocks if isinstance(block, Figures)]
