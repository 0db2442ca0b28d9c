"""Complete runs on logarithms of series: what has none is refused for training, and reported elsewhere."""

from __future__ import annotations

import io
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.errors import ConfigError
from dlcli.result import Result
from dlcli.runner.check import check
from dlcli.runner.export import bundle
from dlcli.runs.folder import open_run
from dlcli.serving.bodies import Body
from dlcli.serving.predictor import Predictor
from dlcli.tracking.ledger import Ledger
from tests.exporting.test_bundle import run_script

RAISED = "have values below a thousandth of their mean"


def months(file: Path, steps: int = 120, **changed: float) -> Path:
    """Write a rising series of months in which some steps, such as `at_100`, have other values."""
    month = np.arange(steps)
    values = (50 + month) * (1 + 0.3 * np.sin(month * np.pi / 6))
    for at, value in changed.items():
        values[int(at.removeprefix("at_"))] = value
    when = pd.date_range("2000-01-01", periods=steps, freq="MS").astype(str)
    pd.DataFrame({"month": when, "sold": values.round(3)}).to_csv(file, index=False)
    return file


def words(file: Path, *more: str) -> list[str]:
    usual = ["dataset.horizon=3", "preprocessing.log=true", "trainer.max_epochs=2", "trainer.accelerator=cpu"]
    return ["dataset=series", f"dataset.path={file}", *usual, *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("late")
    file = months(folder / "late.csv", at_112=-4, at_114=0)
    return dlcli.train(words(file, "preprocessing.deseasonalize=true"), runs_dir=folder / "runs")


def test_negative_test_values_are_reported(trained: Result) -> None:
    ledger = Ledger.load(trained.run_dir)
    (notice,) = [one for one in ledger.result["notices"] if one["key"] == "raised_new_values"]
    assert "validation and test windows have values below" in notice["text"] and notice["warns"]
    assert notice["count"] == 5
    file = trained.run_dir.parents[3] / "late.csv"
    rehearsal, profile = check(words(file, "preprocessing.deseasonalize=true"))
    assert notice["text"] in [one.text for one in rehearsal.notices]
    assert notice["text"] in [one.message for one in profile.warnings]


def test_negative_new_values_are_reported(trained: Result) -> None:
    file = trained.run_dir.parents[3] / "late.csv"
    with pytest.warns(UserWarning, match=RAISED):
        table = dlcli.predict(trained.run_dir, file)
    assert table is not None and np.isfinite(table["prediction"]).all()
    opened = open_run(str(trained.run_dir), trained.run_dir.parents[2])
    predictor = Predictor(opened, opened.load_model(), device="cpu")
    rows = pd.read_csv(file).to_dict("records")
    (answer, clean) = predictor.answer(
        [Body(json.dumps(some).encode(), "application/json") for some in (rows, rows[:100])]
    )
    assert [notice.key for notice in answer.notices] == ["raised_new_values"]
    assert [row["prediction"] for row in answer.predictions] == pytest.approx(table["prediction"].tolist())
    assert not clean.notices


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra onnx")
def test_a_bundle_reports_them_too(trained: Result, tmp_path: Path) -> None:
    made = bundle(str(trained.run_dir), tmp_path / "made")
    file = months(tmp_path / "new.csv", at_110=-4)
    ran = run_script(made.folder, str(file))
    with pytest.warns(UserWarning, match=RAISED):
        expected = dlcli.predict(trained.run_dir, file)
    assert expected is not None
    np.testing.assert_allclose(
        pd.read_csv(io.StringIO(ran.stdout))["prediction"], expected["prediction"], rtol=1e-4
    )
    assert ran.stderr.strip().endswith(
        "1 of 1 series have values below 0.001 times their mean (negative ones in 1), which are raised to it for the "
        "logarithm: 0"
    )
    assert run_script(made.folder, str(months(file))).stderr == ""


@pytest.mark.parametrize(
    "more",
    [
        ["at_350"],  # behind the rows that the checks fit the preprocessing on
        ["at_580", "cv=time_series", "cv.folds=2", "cv.refit=true", "cv.test_size=0.01"],
        ["at_480", "cv.refit=true"],  # of the validation rows
    ],
)
def test_negative_training_values_are_refused_before_a_run_is_made(more: list[str], tmp_path: Path) -> None:
    file = months(tmp_path / "s.csv", 600, **{more[0]: -2})
    asked = words(file, "dataset.lookback=12", *more[1:])
    for refusing in (
        lambda: dlcli.train(asked, runs_dir=tmp_path / "runs"),
        lambda: dlcli.sweep([*asked, "preprocessing.relative=last,none"], runs_dir=tmp_path / "runs"),
        lambda: check(asked),
    ):
        with pytest.raises(ConfigError, match="negative values, such as -2, have no logarithm"):
            refusing()
    assert not (tmp_path / "runs").exists()
