"""Runs that earlier versions recorded, with less in their configurations, can be continued, evaluated and repeated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import dlcli
from dlcli.datasets import raw_rows, series
from dlcli.datasets.lookback import Lookback
from dlcli.result import Result
from dlcli.runner.reproduce import reproduce
from dlcli.runs.recorded import read_config
from dlcli.tracking.ledger import Ledger
from tests.resealing import reseal

QUICK = ("trainer.max_epochs=1", "trainer.accelerator=cpu", "tracking.system_metrics=false")


def as_before(run_dir: Path) -> None:
    """Take from a configuration what earlier versions did not record: the metrics, and the lookback of `auto`."""
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    del config["metric"], config["task"]["metrics"]
    config["dataset"]["lookback"] = "auto"
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    reseal(run_dir)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A sweep of a series whose lookback another rule chose."""
    folder = tmp_path_factory.mktemp("earlier")
    steps = np.arange(70)
    times = pd.date_range("2020-01-01", periods=70, freq="D")
    pd.DataFrame({"time": times, "v": np.sin(steps / 7 * 6.28) + steps / 100}).to_csv(
        folder / "s.csv", index=False
    )
    words = [f"dataset.path='{folder}/s.csv'", "dataset=series", "dataset.horizon=6", "model=dlinear", *QUICK]
    words += ["optimizer.lr=interval(0.001,0.01)", "sweep/sampler=random", "sweep.trials=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "choose_lookback", lambda *_: Lookback(21, "lookback 21"))
        found = dlcli.sweep([*words, f"runs_dir='{folder}/runs'"])
    for run_dir in folder.glob("runs/*/*/artifacts"):
        assert read_config(Ledger.load(run_dir))["dataset"]["lookback"] == 21  # the number, not the word
        as_before(run_dir)
    raw_rows._loaded.clear()  # as in another process
    return found


def refit_of(sweep: Result) -> Path:
    return next(
        run_dir
        for run_dir in sweep.run_dir.parent.parent.glob("*/artifacts")
        if Ledger.load(run_dir).kind == "refit"
    )


def test_the_lookback_is_that_of_the_model(sweep: Result) -> None:
    refit = refit_of(sweep)
    again = dlcli.evaluate(refit).metrics
    assert again == {name: Ledger.load(refit).metrics[name] for name in again}


def test_a_sweep_is_reproduced(sweep: Result) -> None:
    result, found = reproduce(str(sweep.run_dir))
    assert not found.differences
    assert read_config(Ledger.load(result.run_dir))["dataset"]["lookback"] == 21


def test_a_sweep_goes_on_and_its_trials_stay(sweep: Result) -> None:
    resumed = dlcli.resume(sweep.run_dir, ["sweep.trials=2"])
    assert [trial["run_id"] for trial in resumed.trials][:1] == [trial["run_id"] for trial in sweep.trials]
    assert len(resumed.trials) == 2
