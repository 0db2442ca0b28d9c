"""Evaluation on a file that holds rows which the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

import dlcli
from dlcli.splits.split import Split

ROWS, TRAINED = 60, "trained_before"
WORDS = ["dataset=table", "dataset.path=t.csv", "dataset.target=y", "model=mlp", "trainer.max_epochs=1"]
FOLDS = ["cv=kfold", "cv.folds=2", "cv.test_size=0.2"]


def again(run: str, file: str) -> float:
    found = dlcli.evaluate(run, file=file).notices
    return sum(notice["count"] for notice in found if notice["key"] == TRAINED)


@pytest.mark.parametrize(
    ("words", "trained"),
    [
        ([], 41),
        (["cv.refit=true"], 48),
        (FOLDS, 40),
        ([*FOLDS, "cv.refit=true"], 48),
        (["optimizer.lr=0.1,0.01"], 48),
    ],
)
def test_rows_that_the_model_was_trained_on_are_told(
    words: Sequence[str], trained: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame(
        {"a": range(ROWS), "b": ["u", "v", "w"] * (ROWS // 3), "y": [0.5 * row for row in range(ROWS)]}
    )
    table.to_csv("t.csv", index=False)
    make = dlcli.sweep if any("lr=" in word for word in words) else dlcli.train
    result = make([*WORDS, *words, "run_name=one"])
    table[["y", "b", "a"]].iloc[::-1].to_csv("copy.csv", index=False)
    assert again("one", "copy.csv") == trained
    table.assign(a=table.a + ROWS).to_csv("new.csv", index=False)
    assert again("one", "new.csv") == 0
    if not words:
        rows = Split.load(result.run_dir / "split.npz").train
        assert len(rows) == trained
        table.iloc[rows[:7]].to_csv("few.csv", index=False)
        assert again("one", "few.csv") == 7
        told = dlcli.evaluate("one", file="few.csv").messages
        assert "7 of 7 rows are also among the training rows of the model, value for value." in told
        Path("t.csv").unlink()  # as on another machine
        assert again("one", "few.csv") == 0
