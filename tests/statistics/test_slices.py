"""Errors by slice, groups of correlated columns, and `dlcli explain`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.inference.importance import importances
from dlcli.statistics.associated import correlated_groups
from dlcli.statistics.slices import find_slices


def test_a_group_that_is_judged_worse_is_found_and_luck_is_not() -> None:
    random = np.random.default_rng(0)
    where = pd.Series(random.choice(["north", "south", "east"], 900))
    noise = {f"noise{n}": pd.Series(random.choice(["a", "b", "c"], 900)) for n in range(20)}
    errors = (random.random(900) < np.where(where == "south", 0.5, 0.2)).astype(float)
    found = find_slices({"where": where, **noise}, errors)
    assert (found[0].column, found[0].value) == ("where", "south")
    assert found[0].low < 0.3 < found[0].high
    assert [one.value for one in found if one.p < 0.05 and one.difference > 0] == ["south"]


def test_errors_of_one_row_count_once() -> None:
    """Repeating each error five times adds nothing; single errors have Welch's interval up to rounding."""
    random = np.random.default_rng(2)
    where, errors = pd.Series(random.choice(["a", "b"], 300)), random.random(300)
    (one, _), (single, _), (often, _) = (
        find_slices({"where": where}, errors),
        find_slices({"where": where}, errors, np.arange(300)),
        find_slices(
            {"where": where.repeat(5).reset_index(drop=True)}, errors.repeat(5), np.arange(300).repeat(5)
        ),
    )
    assert (often.rows, often.low, often.high) == pytest.approx((single.rows, single.low, single.high))
    assert one.value == single.value == often.value
    assert (one.low, one.high) == pytest.approx((single.low, single.high), rel=0.1)


def test_few_slices_without_a_difference_are_distinguished() -> None:
    """Among 200 tables of noise, at most about 5 % may have a slice that is called worse (or better)."""
    random = np.random.default_rng(1)
    called = 0
    for _ in range(200):
        columns = {f"c{n}": pd.Series(random.choice(["a", "b", "c"], 200)) for n in range(5)}
        called += any(one.p < 0.05 for one in find_slices(columns, random.random(200)))
    assert called <= 18


def test_numbers_are_divided_into_quarters_and_missing_cells_are_a_slice() -> None:
    values = pd.Series(np.arange(200.0))
    values[:30] = np.nan
    errors = np.where(values.isna() | (values > 170), 1.0, 0.0)
    found = {one.value: one for one in find_slices({"x": values}, errors)}
    assert found["missing"].rows == 30
    assert found["missing"].error == 1.0
    assert len(found) == 5
    assert sum(one.rows for one in found.values()) == 200


def test_a_slice_and_the_other_rows_are_at_least_20() -> None:
    errors = np.arange(100.0)
    assert find_slices({"x": pd.Series(["a"] * 81 + ["b"] * 19)}, errors) == []
    assert [one.rows for one in find_slices({"x": pd.Series(["a"] * 80 + ["b"] * 20)}, errors)] == [20, 80]
    names = pd.Series(np.repeat([f"n{n}" for n in range(51)], 20))
    assert len(find_slices({"x": names}, np.arange(1020.0))) == 50


def test_a_slice_and_the_other_rows_have_the_same_p() -> None:
    where = pd.Series(["a", "b"] * 40)
    noise = np.random.default_rng(3).normal(size=80)
    first, second = find_slices({"where": where}, noise + np.where(where == "a", 0.3, 0.0))
    assert (first.value, second.value, first.difference) == ("a", "b", -second.difference)
    assert 0 < first.p < 1
    assert first.p == pytest.approx(second.p)
    # Without any variance the difference is certain, or there is none.
    assert [one.p for one in find_slices({"where": where}, np.where(where == "a", 1.0, 0.0))] == [0, 0]
    assert [one.p for one in find_slices({"where": where}, np.ones(80))] == [1, 1]


def test_redundant_columns_are_one_group() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=300)
    words = random.choice(["a", "b"], 300)
    table = pd.DataFrame(
        {
            "x": x,
            "exp": np.exp(x),
            "other": random.normal(size=300),
            "word": words,
            "same": np.where(words == "a", "A", "B"),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(-x, unit="D"),
            "one": np.ones(300),
            "no": np.zeros(300, dtype=bool),
            "three": random.choice(["a", "b", "c"], 300),
        }
    )
    groups = [["x", "exp", "day"], ["other"], ["word", "same"], ["one"], ["no"], ["three"]]
    assert correlated_groups(table) == groups


def test_a_row_that_several_models_judge_is_drawn_with_all_of_them() -> None:
    """Copies of a row are no further rows, by which the interval would be narrower."""
    numbers = np.array([7, 3, 5, 5, 7, 3, 1])
    x = pd.DataFrame({"x": np.arange(7.0)})
    drawn: list[np.ndarray] = []

    def score(outputs: torch.Tensor, positions: np.ndarray) -> float:
        drawn.append(positions)
        return float(outputs.mean())

    parts = [(lambda table: torch.tensor(table["x"].to_numpy()), part) for part in (x[:3], x[3:])]
    importances(parts, score, [["x"]], numbers, repeats=20)
    assert len(drawn) == 40
    for positions in drawn:
        times = np.bincount(positions, minlength=7)
        assert sum(times[[0, 1, 2, 6]]) == 4  # four distinct rows
        assert (times[[0, 1, 2]] == times[[4, 5, 3]]).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    random = np.random.default_rng(0)
    size = random.normal(size=200).round(3)
    where = random.choice(["north", "south"], 200)
    noise = np.where(where == "south", 20.0, 0.5)
    age = 10 * size + noise * random.normal(size=200)
    table = pd.DataFrame({"size": size, "double": 2 * size, "where": where, "luck": random.normal(size=200)})
    table.assign(age=age.round(3)).to_csv(folder / "pets.csv", index=False)
    words = ["dataset=table", f"dataset.path='{folder}/pets.csv'", "dataset.target=age", "model=mlp"]
    quick = ["model.hidden=8", "trainer.max_epochs=25", "trainer.accelerator=cpu", "optimizer.lr=0.02"]
    own = [f"runs_dir='{folder}/runs'", "run_name=pets", "cv=kfold", "cv.folds=2"]
    dlcli.train([*words, *quick, *own])
    return folder


def test_folds_explain_themselves_on_their_held_out_rows(folder: Path) -> None:
    found = dlcli.explain("pets", runs_dir=folder / "runs", repeats=5)
    assert (found.rows, found.of_rows) == (200, "held-out rows of the folds")
    assert found.importances[0].columns == ("size", "double")
    assert found.importances[0].low > 0
    luck = next(one for one in found.importances if one.columns == ("luck",))
    assert luck.low < found.importances[0].low
    assert found.slices[0].column in ("where", "target")
    south = next(one for one in found.slices if (one.column, one.value) == ("where", "south"))
    assert south.p < 0.05
    assert south.difference > 0
    assert {one.column for one in found.dependence} == {"where", "luck"}
    assert "permuted together" in " ".join(found.messages)


def test_the_command_shows_the_content_of_the_document(folder: Path) -> None:
    runs = ("--runs-dir", str(folder / "runs"), "--repeats", "2")
    shown = CliRunner().invoke(app, ["explain", "pets", *runs])
    assert shown.exit_code == 0, shown.output
    assert "size + double" in shown.output
    document = json.loads(CliRunner().invoke(app, ["explain", "pets-fold-0", *runs, "--json"]).stdout)
    assert document["of_rows"] == "held-out rows"
    assert document["importances"][0]["columns"] == ["size", "double"]
