"""Fitting on some rows of a table without a copy of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlcli.datasets.table import load
from dlcli.preprocessing.fitted import fit_preprocessing
from dlcli.preprocessing.table import Table
from dlcli.splits.split import Split

ROWS = np.arange(1, 80, 2)


def test_a_table_is_fitted_on_some_rows_as_on_their_copy(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    lines = [
        f"{row},{'' if row % 4 else row % 3},{'ab'[row % 2]},202{row % 5}-03-0{1 + row % 9},{row / 3}"
        for row in range(90)
    ]
    file.write_text("\n".join(["n,empty,word,date,y", *lines]))
    x = load(str(file), "y").x
    alone, direct = Table().fit(x.iloc[ROWS]), Table().fit_on(x, ROWS)
    np.testing.assert_array_equal(alone.transform(x)["x"], direct.transform(x)["x"])
    assert alone.left_out_ == direct.left_out_ == {"empty": "empty in the training rows"}
    assert direct.columns_ == ["n", "word", "date"]
    assert direct.rows_seen_ == len(ROWS)


def test_kinds_of_a_table_in_memory_follow_from_the_rows_that_are_fitted() -> None:
    words = [f"word{row}" if row % 2 else "same" for row in range(300)]
    x = pd.DataFrame({"n": np.arange(300.0), "words": words})
    assert "words" in Table(texts="words").fit_on(x, np.arange(0, 300, 2)).columns_
    assert Table(texts="words").fit_on(x, np.arange(1, 300, 2)).left_out_ == {"words": "identifier"}


def test_whether_a_column_of_a_file_is_text_depends_on_no_split(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    # Two words in 60 rows of 100, but in none of the training rows.
    lines = [f"word{row} {row if row >= 40 else ''},code{row},{row / 3}" for row in range(100)]
    file.write_text("\n".join(["said,code,y", *lines]))
    data = load(str(file), "y", types={"code": "text"})
    assert data.columns is not None and data.columns.left_out() == {}
    fitted = Table(texts="words", text_directions=2).fit_on(data.x, np.arange(40))
    assert fitted.needed_columns() == {"said": "text", "code": "text"}
    assert Table(texts="words", missing="drop").kept_rows(data.x.iloc[:40], data.y[:40]).all()
    assert Table(texts="drop").kept_rows(data.x, data.y).all()


def test_rows_are_copied_only_if_some_may_be_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(["n,y", *(f"{row},{row / 3}" for row in range(90))]))
    data = load(str(file), "y")
    split = Split(ROWS, ROWS[:0], ROWS[:0])
    asked: list[int] = []
    monkeypatch.setattr(Table, "kept_rows", lambda self, x, y: asked.append(len(x)) or np.arange(len(x)) > 0)
    assert len(fit_preprocessing(Table(), data, split).rows) == len(ROWS)
    assert asked == []
    assert len(fit_preprocessing(Table(duplicates="drop"), data, split).rows) == len(ROWS) - 1
    assert asked == [len(ROWS)]
