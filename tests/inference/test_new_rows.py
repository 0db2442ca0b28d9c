"""Inputs that `predict` accepts, and errors for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlcli.errors import DataError
from dlcli.inference.rows import as_rows


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        ("new.csv", "table", r"new.csv is the name of a file, but .*\n.*pandas.read_csv\('new.csv'\)"),
        (Path("new.csv"), "sequence", r"pandas.read_csv\('new.csv'\)"),
        ("cat.png", "image", "Pass an array of images"),
        (Path("new.txt"), "tokens", "is the name of a file"),
        ("new.csv", "tokens", "is the name of a file"),
        (3, "table", "cannot be converted to a table.*\n.*DataFrame"),
    ],
)
def test_what_is_no_rows_is_told(given: Any, kind: str, told: str) -> None:
    Path("new.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=told):
        as_rows(given, kind)


def test_a_text_is_a_text() -> None:
    for text in ("Free entry!", "old.csv", "a" * 5000, "\0"):
        assert as_rows(text, "tokens") == text
