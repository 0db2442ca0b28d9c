"""`dlcli ensemble`: greedy selection of members, recorded as a run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import InputError
from dlcli.inference.greedy import select_greedily
from dlcli.result import Result
from dlcli.runs.deletion import plan_deletion

QUICK = ["model=mlp", "trainer.max_epochs=2", "trainer.accelerator=cpu", "cv.test_size=0.2"]


def test_models_whose_errors_cancel_are_selected_together() -> None:
    truth = torch.zeros(4, 1)
    models = [truth + 1, truth - 1, truth + 3]
    found = select_greedily(
        models, lambda o: o.mean(dim=1), lambda o: float((o - truth).abs().mean()), maximize=False, size=6
    )
    assert found.counts == (1, 1, 0)
    assert (found.score, found.single) == (0.0, 1.0)


def test_a_model_can_count_several_times() -> None:
    truth = torch.zeros(4, 1)
    models = [truth + 1, truth - 2]
    found = select_greedily(
        models, lambda o: o.mean(dim=1), lambda o: -float((o - truth).abs().mean()), maximize=True, size=6
    )
    assert found.counts == (2, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("selected")
    random = np.random.default_rng(0)
    size = random.normal(size=90).round(3)
    kind = np.where(size + random.normal(size=90) / 2 > 0, "dog", "cat")
    pd.DataFrame({"size": size, "coat": random.choice(["a", "b"], 90), "kind": kind}).to_csv(
        folder / "pets.csv", index=False
    )
    return folder


def words(folder: Path, *more: str) -> list[str]:
    data = ["dataset=table", f"dataset.path='{folder}/pets.csv'", "dataset.target=kind"]
    return [*data, f"runs_dir='{folder}/runs'", *QUICK, *more]


@pytest.fixture(scope="module")
def sweep(folder: Path) -> Result:
    keys = ["model.hidden=2,4,8", "tracking.keep=all", "run_name=searched", "sweep.refit=false"]
    return dlcli.sweep(words(folder, *keys, "sweep.trials=3"))


@pytest.fixture(scope="module")
def together(sweep: Result) -> Result:
    return dlcli.ensemble(sweep.run_dir, name="together", runs_dir=sweep.run_dir.parents[2])


def test_an_ensemble_is_a_run_that_is_tested_once(folder: Path, sweep: Result, together: Result) -> None:
    trials = {trial["run_id"] for trial in sweep.trials}
    assert set(together.members) <= trials
    assert together.metrics.keys() >= {"test/loss", "test/accuracy"}
    again = dlcli.evaluate(together.run_dir)
    assert again.metrics == pytest.approx(together.metrics)
    table = dlcli.predict(together.run_dir, folder / "pets.csv")
    assert table is not None
    assert "spread" in table
    recorded = pd.read_parquet(together.run_dir / "predictions.parquet")
    assert set(recorded["row"]) == set(np.load(together.run_dir / "split.npz")["test"])


def test_its_members_are_protected(sweep: Result, together: Result) -> None:
    with pytest.raises(InputError, match="the ensemble together predicts with its models"):
        plan_deletion([sweep.run_id], None, sweep.run_dir.parents[2], datetime.now(UTC), force=False)


def test_other_commands_know_it(folder: Path, together: Result, tmp_path: Path) -> None:
    runs = ("--runs-dir", str(folder / "runs"))
    shown = CliRunner().invoke(app, ["runs", "show", "together", *runs])
    assert shown.exit_code == 0, shown.output
    assert "dlcli ensemble" in shown.output
    assert dlcli.report(together.run_dir).page.kicker.startswith("ensemble")
    single = dlcli.train(words(folder, "run_name=single"))
    compared = dlcli.compare([str(together.run_dir), str(single.run_dir)])
    assert compared.figures["accuracy"][0] == pytest.approx(together.metrics["test/accuracy"])
    done = CliRunner().invoke(app, ["resume", "together", *runs])
    assert done.exit_code == 0, done.output


def test_folds_are_judged_out_of_fold(folder: Path) -> None:
    runs = [
        dlcli.train(words(folder, "cv=stratified_kfold", "cv.folds=3", f"model.hidden={hidden}"))
        for hidden in (2, 8)
    ]
    found = dlcli.ensemble([run.run_dir for run in runs], runs_dir=folder / "runs", metric="accuracy")
    assert len(found.members) in (3, 6)
    assert "on 72 rows that each was not trained on" in found.messages[0]


def test_trials_without_weights_are_told(folder: Path) -> None:
    keys = ["model.hidden=2,4", "run_name=few", "sweep.refit=false", "sweep.trials=2"]
    sweep = dlcli.sweep(words(folder, *keys))
    with pytest.raises(InputError, match=r"1 of 2 runs have kept their weights[\s\S]*tracking.keep=all"):
        dlcli.ensemble(sweep.run_dir, runs_dir=folder / "runs")
