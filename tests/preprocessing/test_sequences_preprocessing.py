"""New sequences are read like the training sequences; errors name the place of those that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.datasets import sequences
from dlcli.datasets.ragged_rows import RaggedRows
from dlcli.errors import DataError
from dlcli.preprocessing.sequences import Sequences

# "11:00" sorts before "8:00" if times are compared as strings.
TIMES = [f"2024/1/5 {hour}:00" for hour in (8, 9, 10, 11)]


def steps(rows: int = 3) -> pd.DataFrame:
    """Return sequences of four steps with three features."""
    one = pd.DataFrame({"at": TIMES, "a": np.arange(4.0), "b": 1.0, "c": -np.arange(4.0)})
    tables = [one.assign(who=f"s{row}", a=one["a"] + 10 * row, kind="xy"[row % 2]) for row in range(rows)]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def training(tmp_path: Path) -> RaggedRows:
    path = tmp_path / "steps.csv"
    steps().to_csv(path, index=False)
    return sequences.load(str(path), id="who", target="kind", time="at").x


@pytest.fixture
def fitted(training: RaggedRows) -> Sequences:
    return Sequences(scaling="none").fit(training)


@pytest.fixture
def expected(fitted: Sequences, training: RaggedRows) -> np.ndarray:
    return fitted.transform(training)["x"]


def test_new_steps_are_ordered_as_in_the_training(fitted: Sequences, expected: np.ndarray) -> None:
    assert expected[0, :, 0].tolist() == [0, 1, 2, 3]
    shuffled = steps().iloc[[0, 4, 8, 3, 2, 1, 11, 10, 9, 7, 6, 5]]
    assert np.array_equal(fitted.transform(shuffled)["x"], expected)
    dates = shuffled.assign(at=pd.to_datetime(shuffled["at"]))
    assert np.array_equal(fitted.transform(dates)["x"], expected)


def test_numeric_strings_are_numbers_and_an_array_is_rows(fitted: Sequences, expected: np.ndarray) -> None:
    assert np.array_equal(fitted.transform(steps().astype({"a": str}))["x"], expected)
    assert np.array_equal(fitted.transform(expected)["x"], expected)
    assert np.array_equal(fitted.transform(expected[1])["x"], expected[1:2])
    assert fitted.transform(steps().head(0))["x"].shape == (0, 4, 3)


def edited(column: str, value: Any) -> pd.DataFrame:
    frame = steps().astype({column: object})
    frame.loc[5, column] = value
    return frame


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (edited("a", "much"), "new data: row 6, column a: 'much' is not a number"),
        (edited("a", None), "new data: row 6, column a: a value is missing"),
        (edited("a", np.inf), "new data: row 6, column a: 'inf' is infinite"),
        (edited("who", None), "new data: row 6, column who: the id is missing"),
        (edited("at", None), "new data: row 6, column at: the time is missing"),
        (edited("at", TIMES[0]), "new data: row 6, column at: 2024/1/5 8:00 occurs twice in one sequence"),
        (steps().rename(columns={"c": "cc"}), "new data: there is no column c\n  Did you mean cc?"),
        (np.zeros((2, 4, 1)), "new data: the array has shape (2, 4, 1); the model needs (rows, steps, 3)"),
        (np.zeros((4, 2)), "new data: the array has shape (4, 2); the model needs (rows, steps, 3)"),
        (np.zeros(4), "new data: the array has shape (4,); the model needs (rows, steps, 3)"),
        (np.zeros((2, 0, 3)), "new data: the array has shape (2, 0, 3); the model needs (rows, steps, 3)"),
        (np.full((2, 4, 3), "x"), "new data: the array contains values that are not numbers"),
        (np.full((2, 4, 3), np.nan), "new data: row 0, step 0, column a: a value is missing"),
        (np.full((2, 4, 3), np.inf), "new data: row 0, step 0, column a: a value is infinite"),
    ],
    ids=[
        *("word", "missing", "infinite", "id", "time", "twice", "column", "features", "one row's features"),
        *("one number a step", "no steps", "words", "array missing", "array infinite"),
    ],
)
def test_invalid_rows_are_reported(rows: Any, message: str, fitted: Sequences) -> None:
    with pytest.raises(DataError) as caught:
        fitted.transform(rows)
    assert str(caught.value).startswith(message)


def test_an_array_of_sequences_is_scaled_like_steps_of_a_table() -> None:
    x = np.random.default_rng(0).normal(3, 5, size=(6, 4, 2))
    fitted = Sequences().fit(x)
    expected = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
    assert fitted.transform(x)["x"] == pytest.approx(expected, abs=1e-5)
    assert fitted.rows_seen_ == 6
    with pytest.raises(DataError, match="has 3 steps, but all training sequences have 4"):
        fitted.transform(x[:, :3])
