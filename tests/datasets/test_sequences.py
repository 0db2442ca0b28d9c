"""Sequences in a table of steps: of equal and unequal length, out of order, and invalid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.datasets import sequences
from dlcli.datasets.data import Data
from dlcli.datasets.shared_memory import SharedData, read_shared
from dlcli.errors import DataError


def steps(lengths: list[int]) -> pd.DataFrame:
    """Return sequences whose values count up; the class is whether the number of the sequence is odd."""
    rows = [
        {
            "who": f"s{number}",
            "at": step,
            "a": number * 100.0 + step,
            "b": -step,
            "kind": ("even", "odd")[number % 2],
        }
        for number, length in enumerate(lengths)
        for step in range(length)
    ]
    return pd.DataFrame(rows)


def load(frame: pd.DataFrame, folder: Path, **arguments: Any) -> Data:
    path = folder / "gestures.csv"
    frame.to_csv(path, index=False)
    return sequences.load(str(path), **{"id": "who", "target": "kind", "time": "at", **arguments})


def test_steps_are_grouped_and_ordered(tmp_path: Path) -> None:
    frame = steps([3, 1, 4])
    shuffled = frame.iloc[[7, 0, 3, 2, 5, 1, 6, 4]]
    data = load(shuffled, tmp_path)
    assert data.kind == "sequence"
    assert data.target_kind == "binary"
    assert data.x.columns == ("a", "b")
    assert data.x.shape == (3, 0, 2)
    # In the order of their first step in the file.
    assert data.x.lengths.tolist() == [4, 3, 1]
    assert data.x.flat()[:, 0].tolist() == [200, 201, 202, 203, 0, 1, 2, 100]
    assert [data.classes[code] for code in data.y] == ["even", "even", "odd"]
    assert data.x[[2, 0]].flat()[:, 0].tolist() == [100, 200, 201, 202, 203]


def test_classes_and_numbers_that_may_denote_a_missing_value_are_reported(tmp_path: Path) -> None:
    frame = steps([3, 2, 4]).replace({"kind": {"odd": "unknown"}, "a": {102.0: -999, 1.0: -999}})
    told = load(frame.assign(b=1), tmp_path).notices
    assert [(notice.key, notice.count) for notice in told] == [("sentinels", 1), ("missing_words", 1)]


def test_a_common_length_is_recorded(tmp_path: Path) -> None:
    data = load(steps([5, 5, 5, 5]), tmp_path)
    assert data.x.shape == (4, 5, 2)
    assert data.x[[1]].shape == (1, 5, 2)
    assert load(steps([5, 4, 5, 5]), tmp_path).x[[0, 2]].shape == (2, 0, 2)


def test_ids_of_a_test_file_are_independent(tmp_path: Path) -> None:
    steps([2, 4]).to_csv(tmp_path / "later.csv", index=False)
    data = load(steps([3, 1, 4]), tmp_path, test_path=str(tmp_path / "later.csv"))
    assert (data.test_rows.tolist(), data.x.lengths.tolist()) == ([3, 4], [3, 1, 4, 2, 4])
    assert [data.classes[code] for code in data.y] == ["even", "odd", "even", "even", "odd"]
    later = steps([2, 4])
    later.loc[3, "a"] = np.nan
    later.to_csv(tmp_path / "later.csv", index=False)
    with pytest.raises(DataError, match=r"later\.csv:5, column a: a value is missing"):
        load(steps([3, 1, 4]), tmp_path, test_path=str(tmp_path / "later.csv"))


def test_numbers_are_regression(tmp_path: Path) -> None:
    frame = steps([3, 4, 5])
    frame["score"] = frame.who.map({"s0": 0.5, "s1": 1.25, "s2": -3.0})
    data = load(frame, tmp_path, target="score", inputs=["a"], time=None)
    assert data.target_kind == "regression"
    assert data.y.tolist() == [0.5, 1.25, -3.0]
    assert data.x.columns == ("a",)


def test_sequences_may_have_several_targets(tmp_path: Path) -> None:
    frame = steps([3, 4, 5])
    frame["score"], frame["long"] = (
        frame.who.map({"s0": 0.5, "s1": 1.25, "s2": -3.0}),
        (frame.who != "s0") * 1,
    )
    frame["odd"] = frame.kind.eq("odd") * 1
    data = load(frame, tmp_path, target=["odd", "long"], inputs=["a"])
    assert (data.target_kind, data.classes) == ("multilabel", ("odd", "long"))
    assert data.y.tolist() == frame.groupby("who")[["odd", "long"]].first().to_numpy().tolist()
    data = load(frame, tmp_path, target=["score", "long"], inputs=["a", "b"])
    assert (data.target_kind, data.targets, data.y[1].tolist()) == (
        "regression",
        ("score", "long"),
        [1.25, 1],
    )
    frame["tags"] = frame.who.map({"s0": "up", "s1": "up|on", "s2": ""})
    frame[frame.who == "s1"].drop(columns="kind").to_csv(tmp_path / "later.csv", index=False)
    words = {"target": "tags", "inputs": ["a"], "label_separator": "|"}
    data = load(frame.drop(columns="kind"), tmp_path, test_path=str(tmp_path / "later.csv"), **words)
    assert (data.classes, data.y.tolist()) == (("on", "up"), [[0, 1], [1, 1], [0, 0], [1, 1]])
    frame.loc[4, "long"] = 0
    with pytest.raises(
        DataError, match=r"gestures.csv:6, column long.*\n?.*the sequence s1 has two targets, 1 and 0"
    ):
        load(frame, tmp_path, target=["odd", "long"], inputs=["a"])


def test_workers_receive_the_same_rows(tmp_path: Path) -> None:
    data = load(steps([3, 1, 4]), tmp_path)
    shared = SharedData(data, tmp_path)
    assert read_shared(shared.fd).fingerprint == data.fingerprint
    assert load(steps([3, 1, 4]), tmp_path).fingerprint == data.fingerprint
    assert load(steps([3, 2, 3]), tmp_path).fingerprint != data.fingerprint
    shared.close()


def edited(row: int, column: str, value: Any) -> pd.DataFrame:
    frame = steps([3, 4, 5]).astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "where", "message"),
    [
        pytest.param(edited(4, "a", None), ":6, column a", "a value is missing", id="missing"),
        pytest.param(edited(4, "a", "much"), ":6, column a", "'much' is not a number", id="text"),
        pytest.param(edited(4, "at", 2), ":7, column at", "2 occurs twice in one sequence", id="twice"),
        pytest.param(
            edited(4, "kind", "even"), ":6, column kind", "the sequence s1 has two targets, odd and even", id="label"
        ),
        pytest.param(edited(4, "who", None), ":6, column who", "a value is missing", id="id"),
    ],
)  # fmt: skip
def test_invalid_data_is_reported(frame: pd.DataFrame, where: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(frame, tmp_path)
    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.where == f"{tmp_path / 'gestures.csv'}{where}"
    assert problem.hint


def test_missing_columns_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column whom in gestures\.csv\n.*Did you mean who"):
        load(steps([3, 4]), tmp_path, id="whom")
    with pytest.raises(DataError, match=r"there is no column left in gestures\.csv"):
        load(steps([3, 4])[["who", "at", "kind"]], tmp_path)


def test_all_steps_are_kept(tmp_path: Path) -> None:
    lengths = np.random.default_rng(0).integers(1, 9, size=40).tolist()
    data = load(steps(lengths), tmp_path)
    assert data.x.lengths.tolist() == lengths
    assert len(data.x.flat()) == sum(lengths)
