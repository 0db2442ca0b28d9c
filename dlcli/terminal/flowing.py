"""Lay out a table of many rows for any width: columns that do not fit on a line are indented on the next one.

Cells are not shortened or broken, so that names can be copied; a cell that is wider than the screen is wrapped by the
terminal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

_GAP = 2
_INDENT = 2


def flowing(
    rows: Sequence[Mapping[str, str]], width: int, right: Collection[str] = frozenset()
) -> Iterator[str]:
    """Yield the lines of a table: its headings, then each row.

    Args:
        rows: cells by heading; all rows have the same headings.
        width: columns of the screen.
        right: headings of right-aligned columns.
    """
    from rich.cells import cell_len

    if not rows:
        return
    widths = {name: max(cell_len(name), *(cell_len(row[name]) for row in rows)) for name in rows[0]}
    lines = _lines(widths, width)
    for row in ({name: name for name in widths}, *rows):
        for number, names in enumerate(lines):
            cells = []
            for name in names:
                blanks = " " * (widths[name] - cell_len(row[name]))
                cells.append(f"{blanks}{row[name]}" if name in right else f"{row[name]}{blanks}")
            yield (" " * (_INDENT if number else 0) + (" " * _GAP).join(cells)).rstrip()


def _lines(widths: Mapping[str, int], width: int) -> list[list[str]]:
    """Return the columns of each line."""
    lines: list[list[str]] = []
    used = 0
    for name, size in widths.items():
        if not lines or used + _GAP + size > width:
            lines.append([])
            used = _INDENT - _GAP if len(lines) > 1 else -_GAP
        lines[-1].append(name)
        used += _GAP + size
    return lines
