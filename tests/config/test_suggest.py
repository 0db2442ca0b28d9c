"""Suggestions for misspelt names of files."""

from __future__ import annotations

import pytest

from dlcli.config.suggest import near_files

FILES = ["birds.csv", "birds.tsv", "new_c.csv", "train", "notes.txt"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("nope.csv", []),
        ("brids.csv", ["birds.csv", "birds.tsv"]),
        ("birds.cvs", ["birds.csv", "birds.tsv"]),
        ("birds", ["birds.csv", "birds.tsv"]),
        ("new_b.csv", ["new_c.csv"]),
        ("train.csv", ["train"]),
        (".csv", []),
        ("", []),
    ],
)
def test_an_ending_makes_no_file_alike(name: str, near: list[str]) -> None:
    assert near_files(name, FILES) == near
