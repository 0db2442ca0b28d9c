"""Preprocessing of tables is fitted on the given rows only, and accepts any new rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import StandardScaler

from dlcli.assembly import parts
from dlcli.datasets.data import Data
from dlcli.errors import DataError
from dlcli.preprocessing.columns import numbers
from dlcli.preprocessing.fitted import fit_preprocessing
from dlcli.preprocessing.table import Table
from dlcli.splits.split import Split

MIXED = pd.DataFrame(
    {
        "size": [1.0, 2.0, np.nan, 4.0, 3.0, 100.0],
        "color": ["red", "blue", None, "red", "red", "green"],
        "day": pd.to_datetime(["2024-01-31", "2024-02-01", None, "2024-03-05", "2024-01-01", "2024-01-02"]),
        "open": [True, False, True, True, False, False],
    }
)


def x_of(frame: pd.DataFrame, **options) -> np.ndarray:
    return Table(**options).fit(frame).transform(frame)["x"]


def one(values: list, **options) -> list[float]:
    return x_of(pd.DataFrame({"a": values}), **options)[:, 0].tolist()


def test_columns_of_every_kind_become_numbers() -> None:
    x = x_of(MIXED, scaling="none")
    # size, open, month, day, weekday, then (missing), blue, green, red.
    assert x.dtype == np.float32
    assert x[0].tolist() == [1, 1, 1, 31, 2, 0, 0, 0, 1]
    assert x[2].tolist() == [3, 1, 1, 2, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("missing", "stands"),
    [("mean", 3), ("median", 2), ("most_frequent", 1), ("constant", -5), ("drop", 2)],
)
def test_missing_numbers_are_replaced(missing: str, stands: float) -> None:
    values = [1, 1, 3, 7, None, 3, 1, 2, 9, 1, 5] if missing != "mean" else [1, None, 5]
    if missing in ("median", "drop"):
        values = [1, 2, 9, None]
    assert one(values, scaling="none", missing=missing, missing_value=-5.0)[values.index(None)] == stands


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["(missing)", "u", "v"]),
        ({"missing_category": "most_frequent"}, ["u", "v"]),
        ({"missing_category": "constant", "missing_category_value": "v"}, ["u", "v"]),
        ({"missing_category": "constant"}, ["missing", "u", "v"]),
    ],
    ids=["own", "most frequent", "one that is there", "a new one"],
)
def test_missing_categories_are_replaced(options: dict, names: list[str]) -> None:
    stands = {"own": "(missing)", "most_frequent": "u"}.get(options.get("missing_category", "own"))
    stands = stands or options.get("missing_category_value", "missing")
    fitted = Table(categorical="ordinal", **options).fit(pd.DataFrame({"c": ["v", "u", None, "u"]}))
    found = fitted.transform(pd.DataFrame({"c": [*names[-2:], None]}))["x"][:, 0].tolist()
    assert found == [names.index(name) + 1 for name in (*names[-2:], stands)]


def test_an_indicator_marks_missing_numbers() -> None:
    frame = pd.DataFrame({"a": [1, None, 3], "b": [1.0, 2.0, 3.0]})
    fitted = Table(scaling="none", missing_indicator=True).fit(frame)
    assert fitted.transform(frame)["x"].tolist() == [[1, 1, 0], [2, 2, 1], [3, 3, 0]]
    # Only columns that had missing values when they were fitted have an indicator.
    assert fitted.transform(pd.DataFrame({"a": [1.0], "b": [None]}))["x"].tolist() == [[1, 2, 0]]


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ("standard", [-1.5, -0.5, 0.5, 1.5]),
        ("min_max", [0, 1 / 3, 2 / 3, 1]),
        ("robust", [-1, -1 / 3, 1 / 3, 1]),
        ("none", [2, 4, 6, 8]),
    ],
)
def test_numbers_are_scaled_as_asked(scaling: str, expected: list[float]) -> None:
    got = np.array(one([2, 4, 6, 8], scaling=scaling))
    if scaling == "standard":
        got *= np.std([2, 4, 6, 8]) / 2
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_quantiles_become_a_normal_distribution() -> None:
    x = np.array(one(list(np.random.default_rng(0).exponential(size=2000)), scaling="quantile"))
    inner = x[np.abs(x) < 5]
    assert inner.mean() == pytest.approx(0, abs=0.02)
    assert inner.std() == pytest.approx(1, abs=0.03)


def test_outliers_are_clipped_by_bounds_of_the_fitted_rows() -> None:
    fitted = Table(scaling="none", outliers="clip").fit(pd.DataFrame({"a": [1.0, 2, 3, 4, 100]}))
    # The quartiles are 2 and 4, so the bounds are -1 and 7.
    assert fitted.transform(pd.DataFrame({"a": [100, -9, None, 5]}))["x"][:, 0].tolist() == [7, -1, 3, 5]
    values = [0.0] * 30 + [1.0] * 30 + [2.0] * 30 + [50.0]
    deviation, mean = np.std(values), np.mean(values)
    clipped = one(values, scaling="none", outliers="clip", outlier_rule="zscore", outlier_limit=2.0)
    assert max(clipped) == pytest.approx(mean + 2 * deviation)


def test_columns_of_two_values_have_no_outliers() -> None:
    values = [0.0] * 99 + [1.0]
    assert one(values, scaling="none", outliers="clip", outlier_rule="zscore") == values


def test_unseen_categories_are_encoded_as_unknown() -> None:
    frame = pd.DataFrame({"c": ["u", "v", "u"]})
    new = pd.DataFrame({"c": ["v", "w", None]})
    assert Table().fit(frame).transform(new)["x"].tolist() == [[0, 1], [0, 0], [0, 0]]
    ordinal = Table(categorical="ordinal").fit(frame)
    assert ordinal.transform(new)["x"].tolist() == [[2], [0], [0]]
    fields = Table(categorical="embedding").fit(frame).transform(new)
    assert fields["x"].shape == (3, 0)
    assert fields["x_cat"].tolist() == [[2], [0], [0]]


@pytest.mark.parametrize("rare", [0.0, 0.3])
def test_cardinalities_are_one_more_than_the_greatest_code(rare: float) -> None:
    frame = pd.DataFrame({"c": list("aaaabbbcd"), "d": list("xyxyxyxyx")})
    fitted = Table(categorical="embedding", rare=rare).fit(frame)
    codes = fitted.transform(frame)["x_cat"]
    assert fitted.facts()["cardinalities"] == (codes.max(axis=0) + 1).tolist()
    assert Table().fit(frame).facts()["cardinalities"] == []


def test_rare_categories_are_merged() -> None:
    frame = pd.DataFrame({"c": ["a"] * 6 + ["b", "c"]})
    x = Table(rare=0.3).fit(frame).transform(pd.DataFrame({"c": ["a", "b", "c", "never seen"]}))["x"]
    assert x.tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]


def test_the_same_category_in_another_type() -> None:
    fitted = Table().fit(pd.DataFrame({"c": ["1", "2"]}))
    for values in ([1, 2], [1.0, 2.0], ["1", "2"]):
        assert fitted.transform(pd.DataFrame({"c": values}))["x"].tolist() == [[1, 0], [0, 1]]


def test_identifiers_are_left_out() -> None:
    frame = pd.DataFrame({"a": range(60), "note": [f"text{n}" for n in range(60)]})
    fitted = Table(texts="words").fit(frame)
    assert fitted.left_out_ == {"note": "identifier"}
    assert fitted.transform(frame[["a"]])["x"].shape == (60, 1)
    with pytest.raises(
        DataError, match=r"all columns are left out: note[^\0]*'dataset\.types={note: categorical}'"
    ):
        Table().fit(frame[["note"]])


def test_new_rows_may_be_texts_in_any_order_of_columns() -> None:
    fitted = Table(scaling="none").fit(MIXED)
    expected = fitted.transform(MIXED)["x"]
    words = MIXED.assign(day=MIXED["day"].dt.strftime("%Y-%m-%d"), size=MIXED["size"].astype("str"))
    more = words[words.columns[::-1]].assign(other=1)
    assert np.array_equal(fitted.transform(more)["x"], expected)
    assert np.array_equal(
        fitted.transform(MIXED.set_axis(range(4), axis=1).reset_index(drop=True))["x"], expected
    )


def test_columns_that_pandas_has_numbered() -> None:
    file = pd.DataFrame({"c0": [1.0, 2.0, 3.0], "c1": ["a", "b", "a"], "c2": [5.0, 7.0, 6.0]})
    fitted = Table().fit(file[["c0", "c2"]])  # c1 was the target
    new = file.set_axis(range(3), axis=1)  # read_csv(header=None)
    assert np.array_equal(fitted.transform(new)["x"], fitted.transform(file)["x"])
    assert np.array_equal(fitted.transform(new[[2, 0]])["x"], fitted.transform(file)["x"])
    with pytest.raises(DataError, match=r"there is no column c0\n.*c1"):
        fitted.transform(new[[1]])
    own = Table().fit(file.set_axis(["0", "1", "2"], axis=1))
    assert len(own.transform(new[[2, 1, 0]])["x"]) == 3


@pytest.mark.parametrize(
    ("change", "where", "message", "hint"),
    [
        ({"size": ["1", "2", "x", "4", "5", "6"]}, "row 3, column size", "'x' is not a number", "Correct it"),
        ({"size": [1, 2, 3, 4, 5, np.inf]}, "row 6, column size", "'inf' is infinite", "Leave the cell"),
        ({"day": ["2024-01-01"] * 5 + ["soon"]}, "row 6, column day", "'soon' is not a date", "Write dates"),
        ({"size": None}, "new data", "there is no column size", "Did you mean sise?"),
    ],
    ids=["text", "infinite", "date", "column"],
)
def test_invalid_new_rows_are_rejected(change: dict, where: str, message: str, hint: str) -> None:
    fitted = Table().fit(MIXED)
    frame = MIXED.rename(columns={"size": "sise"}) if change == {"size": None} else MIXED.assign(**change)
    with pytest.raises(DataError) as caught:
        fitted.transform(frame)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert problem.message.startswith(message)
    assert problem.hint.startswith(hint)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scaling": "quantile", "categorical": "embedding", "rare": 0.3},
        {"scaling": "robust", "outliers": "clip", "missing_indicator": True, "categorical": "ordinal"},
        {"scaling": "min_max", "missing": "most_frequent", "dates": "drop", "rare": 0.3},
    ],
    ids=["default", "embedding", "clip", "min_max"],
)
def test_rows_are_independent_and_skops_restores_everything(options: dict) -> None:
    fitted = Table(**options).fit(MIXED)
    whole = fitted.transform(MIXED)
    content = skops.io.dumps(fitted)
    foreign = skops.io.get_untrusted_types(data=content)
    assert all(name.startswith("dlcli.") or name == "numpy.dtype" for name in foreign)
    loaded = skops.io.loads(content, trusted=foreign)
    for field, values in whole.items():
        alone = [loaded.transform(MIXED[row : row + 1])[field] for row in range(len(MIXED))]
        assert np.array_equal(np.concatenate(alone), values)


def test_rows_and_columns_are_processed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.concat([MIXED] * 3, ignore_index=True)
    whole = Table(missing_indicator=True).fit(frame).transform(frame)["x"]
    monkeypatch.setattr("dlcli.preprocessing.table._ROWS", 4)
    monkeypatch.setattr("dlcli.preprocessing.columns.numbers._CELLS", len(frame))  # one column at a time
    assert np.array_equal(Table(missing_indicator=True).fit(frame).transform(frame)["x"], whole)


def dropping(frame: pd.DataFrame, y: list[float], val: int = 1, **options) -> tuple[list[int], str]:
    """Return the rows that are fitted if the last `val` rows validate, and the proof."""
    data = Data("t", "table", frame, np.array(y), targets=("y",))
    rows = np.arange(len(frame))
    split = Split(rows[:-val], rows[-val:], rows[:0])
    fitted = fit_preprocessing(Table(**options), data, split)
    return fitted.rows.tolist(), fitted.proof(data, split)


@pytest.mark.parametrize(
    ("options", "values", "y", "kept"),
    [
        ({"duplicates": "drop"}, [1, 1, 1, 2, 1], [0.5, 0.5, 0.7, 1, 0.5], [0, 2, 3]),
        ({"missing": "drop"}, [1, None, 3, None], [1, 2, 3, 4.0], [0, 2]),
        ({"outliers": "drop"}, [1, 2, 3, 4, 100, 100], [1, 2, 3, 4, 5, 6.0], [0, 1, 2, 3]),
        ({}, [1, 1, None, 100, 1], [1, 1, 1, 1, 1.0], [0, 1, 2, 3]),
    ],
    ids=["duplicates", "missing", "outliers", "none"],
)
def test_only_training_rows_are_dropped(options: dict, values: list, y: list, kept: list[int]) -> None:
    rows, proof = dropping(pd.DataFrame({"a": values}), y, **options)
    assert rows == kept
    dropped = len(values) - 1 - len(kept)
    assert proof == (
        f"fitted on {len(kept)} of {len(values)} rows; 0 validation or test rows seen"
        + (f"; {dropped} training rows dropped" if dropped else "")
    )


def test_dropping_all_rows_is_rejected() -> None:
    with pytest.raises(DataError, match="all 2 training rows would be dropped"):
        dropping(pd.DataFrame({"a": [1, None, 3], "b": [None, 2, 3]}), [1, 2, 3.0], missing="drop")


def test_the_proof_reports_a_leak() -> None:
    """The rows seen are counted."""
    data = Data("t", "table", MIXED, np.arange(6.0), targets=("y",))
    rows = np.arange(6)
    leaky = fit_preprocessing(Table(), data, Split(rows, rows[:0], rows[:0]))
    assert leaky.proof(data, Split(rows[:3], rows[3:4], rows[4:])) == (
        "fitted on 6 of 6 rows; 3 validation or test rows seen"
    )


def test_a_large_table_is_transformed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, rows = Table(categorical="embedding").fit(MIXED), np.array([5, 0, 2, 1, 4])
    whole = fitted.transform(MIXED.iloc[rows])
    monkeypatch.setattr("dlcli.assembly.parts._ROWS", 2)
    pieces = parts._transformed(fitted, Data("t", "table", MIXED, np.arange(6.0), targets=("y",)), rows)
    assert all(np.array_equal(pieces[name], values) for name, values in whole.items())


def test_large_numbers_stay_apart_without_scaling() -> None:
    seconds = pd.DataFrame({"at": 1.7e9 + np.arange(0.0, 1000.0, 3)})
    assert len(np.unique(Table(scaling="center").fit(seconds).transform(seconds)["x"])) == len(seconds)
    assert len(np.unique(Table(scaling="none").fit(seconds).transform(seconds)["x"])) < 10


@pytest.mark.parametrize("center", [0.0, 1e9, 21.3])
@pytest.mark.parametrize("spread", [0.0, 1.0, 1e-7])
@pytest.mark.parametrize("gaps", [False, True])
def test_large_columns_are_fitted_one_by_one_as_scikit_learn_fits_them(
    center: float, spread: float, gaps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "_CELLS", 50)
    column = center + spread * np.random.default_rng(0).normal(size=100)
    column[3] = np.nan if gaps else column[3]
    found = numbers.Numbers().fit([column, column]).pipelines_[1][-1]
    filled = np.where(np.isnan(column), np.nanmedian(column), column)
    expected = StandardScaler().fit(filled[:, None])
    for name in ("mean_", "var_", "scale_", "n_samples_seen_"):
        assert getattr(found, name) == getattr(expected, name), name
