"""The separator of a text file, and whether its first line is a header."""

from __future__ import annotations

import pytest

from dlcli.datasets.tables.dialect import sniff


@pytest.mark.parametrize(
    ("lines", "separator", "header"),
    [
        (["a;b", "1;2,5", "3;4,5"], ";", True),
        (["1,2", "3,4"], ",", False),
        (["Ada,Rome", "Bob,Oslo", "Ada,Rome"], ",", False),  # a word of the first line occurs again
        (["a,b", "a,1", "c,2"], ",", False),
        (["a,b", "a,1", "c,2", "a,3"], ",", True),  # above at least three numbers
        ([",name", ",Ada", ",Bob"], ",", True),  # empty cells are no words
        ([], ",", False),
    ],
)
def test_the_separator_and_the_header_are_detected(lines: list[str], separator: str, header: bool) -> None:
    found = sniff(lines)
    assert (found.separator if lines else separator, found.header) == (separator, header)
