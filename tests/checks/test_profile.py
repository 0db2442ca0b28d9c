"""Profiles of datasets, and their warnings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.checks import leaks
from dlcli.checks.profile import describe_rows, find_warnings, profile
from dlcli.datasets import text as texts
from dlcli.datasets.bundled import iris
from dlcli.datasets.data import Data, Kind
from dlcli.datasets.table import load
from dlcli.datasets.text_rows import Texts
from dlcli.datasets.windows import History, Windows
from dlcli.errors import Problem
from dlcli.splits.group_kfold import GroupKFold
from dlcli.splits.holdout import Holdout
from dlcli.splits.kfold import KFold
from dlcli.splits.leave_one_out import LeaveOneOut
from dlcli.splits.shuffle_split import ShuffleSplit
from dlcli.splits.split import Split


def warned(data: Data, splits: list[Split] | None = None) -> list[tuple[str, str]]:
    return [
        (problem.where, problem.message) for problem in find_warnings(data, splits or Holdout().splits(data))
    ]


def numbers(rows: int = 100, **columns: object) -> Data:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.normal(size=rows), "b": draw.normal(size=rows), **columns})
    return Data("t", "table", frame, draw.normal(size=rows), targets=("y",))


def test_a_profile_describes_rows_classes_and_columns() -> None:
    frame = pd.DataFrame(
        {
            "n": [1.0, None, 3.0, 4.0] * 20,
            "c": ["u", "v", "u", None] * 20,
            "d": pd.to_datetime(["2024-01-31", "2024-02-01", "2024-02-02", "2024-02-01"] * 20),
            "t": [f"text {row}" for row in range(80)],
        }
    )
    data = Data("t", "table", frame, np.arange(80) % 2, classes=("no", "yes"))
    found = profile(data, Holdout().splits(data))
    assert found.classes == {"no": 40, "yes": 40}
    assert [column.describe() for column in found.columns] == [
        "numeric, 1 to 4, mean 2.667, 20 missing",
        "categorical, 2 distinct (u 40, v 20), 20 missing",
        "date, 2024-01-31 to 2024-02-02",
        "text",
    ]


def test_nothing_to_warn_of() -> None:
    assert warned(numbers()) == []
    assert warned(iris()) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x, y: {"leak": 3 * y - 1}, "leak is the target in another unit"),
        (lambda x, y: {"leak": y - x["a"]}, "a + leak is the target"),
        (lambda x, y: {"leak": y + x["a"]}, "leak - a is the target"),
    ],
    ids=["alone", "sum", "difference"],
)
def test_columns_that_leak_the_target(make, message: str) -> None:
    data = numbers()
    leaky = Data("t", "table", data.x.assign(**make(data.x, data.y)), data.y, targets=("y",))
    assert warned(leaky) == [("target y", message)]


@pytest.mark.parametrize(
    "column",
    [
        lambda y: y * 10.0 + np.linspace(0, 1, len(y)),
        lambda y: np.where(y == 1, "u", np.where(y == 0, "v", "w")),
    ],
    ids=["ranges", "names"],
)
def test_columns_that_tell_the_class(column) -> None:
    y = np.arange(90) % 3
    data = Data("t", "table", numbers(90).x.assign(leak=column(y)), y, classes=("p", "q", "r"))
    assert warned(data) == [("target", "leak determines the class of every row")]


def test_columns_without_information() -> None:
    data = numbers(100, same=1, gone=None, id=np.arange(7, 107), key=[f"k{row}" for row in range(100)])
    assert warned(data) == [
        ("column same", "has the same value in every row"),
        ("column gone", "has no value in any row"),
        ("column id", "is a row number or an identifier, which carries no information about new rows"),
        ("column key", "is a row number or an identifier, which carries no information about new rows"),
    ]


def test_a_single_value_that_some_rows_lack_may_be_informative() -> None:
    some = np.arange(100) % 3 == 0
    data = numbers(100, mark=np.where(some, "Y", None), number=np.where(some, 1.0, np.nan))
    (found,) = find_warnings(data, Holdout().splits(data))
    assert (found.where, found.message) == ("column number", "has the same value in every row that has one")
    assert "preprocessing.missing_indicator=true" in str(found.hint)


def test_a_rare_value_that_the_sample_lacks_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcli.checks.profile._ROWS", 50)
    assert warned(numbers(100, rare=np.arange(100) == 51)) == []


def test_rows_that_are_trained_on_and_judged() -> None:
    data = numbers()
    twice = Data("t", "table", pd.concat([data.x] * 2, ignore_index=True), np.tile(data.y, 2), targets=("y",))
    rows = np.arange(200)
    assert warned(twice, [Split(rows[:100], rows[:0], rows[100:])]) == [
        ("dataset", "100 of 100 final test rows are also among the training rows, value for value")
    ]
    assert warned(twice, [Split(rows[:50], rows[150:], rows[50:100])]) == []


@pytest.mark.parametrize(("part", "name"), [(1, "val"), (2, "final test")])
def test_a_few_columns_of_a_large_table_hide_no_duplicates(
    part: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "_LARGE", 10)
    data = numbers()
    rows = np.split(np.arange(100), [60, 75])
    assert warned(data, [Split(*rows)]) == []
    repeated = np.arange(100)
    repeated[rows[part][:3]] = [5, 6, 7]
    data = Data("t", "table", data.x.iloc[repeated].reset_index(drop=True), data.y, targets=("y",))
    message = f"3 of {len(rows[part])} {name} rows are also among the training rows, value for value"
    assert warned(data, [Split(*rows)]) == [("dataset", message)]


@pytest.mark.parametrize(
    ("kind", "x", "message"),
    [
        (
            "tokens",
            Texts.of(["free", "hello"] * 10),
            "10 of 10 final test texts are also among the training texts",
        ),
        (
            "image",
            np.zeros((20, 3, 3), np.uint8),
            "10 of 10 final test images are also among the training images",
        ),
    ],
    ids=["texts", "images"],
)
def test_texts_and_images_that_are_trained_on_and_judged(kind: Kind, x: Any, message: str) -> None:
    rows = np.arange(20)
    data = Data("t", kind, x, rows % 2, classes=("p", "q"))
    ((_, found),) = warned(data, [Split(rows[:10], rows[:0], rows[10:])])
    assert found.startswith(message)
    different = {"tokens": Texts.of([str(row) for row in rows])}
    different["image"] = np.arange(180, dtype=np.uint8).reshape(20, 3, 3)
    assert warned(replace(data, x=different[kind]), [Split(rows[:10], rows[:0], rows[10:])]) == []


def test_notices_about_the_file_are_reported() -> None:
    odd = Problem("comes after a gap", "t.csv:7, column day", "Look whether rows are lost.")
    assert warned(replace(numbers(), warnings=(odd,))) == [(odd.where, odd.message)]


def test_rows_are_described() -> None:
    texts = Data("t", "tokens", Texts.of(["free", "hello you", ""]), np.arange(3) % 2, classes=("p", "q"))
    assert describe_rows(texts) == "texts of 0 to 9 characters, median 4"
    scans = replace(texts, kind="image", x=np.zeros((3, 8, 9, 3), np.uint8))
    assert describe_rows(scans) == "images of 8 x 9 pixels, colour"


def test_rare_and_absent_classes_are_warned_of() -> None:
    y = np.repeat([0, 1, 2], [90, 8, 2])
    data = Data("t", "table", numbers().x, y, classes=("p", "q", "r"))
    assert warned(data, KFold(folds=5, stratify=False).splits(data)) == [
        ("target", "class r has no held-out rows in 3 of 5 splits"),
        ("target", "heavily imbalanced: 90 rows are of class p, 2 of r"),
    ]
    last = np.arange(98, 100)
    assert warned(data, [Split(np.arange(90), last[:0], np.arange(90, 100))])[:2] == [
        ("target", "class q has no training rows; the same holds for 1 other class"),
        ("target", "class p has no final test rows"),
    ]


@pytest.mark.parametrize(
    "strategy",
    [KFold(folds=5, repeats=3, stratify=True), LeaveOneOut(), ShuffleSplit(folds=10)],
    ids=["repeated", "leave one out", "shuffled"],
)
def test_a_class_with_fewer_rows_than_splits_is_not_rare(strategy) -> None:
    y = np.repeat([0, 1], [60, 8])
    data = Data("t", "table", numbers(68).x, y, classes=("p", "q"))
    assert warned(data, strategy.splits(data)) == []


def test_a_class_that_some_folds_cannot_have_is_told_with_what_helps() -> None:
    """6 positive rows of 120 in ten folds, as codes, as a label, and as the class of some pixels."""
    y = np.repeat([0, 1], [114, 6])
    data = Data("t", "table", numbers(120).x, y, classes=("no", "yes"))
    labels = replace(data, y=np.stack([np.arange(120) % 2, y], axis=1), classes=("odd", "yes"))
    pixels = np.zeros((120, 2, 2), np.uint8)
    pixels[:, 0, 1], pixels[:, 0, 0] = np.arange(120) % 2, y * 2
    masks = replace(data, y=pixels, classes=("sky", "odd", "yes"))
    for of_kind in (data, labels, masks):
        found = find_warnings(of_kind, KFold(10, stratify=False).splits(data))
        (absent,) = [problem for problem in found if "held-out" in problem.message]
        lacking = sum(not y[split.test].any() for split in KFold(10, stratify=False).splits(data))
        assert absent.message == f"class yes has no held-out rows in {lacking} of 10 splits"
        assert absent.hint == (
            "Metrics of it are undefined there. It has 6 rows in all: use fewer folds, add rows or merge classes."
        )
    assert lacking >= 4
    # Of a single split too, but not of classes that no row has, which notices of the files name.
    last = [Split(np.arange(100), np.arange(0), np.arange(100, 114))]
    wider = replace(masks, classes=(*masks.classes, "none"))
    assert warned(wider, last) == [
        ("target", "class yes has no training rows"), ("target", "class yes has no final test rows")
    ]  # fmt: skip
    few = find_warnings(data, KFold(6, stratify=False).splits(data))
    assert "or cv=stratified_kfold if no groups or times tie rows." in next(few).hint
    assert warned(data, KFold(6, stratify=True).splits(data)) == []


def test_groups_that_are_torn_apart() -> None:
    names = np.array([f"patient {row // 5}" for row in range(100)], dtype=object)
    data = replace(numbers(), groups=names)
    assert warned(data) == warned(data, GroupKFold(4).splits(data)) == []
    ((where, message),) = warned(data, KFold(5).splits(data))
    assert where == "dataset.group"
    assert message.endswith(" of 20 groups are in two parts of a split, such as patient 0")


def test_the_leaks_of_bike_hour_are_found(shared_data: Path) -> None:
    data = load(str(shared_data / "tabular" / "bike-hour.csv"), "cnt")
    assert warned(data) == [
        ("target cnt", "casual + registered is the target"),
        (
            "column dteday",
            "holds dates that the split ignores: some training rows are later than evaluation rows",
        ),
        ("column instant", "is a row number or an identifier, which carries no information about new rows"),
        (data.source, "2 empty lines between the rows skipped"),
    ]


def test_duplicates_and_imbalance_of_wine_are_found(shared_data: Path) -> None:
    data = load(str(shared_data / "tabular" / "winequality-red.csv"), "c11")
    found = warned(data)
    assert found[0][1].endswith("test rows are also among the training rows, value for value")
    assert found[1] == ("target", "heavily imbalanced: 681 rows are of class 5, 10 of 3")


def test_times_that_a_split_mixes_are_warned_of() -> None:
    data = replace(numbers(), times=np.arange(100))
    assert "split in time" in profile(data, Holdout().splits(data)).rows_are
    assert warned(data) == []
    (problem,) = find_warnings(data, KFold(5).splits(data))
    assert (problem.where, problem.message.split(":")[0]) == ("dataset.time", "the split ignores time")
    assert "cv=time_series" in problem.hint


def test_a_warning_names_dates_that_the_split_ignores() -> None:
    data = numbers(day=pd.date_range("2024-01-01", periods=100).where(np.arange(100) != 7))
    (problem,) = find_warnings(data, Holdout().splits(data))
    assert problem.where == "column day"
    assert problem.hint == "If the model will be used on later rows, split in time: dataset.time=day."
    assert warned(data, [Split(np.arange(50), np.arange(50, 60), np.arange(60, 100))]) == []


def test_equal_texts_can_be_kept_together(tmp_path: Path) -> None:
    rows = [("good", f"word {row % 30}") for row in range(60)] + [
        ("bad", f"other {row}") for row in range(60)
    ]
    pd.DataFrame(rows, columns=["kind", "said"]).to_csv(tmp_path / "t.csv", index=False)
    data = texts.load(str(tmp_path / "t.csv"), target="kind")
    (problem,) = find_warnings(data, Holdout().splits(data))
    assert "dataset=text dataset.text=said dataset.group=said" in problem.hint
    together = texts.load(str(tmp_path / "t.csv"), target="kind", text="said", group="said")
    assert warned(together) == []


def test_numbers_that_are_constant_in_training_are_reported() -> None:
    data = numbers(60)
    flat = replace(data, y=np.stack([data.y, np.full(60, 7.0)], axis=1), targets=("y", "flat"))
    found = [one for one in find_warnings(flat, Holdout().splits(flat)) if "the same value" in one.message]
    assert [(one.where, one.message) for one in found] == [
        ("target flat", "the target has the same value in every training row")
    ]
    values = np.stack([np.arange(60.0) < 50, np.arange(60.0), np.zeros(60)], axis=1)
    x = History(values, np.arange(5, 57), 3, ("early", "rising", "none"), lookback=5, targets=2)
    y = Windows(values[:, :2], x.origins, 3, np.arange(60))
    steps = Data("s", "sequence", x, y, targets=("early", "rising"), times=x.origins, reach=2)
    found = [one for one in find_warnings(steps, Holdout().splits(steps)) if "the same value" in one.message]
    assert [one.where for one in found] == ["variable early", "variable none"]
    assert "name another column (dataset.target)" in found[0].hint
