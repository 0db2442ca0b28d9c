"""Tables of many rows on narrow screens."""

from __future__ import annotations

import pytest

from dlcli.terminal.flowing import flowing

ROWS = [
    {"name": "cnn-digits-56ce", "status": "FINISHED", "figure": "test/accuracy 0.9777", "size": "651 kB"},
    {"name": "é" * 3 + "表", "status": "FAILED", "figure": "", "size": "1.2 MB"},
]


def test_one_line_for_a_row_where_it_fits() -> None:
    assert list(flowing(ROWS, 80, right={"size"})) == [
        "name             status    figure                  size",
        "cnn-digits-56ce  FINISHED  test/accuracy 0.9777  651 kB",
        "ééé表            FAILED                          1.2 MB",
    ]


def test_columns_continue_on_the_next_line() -> None:
    assert list(flowing(ROWS, 30, right={"size"})) == [
        "name             status",
        "  figure                  size",
        "cnn-digits-56ce  FINISHED",
        "  test/accuracy 0.9777  651 kB",
        "ééé表            FAILED",
        "                        1.2 MB",
    ]


@pytest.mark.parametrize("width", [1, 20, 60, 100])
def test_no_cell_is_broken(width: int) -> None:
    text = "\n".join(flowing(ROWS, width))
    assert all(cell in text for row in ROWS for cell in row.values())
    fits = max(len(cell) for row in ROWS for cell in row.values()) + 2
    assert width < fits or all(len(line) <= width for line in text.splitlines())


def test_a_table_without_rows_has_no_lines() -> None:
    assert list(flowing([], 80)) == []
