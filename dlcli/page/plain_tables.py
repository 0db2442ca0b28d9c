"""Tables of a report as Markdown, LaTeX or CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Literal

from dlcli.formatting import with_error
from dlcli.page.blocks import Cell, Estimate, Figures, cell_text
from dlcli.sanitize.presentable import presentable_name

TableFormat = Literal["md", "latex", "csv"]

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\u2013": "--",
    "\u00d7": r"$\times$",
}


def tables_text(tables: Sequence[Figures], how: TableFormat) -> str:
    """Return tables as text: `md` and `latex` with rounded numbers, `csv` with all digits and ends of intervals."""
    write = {"md": _markdown, "latex": _latex, "csv": _csv}[how]
    return "\n".join(write(table) for table in tables)


def _title(table: Figures) -> str:
    return f"{presentable_name(table.title)}." + (f" {presentable_name(table.note)}" if table.note else "")


def _heading(text: str) -> str:
    return presentable_name(text.replace("\n", ", "))


def _rounded(cell: Cell, between: str, to: str) -> str:
    if isinstance(cell, Estimate) and cell.half_width is not None:
        if cell.is_mean:
            return between.join(with_error(cell.value, cell.half_width))
        return f"{cell_text(cell)} [{cell_text(cell.low)}{to}{cell_text(cell.high)}]"
    return presentable_name(cell_text(cell))


def _markdown(table: Figures) -> str:
    columns = range(len(table.heading))
    rules = ["---:" if table.is_numeric(column) else "---" for column in columns]
    lines = [_marked_down(_heading(text)) for text in table.heading]
    rows = [
        [_marked_down(cell) if isinstance(cell, str) else _rounded(cell, " ± ", ", ") for cell in row]
        for row in table.rows
    ]
    text = [f"| {' | '.join(cells)} |" for cells in (lines, rules, *rows)]
    return "\n".join([*text, "", _marked_down(_title(table)), ""])


def _marked_down(text: str) -> str:
    """Escape a text for a cell of a Markdown table."""
    return re.sub(r"([\\|`*_<>\[\]&])", r"\\\1", presentable_name(text))


def _latex(table: Figures) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"    {' & '.join(cells)} \\\\"

    shape = "".join("r" if table.is_numeric(column) else "l" for column in range(len(table.heading)))
    lines = [
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{_escaped(_title(table))}}}",
        f"  \\label{{tab:{table.name}}}",
        f"  \\begin{{tabular}}{{{shape}}}  % booktabs",
        r"    \toprule",
        line([_escaped(_heading(text)) for text in table.heading]),
        r"    \midrule",
    ]
    for index, row in enumerate(table.rows):
        cells = [_latex_cell(cell) for cell in row]
        if index in table.marked:
            cells[0] = f"\\textbf{{{cells[0]}}}"
        lines.append(line(cells))
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def _latex_cell(cell: Cell) -> str:
    if isinstance(cell, Estimate) and cell.is_mean and cell.half_width is not None:
        value, half = with_error(cell.value, cell.half_width)
        return f"${value} \\pm {half}$".replace(",", "{,}")
    return _escaped(_rounded(cell, " ", "--" if isinstance(cell, Estimate) else " "))


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _csv(table: Figures) -> str:
    """Return the table with all digits; an estimate has three columns."""
    wide = [
        any(isinstance(row[column], Estimate) for row in table.rows) for column in range(len(table.heading))
    ]
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    heading = []
    for name, is_wide in zip(table.columns(), wide, strict=True):
        heading += [name, *([f"{name} {end}" for end in ("low", "high")] if is_wide else [])]
    write([_for_a_sheet(name) for name in heading])
    for row in table.rows:
        cells: list[object] = []
        for cell, is_wide in zip(row, wide, strict=True):
            ends = [cell.low, cell.high] if isinstance(cell, Estimate) else [None, None]
            value = cell.value if isinstance(cell, Estimate) else cell
            plain = [value, *(ends if is_wide else [])]
            cells += [
                "" if one is None else _for_a_sheet(one) if isinstance(one, str) else one for one in plain
            ]
        write(cells)
    return text.getvalue()


def _for_a_sheet(text: str) -> str:
    """Return a text in a form that a spreadsheet does not evaluate as a formula."""
    text = presentable_name(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
