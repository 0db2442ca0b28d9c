"""Tables whose transformed rows do not fit into memory."""

from __future__ import annotations

from pathlib import Path

import pytest

import dlcli
from dlcli.assembly import room
from dlcli.errors import DataError


def written(folder: Path, words: int) -> list[str]:
    file = folder / "rows.csv"
    lines = [f"w{row % words},{row % 7},{row % 2}" for row in range(400)]
    file.write_text("\n".join(["word,n,y", *lines]))
    return [
        "dataset=table",
        f"dataset.path={file}",
        "dataset.target=y",
        "model=mlp",
        f"runs_dir={folder / 'runs'}",
    ]


def test_a_word_column_that_becomes_too_many_columns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_memory", lambda: 10_000)
    with pytest.raises(DataError) as error:
        dlcli.check(written(tmp_path, 20))
    (problem,) = error.value.problems
    assert problem.where == "preprocessing.categorical"
    assert problem.message == (
        "320 rows of 84 B need 26.9 kB of memory, 10 kB are free: "
        "column word becomes 20 columns, one for each category"
    )
    assert "dataset.drop=[word]" in problem.hint


def test_few_columns_of_words_are_not_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_memory", lambda: 1000)
    with pytest.raises(DataError, match=r"of memory, 1 kB are free\n") as error:
        dlcli.check([*written(tmp_path, 150), "preprocessing.categorical=embedding"])
    assert error.value.problems[0].where == "dataset"
