"""Runs that earlier versions recorded, with less in their configurations, can be continued, evaluated and repeated."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import dlcli
from dlcli.assembly import windows_to_train
from dlcli.datasets import raw_rows, series
from dlcli.datasets.lookback import Lookback
from dlcli.result import Result
from dlcli.runner.reproduce import reproduce
from dlcli.runs.folder import recorded_epochs
from dlcli.runs.recorded import read_config
from dlcli.tracking.best_epoch import best_epoch
from dlcli.tracking.digests import digest
from dlcli.tracking.history import read_history
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
        patch.setattr(windows_to_train, "shorter_lookbacks", lambda steps, *_: [steps])
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
    again = dlcli.evaluate(refit).values
    assert again == {name: Ledger.load(refit).metrics[name] for name in again}


def test_a_sweep_is_reproduced(sweep: Result) -> None:
    result, found = reproduce(str(sweep.run_dir))
    assert not found.differences
    assert read_config(Ledger.load(result.run_dir))["dataset"]["lookback"] == 21


def test_a_resumed_sweep_keeps_its_trials(sweep: Result) -> None:
    resumed = dlcli.resume(sweep.run_dir, ["sweep.trials=2"])
    assert [trial["run_id"] for trial in resumed.trials][:1] == [trial["run_id"] for trial in sweep.trials]
    assert len(resumed.trials) == 2


def counting_from_zero(run_dir: Path) -> None:
    """Let a run's record count epochs from 0, as earlier versions did."""
    history = run_dir / "metrics.jsonl"
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    for line in lines:
        line["step"] = max(line["step"] - 1, 0)
        if (best := line["metrics"].pop("best/epoch", None)) is not None:
            line["metrics"]["best_epoch"] = best - 1
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ledger = Ledger.load(run_dir)
    metrics = dict(ledger.metrics)
    metrics["best_epoch"] = metrics.pop("best/epoch") - 1
    ledger.update(
        metrics=metrics, digests={**(ledger.digests or {}), history.name: [digest(history.read_bytes())]}
    )


def steps_of(run_dir: Path) -> list[int]:
    return [line.step for line in read_history(run_dir) if "train/loss" in line.metrics]


def test_epochs_that_were_counted_from_zero_are_read_and_continued(tmp_path: Path) -> None:
    words = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=3", *QUICK[1:]]
    first = dlcli.train([*words, f"runs_dir='{tmp_path}'"])
    assert steps_of(first.run_dir) == [1, 2, 3]
    best = best_epoch(Ledger.load(first.run_dir).metrics)
    counting_from_zero(first.run_dir)
    assert steps_of(first.run_dir) == [0, 1, 2]
    assert best_epoch(Ledger.load(first.run_dir).metrics) == best
    assert f"The weights are those of epoch {best}," in dlcli.report(first.run_dir).text
    resumed = dlcli.resume(first.run_dir, ["trainer.max_epochs=5"])
    assert steps_of(resumed.run_dir) == [0, 1, 2, 3, 4]
    losses = [epoch["val/loss"] for epoch in recorded_epochs(resumed.run_dir)]
    assert best_epoch(Ledger.load(resumed.run_dir).metrics) == 1 + int(np.argmin(losses))
    assert list(resumed.history.index) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"best/epoch": 3.0, "best_epoch": 7.0}, 3),
        ({"best_epoch": 0.0}, 1),
        ({"best/epoch": math.nan}, None),
        ({"best_epoch": -1.0}, None),
        ({"best_epoch": math.inf}, None),
        ({}, None),
    ],
)
def test_the_best_epoch_counts_from_one(metrics: dict[str, float], expected: int | None) -> None:
    assert best_epoch(metrics) == expected
