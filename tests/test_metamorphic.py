"""Metrics do not depend on row order, names, units, copies and interruptions.

Nor with the number of jobs: `executors/test_workers.py` compares the bits.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli

QUICK = ["trainer.accelerator=cpu", "trainer.max_epochs=3", "callbacks=none"]
CHOSEN = {
    "kind": "task.metrics=[default,mcc,cohen_kappa,specificity,g_mean,brier]",
    "size": "task.metrics=[default,smape,explained_variance,spearman,pearson,concordance]",
}
CLOSE = {"rel": 2e-3, "abs": 1e-5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of two classes and a number, whose rows have a fixed split."""
    folder, random = tmp_path_factory.mktemp("same"), np.random.default_rng(0)
    x = random.normal(size=(90, 3))
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table["size"] = 40 + 5 * (x @ [1, -2, 0.5] + random.normal(size=90))
    table["kind"] = np.where(x[:, 0] + random.normal(size=90) > 0, "up", "down")
    table["part"] = np.array(["train", "val", "test"])[np.arange(90) % 3]
    table.to_csv(folder / "t.csv", index=False)
    return folder


def words(file: Path, target: str, *more: str) -> list[str]:
    others = "size" if target == "kind" else "kind"
    return [
        *QUICK, "dataset=table", f"dataset.path='{file}'", f"dataset.target={target}", f"dataset.drop=[{others}]",
        "dataset.split=part", "cv=predefined", CHOSEN[target], f"runs_dir='{file.parent / 'runs'}'", *more,
    ]  # fmt: skip


def changed(folder: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """Write a changed copy of the table."""
    file = folder / f"{name}.csv"
    change(pd.read_csv(folder / "t.csv")).to_csv(file, index=False)
    return file


def figures(result: dlcli.Result) -> dict[str, float]:
    return {name: value for name, value in result.values.items() if name.startswith(("val/", "test/"))}


@pytest.fixture(scope="module")
def classified(folder: Path) -> dlcli.Result:
    return dlcli.train(words(folder / "t.csv", "kind", "model=linear"))


@pytest.fixture(scope="module")
def regressed(folder: Path) -> dlcli.Result:
    return dlcli.train(words(folder / "t.csv", "size", "model=mlp", "model.hidden=4"))


def test_the_order_of_rows_does_not_matter(folder: Path, classified: dlcli.Result) -> None:
    file = changed(folder, "shuffled", lambda table: table.sample(frac=1, random_state=1))
    other = dlcli.train(words(file, "kind", "model=linear"))
    assert figures(other) == pytest.approx(figures(classified), **CLOSE)


def test_the_order_of_columns_does_not_matter(folder: Path, classified: dlcli.Result) -> None:
    file = changed(folder, "columns", lambda table: table[table.columns[::-1]])
    other = dlcli.train(words(file, "kind", "model=linear"))
    assert figures(other) == pytest.approx(figures(classified), **CLOSE)


def test_the_names_of_classes_do_not_matter(folder: Path, classified: dlcli.Result) -> None:
    """The names keep their alphabetical order, by which the positive class is chosen."""
    names = {"down": "NA?", "up": "über 9,000"}
    file = changed(folder, "names", lambda table: table.assign(kind=table["kind"].map(names)))
    other = dlcli.train(words(file, "kind", "model=linear"))
    assert figures(other) == pytest.approx(figures(classified), rel=1e-9)


def test_figures_of_both_classes_do_not_depend_on_which_is_the_positive_one(
    folder: Path, classified: dlcli.Result
) -> None:
    file = changed(folder, "swapped", lambda table: table.assign(kind=table["kind"].replace("up", "above")))
    other = figures(dlcli.train(words(file, "kind", "model=linear")))
    alike = (
        *("loss", "log_loss", "accuracy", "balanced_accuracy", "auroc"),
        *("mcc", "cohen_kappa", "g_mean", "brier"),
    )
    same = {f"{part}/{name}" for part in ("val", "test") for name in alike}
    expected = {name: value for name, value in figures(classified).items() if name in same}
    assert {name: other[name] for name in expected} == pytest.approx(expected, **CLOSE)
    assert len(expected) == len(same)
    # What is a recall of one class is a specificity of the other.
    swapped = {
        "val/specificity": classified.values["val/recall"],
        "val/recall": classified.values["val/specificity"],
    }
    assert {name: other[name] for name in swapped} == pytest.approx(swapped, **CLOSE)


def test_the_order_of_three_classes_does_not_matter(folder: Path) -> None:
    def thirds(names: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
        return lambda table: table.assign(
            kind=[*map(list(names).__getitem__, pd.qcut(table["size"], 3).cat.codes)]
        )

    one, other = (
        figures(dlcli.train(words(changed(folder, names, thirds(names)), "kind", "model=linear")))
        for names in ("abc", "cab")
    )
    for found in (one, other):
        # The solutions agree to 1e-5, by which a row beside an edge of two bins of confidence may change its bin.
        for part in ("val", "test"):
            found.pop(f"{part}/calibration_error")
    assert other == pytest.approx(one, **CLOSE)


@pytest.mark.parametrize("unit", [1e-3, 1e4])
def test_the_unit_of_the_target_scales_the_figures(
    folder: Path, regressed: dlcli.Result, unit: float
) -> None:
    file = changed(folder, f"unit{unit:g}", lambda table: table.assign(size=table["size"] * unit))
    other = figures(dlcli.train(words(file, "size", "model=mlp", "model.hidden=4")))
    powers = {"mae": 1, "rmse": 1, "mse": 2}
    back = {name: value / unit ** powers.get(name.partition("/")[2], 0) for name, value in other.items()}
    assert back == pytest.approx(figures(regressed), **CLOSE)


def test_the_unit_of_an_input_does_not_matter(folder: Path, regressed: dlcli.Result) -> None:
    file = changed(folder, "inches", lambda table: table.assign(a=table["a"] * 2.54 - 100))
    other = dlcli.train(words(file, "size", "model=mlp", "model.hidden=4"))
    assert figures(other) == pytest.approx(figures(regressed), **CLOSE)


@pytest.mark.parametrize("rows", [1, 7])
def test_the_batch_size_of_the_evaluation_does_not_matter(
    regressed: dlcli.Result, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.training.network.Network.evaluation_rows", lambda _: rows)
    again = dlcli.evaluate(regressed.run_dir)
    tested = {name: value for name, value in figures(regressed).items() if name.startswith("test/")}
    assert figures(again) == pytest.approx(tested, rel=1e-5)


def test_a_copied_run_folder_has_the_same_figures(regressed: dlcli.Result, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "artifacts"
    shutil.copytree(regressed.run_dir, copy)
    again, moved = dlcli.evaluate(regressed.run_dir), dlcli.evaluate(copy)
    assert figures(moved) == figures(again)


def test_a_resumed_run_has_the_figures_of_a_whole_one(folder: Path, regressed: dlcli.Result) -> None:
    asked = words(folder / "t.csv", "size", "model=mlp", "model.hidden=4")
    short = dlcli.train([*asked, "trainer.max_epochs=1"])
    assert figures(dlcli.resume(short.run_dir, ["trainer.max_epochs=3"])) == figures(regressed)
