"""Sweeps in this process: the results of `dlcli sweep`."""

from __future__ import annotations

import csv
import errno
import json
import math
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from torch import Tensor
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.comparison.compare_runs import compare_runs
from dlcli.errors import (
    ConfigError,
    CorruptRun,
    DiskFull,
    DlcliError,
    InputError,
    Interrupted,
    StoreError,
    TrainingError,
)
from dlcli.models.mlp import MLP
from dlcli.result import Result
from dlcli.runs.ensembles import open_model
from dlcli.runs.folder import open_run, read_result
from dlcli.splits.split import Split
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.objective import Objective
from dlcli.sweeps.planning import plan_sweep
from dlcli.sweeps.samplers import Random
from dlcli.sweeps.sweep_summary import why_failed
from dlcli.sweeps.trial import Trial
from dlcli.terminal.console import Terminal
from dlcli.terminal.outcome import tell_outcome
from dlcli.tracking.history import HistoryWriter
from dlcli.tracking.ledger import Ledger

QUICK = ["dataset=iris", "model=mlp", "trainer.max_epochs=3", "trainer.accelerator=cpu", "callbacks=none"]
SPACE = ["model.hidden=4,8", "optimizer.lr=tag(log,interval(1e-3,1e-1))"]


def own_experiment(project: Path, name: str, text: str) -> Path:
    """Write an experiment into a conf folder of the user's own; returns its file."""
    file = project / "conf" / "experiment" / f"{name}.yaml"
    file.parent.mkdir(parents=True)
    (project / "conf" / "dlcli.yaml").write_text("")
    file.write_text(text)
    return file


def ledgers(runs_dir: Path, name: str, kind: str) -> list[Ledger]:
    """Runs of a kind below the sweep with this name, in the order of their numbers; folds below its trials."""
    found = [Ledger.load(file.parent) for file in runs_dir.glob("*/*/artifacts/ledger.json")]
    (sweep,) = [ledger for ledger in found if ledger.run_name == name]
    if kind == "sweep":
        return [sweep]
    parents = [x.run_id for x in found if x.run_id == sweep.run_id or x.parent_id == sweep.run_id]
    mine = [ledger for ledger in found if ledger.kind == kind and ledger.parent_id in parents]
    return sorted(mine, key=lambda ledger: int(ledger.tags.get("dlcli.trial", 0)))


def params_of(result: Result) -> list[dict[str, Any]]:
    return [trial["params"] for trial in result.trials]


def record_of(result: Result) -> list[str]:
    """What a resumption may change in a run's folder."""
    return [(result.run_dir / name).read_text() for name in ("ledger.json", "config.yaml", "overrides.txt")]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: making it takes longer than a small sweep."""
    return tmp_path_factory.mktemp("runs")


def sweep(runs_dir: Path, name: str, *overrides: str) -> Result:
    return dlcli.sweep([*QUICK, *overrides, f"runs_dir='{runs_dir}'", f"run_name={name}"])


@pytest.fixture(scope="module")
def swept(runs_dir: Path) -> Result:
    return sweep(runs_dir, "s", *SPACE, "sweep.trials=5")


def test_the_best_trial_is_the_one_with_the_least_monitored_value(swept: Result) -> None:
    assert swept.status == "FINISHED"
    assert [trial["trial"] for trial in swept.trials] == list(range(5))
    values = [trial["value"] for trial in swept.trials]
    assert swept.best is not None
    assert swept.best["value"] == min(values) == swept.values["best/val/loss"]
    for trial in swept.trials:
        assert trial["value"] == trial["metrics"]["val/loss"]


def test_trials_use_no_test_rows_and_the_best_model_is_tested_once(swept: Result, runs_dir: Path) -> None:
    final = Split.load(swept.run_dir / "split.npz").test
    assert len(final) == 30
    for trial in ledgers(runs_dir, "s", "trial"):
        split = Split.load(trial.run_dir / "split.npz")
        assert split.sizes == {"train": 102, "val": 18, "test": 0}
        assert not set(final) & {*split.train, *split.val}
        assert not [name for name in trial.metrics if "test/" in name]
    (refitted,) = ledgers(runs_dir, "s", "refit")
    split = Split.load(refitted.run_dir / "split.npz")
    assert split.sizes == {"train": 120, "val": 0, "test": 30}
    assert refitted.metrics["test/accuracy"] == swept.values["test/accuracy"]
    # It has what a run has, and the words that it can be trained by.
    there = {file.name for file in refitted.run_dir.iterdir()}
    assert there >= {"plots", "breakdown.csv", "environment.txt", "predictions.parquet"}
    assert (refitted.run_dir / "plots" / "learning_curves.png").exists()
    words = (refitted.run_dir / "overrides.txt").read_text().splitlines()
    assert swept.best is not None
    assert words == shlex.split(swept.best["command"])[2:]


def test_the_winner_is_shown_with_baselines(swept: Result, capsys: pytest.CaptureFixture[str]) -> None:
    assert swept.best is not None
    best = read_result(swept.run_dir.parents[1] / swept.best["run_id"] / "artifacts")
    assert swept.baselines["val/loss"] == best.baselines["val/loss"]
    assert swept.baselines["test/accuracy"] == pytest.approx(1 / 3)
    with Terminal() as terminal:
        tell_outcome(terminal, swept, json=False)
    told = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["val", "(best", "trial)", "final", "test", "(refitted)"] for line in told)
    (line,) = [line for line in told if line.split()[:1] == ["accuracy"]]
    assert line.count("baseline 0.3333") == 2  # val and test


def test_best_names_the_refitted_winner_which_can_be_exported(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept = sweep(runs_dir, "newest", "model.hidden=4,8")
    again = CliRunner().invoke(app, ["eval", "best", "--json", "--runs-dir", str(runs_dir)])
    assert again.exit_code == 0, again.output
    found = json.loads(again.stdout)["metrics"]["test/accuracy"]
    assert found == pytest.approx(swept.values["test/accuracy"])
    assert dlcli.load_run(swept.run_dir)
    assert [text for text in swept.messages if text.startswith("Not drawn: ")] == [
        "Not drawn: parallel_coordinates (it needs two settings); importances (it needs four finished trials that "
        "differ in value, and a setting that all of them have); contour (it needs four finished trials, and three "
        "values of each of the two most important settings)."
    ]
    # It has no validation rows: the exported program is compared on others. torch itself takes seconds.
    monkeypatch.setattr("dlcli.exporting.export_network.write_program", lambda *_: 0.0)
    words = ["export", "best", "--output", "winner.pt2", "--json", "--runs-dir", str(runs_dir)]
    exported = CliRunner().invoke(app, words)
    assert exported.exit_code == 0, exported.output
    assert json.loads(exported.stdout)["rows_compared"] == 20


def test_only_the_best_trial_keeps_its_weights(swept: Result, runs_dir: Path) -> None:
    assert swept.best is not None
    for trial in ledgers(runs_dir, "s", "trial"):
        is_best = trial.run_id == swept.best["run_id"]
        assert (trial.run_dir / "model" / "weights.safetensors").exists() == is_best
        if not is_best:
            with pytest.raises(CorruptRun, match="weights were not kept"):
                dlcli.load_run(trial.run_dir)


def test_mlflow_has_the_sweep_with_its_trials(swept: Result) -> None:
    client = MlflowClient(swept.tracking_uri)
    parent = client.get_run(swept.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["dlcli.kind"] == "sweep"
    assert swept.best is not None
    assert parent.data.tags["dlcli.best_command"] == swept.best["command"]
    assert parent.data.metrics["best/val/loss"] == swept.best["value"]
    history = client.get_metric_history(swept.run_id, "sweep/value")
    assert [entry.value for entry in history] == [trial["value"] for trial in swept.trials]
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{swept.run_id}'"
    )
    trials = {child.info.run_id: child for child in children if child.data.tags["dlcli.kind"] == "trial"}
    assert set(trials) == {trial["run_id"] for trial in swept.trials}
    for trial in swept.trials:
        run = trials[trial["run_id"]]
        assert run.data.params == {key: str(value) for key, value in trial["params"].items()}
        assert (run.data.tags.get("dlcli.best") == "true") == (trial["run_id"] == swept.best["run_id"])


def test_no_point_but_the_winner_looks_chosen(swept: Result, runs_dir: Path) -> None:
    assert swept.best is not None
    params = MlflowClient(swept.tracking_uri).get_run(swept.run_id).data.params
    assert params["optimizer.lr"] == params["model.hidden"] == "searched: see sweep.space"
    assert params["trainer.max_epochs"] == "3"
    assert (
        (swept.run_dir / "config.yaml")
        .read_text()
        .startswith("# A sweep: the settings shared by all trials.")
    )
    winner = yaml.safe_load((swept.run_dir / "winner.yaml").read_text())
    assert winner["optimizer"]["lr"] == swept.best["params"]["optimizer.lr"]
    # The settings that gave the figures are compared; these are the winner's.
    (refitted,) = ledgers(runs_dir, "s", "refit")
    assert compare_runs(["s", refitted.run_id], runs_dir).settings == {}


def test_the_parent_keeps_the_table_and_pictures(swept: Result) -> None:
    with (swept.run_dir / "trials.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [float(line["val/loss"]) for line in lines] == [trial["value"] for trial in swept.trials]
    assert [float(line["optimizer.lr"]) for line in lines] == [p["optimizer.lr"] for p in params_of(swept)]
    names = {file.stem for file in (swept.run_dir / "plots").iterdir()}
    assert names >= {"history", "importances", "parallel_coordinates"}


def test_a_failed_plot_is_reported_and_a_key_may_have_choices_and_numbers(
    tmp_path: Path, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no such colour")

    monkeypatch.setattr("dlcli.sweeps.trial_plots.history", fails)
    own_experiment(
        tmp_path,
        "mixed",
        "# @package _global_\nsweep:\n  space:\n    optimizer: adam,sgd\n"
        "    optimizer=adam:\n      model.hidden: [4, 8]\n    optimizer=sgd:\n      model.hidden: range(5,7)\n",
    )
    asked = ["experiment=mixed", *QUICK, "sweep.refit=false", f"runs_dir='{runs_dir}'"]
    result = dlcli.sweep(asked, conf_dirs=[tmp_path / "conf"])
    assert {trial["params"]["model.hidden"] for trial in result.trials} == {4, 5, 6, 8}
    (told,) = [text for text in result.messages if "no such colour" in text]
    assert told.startswith(
        "pictures are missing in plots/: history (ValueError: no such colour). All values are"
    )
    assert (result.run_dir / "plots" / "parallel_coordinates.png").exists()


def test_a_trial_that_ended_in_the_moment_of_a_kill_is_noted_later(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    asked = ["model.hidden=4,8", "sweep.refit=false"]
    with monkeypatch.context() as patch:
        patch.setattr("dlcli.sweeps.driver.Driver._end", killed)
        with pytest.raises((KeyboardInterrupt, Interrupted)):
            sweep(runs_dir, "unnoted", *asked)
    result = dlcli.resume("unnoted", runs_dir=runs_dir)
    logged = MlflowClient(result.tracking_uri).get_metric_history(result.run_id, "sweep/value")
    assert [(entry.step, entry.value) for entry in logged] == [
        (trial["trial"], trial["value"]) for trial in result.trials
    ]
    assert result.best is not None
    (parent,) = ledgers(runs_dir, "unnoted", "sweep")
    assert parent.result["best_run_id"] == result.best["run_id"]


def test_a_signal_after_the_last_trial_shows_how_to_resume(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("dlcli.sweeps.run_sweep.write_sweep_report", stop)
    words = ["sweep", *QUICK, "model.hidden=4,8", "sweep.refit=false", "--name", "at the end", "--json"]
    done = CliRunner().invoke(app, [*words, "--runs-dir", str(runs_dir)])
    assert done.exit_code == 143
    document = json.loads(done.stdout)
    assert document["run_status"] == "KILLED"
    (error,) = document["errors"]
    assert error["message"].startswith("stopped by SIGTERM\n2 of 2 trials are done. The best is trial ")
    assert error["hint"].endswith(f"Resume it: dlcli resume 'at the end' --runs-dir {runs_dir}")


def test_a_signal_before_the_first_finished_trial_is_reported(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr("dlcli.sweeps.run_sweep.Driver.run", stop)
    with pytest.raises(Interrupted) as stopped:
        sweep(runs_dir, "none yet", "model.hidden=4,8")
    assert stopped.value.__notes__[0] == "0 of 2 trials are done."


def test_a_refit_that_fails_takes_nothing_from_what_was_found(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refit(*_: object, **__: object) -> None:
        raise TrainingError("the loss became nan")

    asked = ["optimizer.lr=0.1,1e-7"]  # of which the second learns nothing
    with monkeypatch.context() as patch:
        patch.setattr("dlcli.sweeps.final_model.refit", refit)
        with pytest.raises(TrainingError) as failed:
            sweep(runs_dir, "refit-fails", *asked)
    told, command, resume = failed.value.__notes__
    assert resume.startswith("Resume it: dlcli resume refit-fails")
    assert told.startswith(
        "This was the refit of trial 0; all trials are done. The best is trial 0: val/loss "
    )
    (parent,) = ledgers(runs_dir, "refit-fails", "sweep")
    assert command == f"Train it: {parent.tags['dlcli.best_command']}"
    assert parent.status == "FAILED"
    assert len((parent.run_dir / "trials.csv").read_text().splitlines()) == 3
    tags = [trial.tags.get("dlcli.best") for trial in ledgers(runs_dir, "refit-fails", "trial")]
    assert tags == ["true", None]
    assert "test/loss" in dlcli.resume("refit-fails", runs_dir=runs_dir).values


def test_the_command_trains_the_best_trial_again(swept: Result) -> None:
    assert swept.best is not None
    words = shlex.split(swept.best["command"])
    assert words[:2] == ["dlcli", "train"]
    again = dlcli.train(words[2:])
    assert again.values["val/loss"] == swept.best["value"]
    config = yaml.safe_load((again.run_dir / "config.yaml").read_text())
    assert "sweep" not in config


def test_a_seed_that_is_tried_is_the_one_that_trains(runs_dir: Path) -> None:
    result = sweep(runs_dir, "seeds", "seed=1,2", "sweep.refit=false")
    for trial, ledger in zip(result.trials, ledgers(runs_dir, "seeds", "trial"), strict=True):
        assert ledger.tags["dlcli.seed"] == str(trial["params"]["seed"])
    assert result.best is not None
    again = dlcli.train(shlex.split(result.best["command"])[2:])
    values = [trial["value"] for trial in result.trials]
    assert again.values["val/loss"] == min(values) < max(values)


def test_the_same_seed_gives_the_same_trials_however_often_it_was_extended(
    swept: Result, runs_dir: Path
) -> None:
    short = sweep(runs_dir, "short", *SPACE, "sweep.trials=2")
    longer = dlcli.resume("short", ["sweep.trials=5"], runs_dir=runs_dir)
    assert longer.run_id == short.run_id
    assert params_of(longer) == params_of(swept)
    assert [t["value"] for t in longer.trials] == [t["value"] for t in swept.trials]
    assert longer.values == swept.values
    assert longer.duration_s > Ledger.load(longer.run_dir).earlier_s >= short.duration_s > 0
    assert [t["run_id"] for t in longer.trials[:2]] == [t["run_id"] for t in short.trials]
    done = dlcli.resume("short", runs_dir=runs_dir)
    assert done.messages == ("The run is finished: there is nothing to do.",)
    told = CliRunner().invoke(app, ["resume", "short", "--runs-dir", str(runs_dir)]).stdout
    assert told.splitlines()[0] == "The run is finished: there is nothing to do."
    assert told.count("nothing to do") == 1
    client = MlflowClient(longer.tracking_uri)
    assert [x.step for x in client.get_metric_history(longer.run_id, "sweep/value")] == list(range(5))
    tagged = [t["trial"] for t in longer.trials if Ledger.load(
        longer.run_dir.parents[1] / t["run_id"] / "artifacts").tags.get("dlcli.best") == "true"]  # fmt: skip
    assert longer.best is not None
    assert tagged == [longer.best["trial"]]


def test_a_sweep_that_somebody_records_is_left_as_it_was(
    swept: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.tracking.history._PATIENCE", 0.0)
    before = record_of(swept)
    with (
        closing(HistoryWriter(swept.run_dir)),
        pytest.raises(InputError, match="another process is recording"),
    ):
        dlcli.resume(swept.run_dir, ["sweep.trials=9"])
    assert record_of(swept) == before


def test_fewer_trials_than_there_are_are_refused(swept: Result) -> None:
    before = record_of(swept)
    with pytest.raises(ConfigError, match=r"3 is less than the 5 trials that the sweep has already"):
        dlcli.resume(swept.run_dir, ["sweep.trials=3"])
    assert record_of(swept) == before


def test_what_proposes_points_stays_when_more_trials_would_suffice_for_all_of_them(runs_dir: Path) -> None:
    asked = ["model.hidden=2,3,4", "sweep/sampler=random", "sweep.refit=false"]
    sweep(runs_dir, "settled", *asked, "sweep.trials=2")
    longer = dlcli.resume("settled", ["sweep.trials=3"], runs_dir=runs_dir)
    space = plan_sweep([*QUICK, *asked]).space
    first, second, third = params_of(longer)
    assert [first, second] == [Random(space, 0).point(number) for number in range(2)]
    assert third not in (first, second)


@pytest.mark.parametrize("folds", [[], ["cv=kfold", "cv.folds=2", "cv.test_size=0.2"]], ids=["one", "folds"])
def test_a_full_disk_does_not_fail_the_trial(
    folds: list[str], runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_report(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    name = f"full-disk-{len(folds)}"
    asked = ["model.hidden=4,8", "sweep.refit=false", *folds]
    with monkeypatch.context() as patch:
        patch.setattr("dlcli.job.write_report", write_report)
        with pytest.raises(DiskFull) as full:
            sweep(runs_dir, name, *asked)
    assert full.value.__notes__[-1].startswith(f"Resume it: dlcli resume {name}")
    (trial,) = ledgers(runs_dir, name, "trial")
    assert trial.status == "KILLED"
    assert ledgers(runs_dir, name, "sweep")[0].status == "FAILED"
    result = dlcli.resume(name, runs_dir=runs_dir)
    assert [trial["status"] for trial in result.trials] == ["FINISHED", "FINISHED"]
    assert result.trials[0]["run_id"] == trial.run_id


def test_every_trial_can_be_resumed_after_an_error_of_the_driver(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(*_: object) -> bool:
        raise RuntimeError("not the trial's doing")

    def refuse(*_: object) -> None:
        raise StoreError("the store refuses")

    asked = ["optimizer.lr=0.1,0.01", "sweep.refit=false", "sweep/pruner=median"]
    with monkeypatch.context() as patch:
        patch.setattr("dlcli.sweeps.study.Study.report", report)
        with pytest.raises(RuntimeError, match="not the trial's doing"):
            sweep(runs_dir, "ours", *asked)
    assert [trial.status for trial in ledgers(runs_dir, "ours", "trial")] == ["FINISHED"]
    with monkeypatch.context() as patch:
        patch.setattr("dlcli.tracking.store.make_folder", refuse)
        with pytest.raises(StoreError):
            dlcli.resume("ours", runs_dir=runs_dir)
    result = dlcli.resume("ours", runs_dir=runs_dir)
    assert [trial["status"] for trial in result.trials] == ["FINISHED", "FINISHED"]
    assert len(ledgers(runs_dir, "ours", "trial")) == 2


def test_folds_of_a_trial_and_hopeless_ones_that_stop_early(runs_dir: Path) -> None:
    result = sweep(
        runs_dir, "folds", "optimizer.lr=0.001,0.1,1e-7,1e-6", "cv=stratified_kfold", "cv.folds=4",
        "cv.test_size=0.2", "sweep/pruner=wilcoxon", "sweep.pruner.p_threshold=0.3",
        "sweep.refit=false",
    )  # fmt: skip
    states = [trial["status"] for trial in result.trials]
    assert states == ["FINISHED", "FINISHED", "PRUNED", "PRUNED"]
    first, *_, last = ledgers(runs_dir, "folds", "trial")
    assert (first.status, last.status) == ("FINISHED", "KILLED")
    assert last.tags["dlcli.pruned"] == "after fold 2 of 4"
    folds = [fold for fold in ledgers(runs_dir, "folds", "fold") if fold.parent_id == first.run_id]
    held_out = [Split.load(fold.run_dir / "split.npz") for fold in folds]
    assert sorted(row for split in held_out for row in split.val) == sorted(
        set(range(150)) - set(Split.load(result.run_dir / "split.npz").test)
    )
    assert {len(split.test) for split in held_out} == {0}
    mean = sum(fold.metrics["best/val/loss"] for fold in folds) / 4
    assert result.trials[0]["value"] == pytest.approx(mean)
    assert len([fold for fold in ledgers(runs_dir, "folds", "fold") if fold.parent_id == last.run_id]) == 2
    assert not list((runs_dir / ".active").iterdir())


@pytest.mark.parametrize("pruner", ["median", "asha", "hyperband"])
def test_epochs_of_a_hopeless_trial_are_saved(pruner: str, runs_dir: Path) -> None:
    result = sweep(
        runs_dir, pruner, "optimizer.lr=0.1,1e-7", f"sweep/pruner={pruner}", "sweep.refit=false",
        *(["sweep.pruner.startup_trials=1"] if pruner == "median" else []),
    )  # fmt: skip
    assert [trial["status"] for trial in result.trials] == ["FINISHED", "PRUNED"]
    pruned = ledgers(runs_dir, pruner, "trial")[1]
    assert pruned.tags["dlcli.pruned"] == "after epoch 1"
    assert not (pruned.run_dir / "checkpoints").exists()
    assert result.trials[1]["value"] is None
    assert 0 < result.trials[1]["duration_s"] < 60
    # One finished trial is drawn like many.
    names = {file.stem for file in (result.run_dir / "plots").iterdir()}
    assert names == {"history"}


def test_a_failed_trial_is_recorded_and_the_sweep_continues(runs_dir: Path) -> None:
    result = sweep(runs_dir, "one-fails", "optimizer=sgd", "optimizer.lr=0.1,1e30", "sweep.refit=false")
    assert [trial["status"] for trial in result.trials] == ["FINISHED", "FAILED"]
    assert "loss became" in result.trials[1]["reason"]
    failed = ledgers(runs_dir, "one-fails", "trial")[1]
    assert failed.status == "FAILED"
    assert "loss became" in (failed.run_dir / "error.txt").read_text()


def test_a_model_that_ends_the_program_fails_alone(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = MLP.forward

    def leaves(self: MLP, x: Tensor) -> Tensor:
        if next(self.parameters()).shape[0] == 4:
            sys.exit("no such file")
        return forward(self, x)

    monkeypatch.setattr(MLP, "forward", leaves)
    result = sweep(runs_dir, "leaves", "model.hidden=8,4", "sweep.refit=false")
    assert [trial["status"] for trial in result.trials] == ["FINISHED", "FAILED"]
    assert "SystemExit: no such file" in result.trials[1]["reason"]
    with pytest.raises(ConfigError, match="SystemExit: no such file"):  # the first point is rehearsed
        sweep(runs_dir, "leaves at once", "model.hidden=4,8")


def test_a_nan_objective_fails_the_trial_and_the_sweep_continues(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(self: Objective, folds: Sequence[Mapping[str, float]]) -> float:
        learns_nothing = folds[0]["val/loss"] > 0.7
        return math.nan if learns_nothing else folds[0][self.metric]

    monkeypatch.setattr(Objective, "of", of)
    asked = ["optimizer.lr=1e-7,0.1", "sweep.max_failures=1", "sweep.refit=false"]
    with pytest.raises(TrainingError, match="val/loss is nan"):
        sweep(runs_dir, "no-number", *asked)
    result = dlcli.resume("no-number", ["sweep.max_failures=2"], runs_dir=runs_dir)
    assert [trial["status"] for trial in result.trials] == ["FAILED", "FINISHED"]
    assert result.trials[0]["reason"] == "val/loss is nan"  # as it was said before it went on


@pytest.mark.parametrize(
    ("goals", "modes"),
    [
        ("[val/accuracy]", ["max"]),
        ("[val/accuracy,val/log_loss,model/parameters]", ["max", "min", "min"]),
        ("['val/accuracy:max',val/loss]", ["max", "min"]),
    ],
)
def test_the_direction_of_an_objective_is_that_of_its_metric(
    goals: str, modes: list[str], tmp_path: Path
) -> None:
    asked = ["model.hidden=4,8", "monitor=val/loss", f"sweep.objectives={goals}", f"runs_dir='{tmp_path}'"]
    plan = plan_sweep([*QUICK, *asked])
    assert [objective.mode for objective in plan.objectives] == modes
    assert [text.rpartition(":")[2] for text in plan.config["sweep"]["objectives"] if ":" in text] == [
        objective.mode for objective in plan.objectives if not objective.is_cost
    ]
    if len(modes) == 1:
        assert (plan.config["monitor"], plan.config["mode"]) == ("val/accuracy", "max")


def test_what_is_looked_for_is_what_each_training_watches(runs_dir: Path) -> None:
    goal = "sweep.objectives=['val/accuracy:max']"
    result = sweep(runs_dir, "goal", "optimizer.lr=0.1", "model.hidden=4,8", goal, "sweep.refit=false")
    for trial in ledgers(runs_dir, "goal", "trial"):
        config = yaml.safe_load((trial.run_dir / "config.yaml").read_text())
        assert (config["monitor"], config["mode"]) == ("val/accuracy", "max")
    assert result.best is not None
    assert {"monitor=val/accuracy", "mode=max"} <= set(shlex.split(result.best["command"]))


def test_too_many_failures_stop_it_and_it_can_be_resumed(runs_dir: Path) -> None:
    asked = ["optimizer=sgd", "optimizer.lr=0.1,1e30,1e31,0.01", "sweep.max_failures=2", "sweep.refit=false"]
    with pytest.raises(
        TrainingError, match=r"2 trials of 3 failed\.(.|\n)*dlcli resume f sweep\.max_failures=4"
    ) as e:
        sweep(runs_dir, "f", *asked)
    assert e.value.exit_code == 1
    assert [x.status for x in ledgers(runs_dir, "f", "trial")] == ["FINISHED", "FAILED", "FAILED"]
    assert ledgers(runs_dir, "f", "sweep")[0].status == "FAILED"
    result = dlcli.resume("f", ["sweep.max_failures=5"], runs_dir=runs_dir)
    assert [trial["status"] for trial in result.trials] == ["FINISHED", "FAILED", "FAILED", "FINISHED"]
    failed = result.trials[1]
    assert failed["reason"] in str(e.value)
    assert failed["duration_s"] > 0


def test_there_is_no_best_trial_if_all_fail(runs_dir: Path) -> None:
    words = [
        "sweep",
        *QUICK,
        "optimizer=sgd",
        "optimizer.lr=1e30,1e31",
        "--json",
        "--runs-dir",
        str(runs_dir),
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["run_status"] == "FAILED"
    assert Ledger.load(Path(document["run_dir"])).run_id == document["run_id"]
    (error,) = document["errors"]
    assert error["message"].startswith(
        "no trial finished: 2 of 2 failed. The most frequent reason of failure: "
    )


def test_the_first_of_equal_trials_is_the_best() -> None:
    values = [(0.5,), (0.9,), (0.9,)]
    trials = [Trial(n, {}, Path(), "", "finished", values=v) for n, v in enumerate(values)]
    standing = Standing(trials, [Objective("val/accuracy", "max")])
    assert [trial.number for trial in standing.ranked] == [1, 2, 0]
    assert standing.front == [standing.best]


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (["a", "b", "b"], " The most frequent reason of failure: b."),
        (["a", "b"], " The first reason of failure: a."),
        (["a"], " The most frequent reason of failure: a."),
        ([], ""),
    ],
)
def test_why_trials_failed(reasons: list[str], said: str) -> None:
    trials = [Trial(n, {}, Path(), "", "failed", reason=reason) for n, reason in enumerate(reasons)]
    assert why_failed(Standing(trials, [])) == said


def test_several_objectives_give_a_front(runs_dir: Path) -> None:
    goals = "sweep.objectives=[val/loss:min,model/parameters]"
    result = sweep(
        runs_dir, "front", "model.hidden=2,16", "optimizer.lr=0.1,1e-6", goals, "sweep.refit=false"
    )
    points = [trial["values"] for trial in result.trials]
    front = {n for n, (a, b) in enumerate(points) if not any(
        (c <= a and d <= b and (c, d) != (a, b)) for c, d in points)}  # fmt: skip
    tagged = {
        x.tags["dlcli.trial"]
        for x in ledgers(runs_dir, "front", "trial")
        if x.tags.get("dlcli.best") == "true"
    }
    assert tagged == {str(number) for number in front}
    assert 0 < len(front) < 4
    assert result.best is not None
    assert result.best["trial"] in front
    assert set(result.to_json()["front"]) == front
    told = [message.split(":")[0] for message in result.messages if message.startswith("- trial")]
    assert told == [f"- trial {number}" for number in sorted(front, key=lambda n: points[n])]
    assert (result.run_dir / "plots" / "pareto_front.png").exists()


def test_a_cost_may_come_first_with_folds(runs_dir: Path, swept: Result) -> None:
    goals = "sweep.objectives=[model/parameters,val/accuracy:max,model/latency_ms]"
    result = sweep(runs_dir, "costs", "model.hidden=4,2", "cv=kfold", "cv.folds=2", "cv.test_size=0.2", goals)
    assert result.best is not None
    assert result.best["params"] == {"model.hidden": 2}
    for trial, ledger in zip(result.trials, ledgers(runs_dir, "costs", "trial"), strict=True):
        assert trial["values"][2] == ledger.metrics["model/latency_ms"] > 0
    # Each training stops by, and keeps, what is looked for.
    assert "monitor=val/accuracy" in shlex.split(result.best["command"])
    assert (result.run_dir / "plots" / "pareto_front.png").exists()
    # The models of the best trial's folds predict together.
    folds = [f for f in ledgers(runs_dir, "costs", "fold") if f.parent_id == result.best["run_id"]]
    found = open_model("costs", runs_dir, use="folds")
    assert {member.ledger.run_id for member in found.members} == {fold.run_id for fold in folds}
    refitted, mean = (dlcli.evaluate("costs", runs_dir=runs_dir, use=use) for use in ("refit", "folds"))
    assert refitted.metrics["test/loss"] == result.values["test/loss"] != mean.metrics["test/loss"]
    assert result.messages[-1].endswith(f"dlcli predict costs FILE --use folds --runs-dir {runs_dir}")
    with pytest.raises(InputError, match="a sweep with folds"):
        open_model(swept.run_id, runs_dir, use="folds")


def test_trials_are_configured_as_train_would(runs_dir: Path, swept: Result) -> None:
    assert swept.best is not None
    hidden = f"model.hidden={swept.best['params']['model.hidden']}"
    asked = ["trainer=debug", hidden, f"model.weights={swept.best['run_id']}"]
    fixed = [*QUICK, "trainer.max_epochs=9", *asked, f"runs_dir='{runs_dir}'"]
    plan = plan_sweep([*fixed, "optimizer.lr=0.1,0.2"])
    config = plan.trial_config({"optimizer.lr": 0.1})
    assert config["trainer"]["max_epochs"] == config["trainer"]["limit_epochs"]
    assert {**config, "sweep": plan.config["sweep"]} == plan.config
    other = dlcli.train([*QUICK, hidden, "cv.seed=5", f"runs_dir='{runs_dir}'"])
    with pytest.raises(ConfigError, match=r"model\.weights.*validation and test rows"):
        plan_sweep(
            [*fixed[:-2], f"runs_dir='{runs_dir}'", f"model.weights={swept.best['run_id']},{other.run_id}"]
        )
    # The refitted winner has learnt the rows by which trials were chosen.
    with pytest.raises(ConfigError, match=r"trained on 18 of"):
        plan_sweep(
            [*fixed[:-2], f"runs_dir='{runs_dir}'", f"model.weights={swept.run_id}", "optimizer.lr=0.1,0.2"]
        )


def test_trials_validate_on_the_held_out_rows_of_folds(runs_dir: Path) -> None:
    folds = ["cv=kfold", "cv.folds=2", "cv.test_size=0.2", "cv.val_size=0"]
    # What was not asked for, such as the task, is in no line.
    plan = plan_sweep([*QUICK, *folds, "optimizer.lr=0.1,0.2", f"runs_dir='{runs_dir}'"])
    assert [split.sizes["val"] for split in plan.estimation.splits] == [60, 60]
    words = [*QUICK, *folds, f"runs_dir='{runs_dir}'", "optimizer.lr=0.2"]
    assert shlex.split(plan.command({"optimizer.lr": 0.2})) == ["dlcli", "train", *words]
    assert plan.trial_config({"optimizer.lr": 0.2})["task"] == plan.config["task"]


def test_an_experiment_brings_its_own_space(tmp_path: Path, runs_dir: Path) -> None:
    file = own_experiment(
        tmp_path,
        "which",
        "# @package _global_\ndefaults:\n  - override /sweep/sampler: random\n"
        "sweep:\n  trials: 4\n  refit: false\n  space:\n    model: mlp,linear\n    model=mlp:\n"
        "      model.hidden: [4, 8]\n"
        "    optimizer.lr: 0.1,0.01\n",
    )
    asked = ["experiment=which", *QUICK[:1], *QUICK[2:], f"runs_dir='{runs_dir}'"]
    result = dlcli.sweep([*asked, "optimizer.lr=0.05"], conf_dirs=[tmp_path / "conf"])
    # Three points suffice for four trials: all of them, and what the command line fixes is fixed.
    assert params_of(result) == [
        {"model": "mlp", "model.hidden": 4}, {"model": "mlp", "model.hidden": 8}, {"model": "linear"},
    ]  # fmt: skip
    for fixed, space in {
        "model=mlp": {"optimizer.lr": "0.1,0.01", "model.hidden": [4, 8]},
        "model=linear": {"optimizer.lr": "0.1,0.01"},
    }.items():  # what a fixed model decides is decided
        plan = plan_sweep([*asked, fixed], [tmp_path / "conf"])
        assert plan.config["sweep"]["space"] == space
    trained = dlcli.train(
        [*asked, "model=mlp"], conf_dirs=[tmp_path / "conf"]
    )  # no sweep: the same experiment
    assert trained.status == "FINISHED"
    file.write_text(file.read_text().replace("[4, 8]", "[4, 16]"))
    before = record_of(result)
    with pytest.raises(
        ConfigError, match=r"sweep\.space: differs from the value that the run was started with"
    ):
        dlcli.resume(result.run_dir, ["sweep.trials=9"])  # its folder is remembered
    assert record_of(result) == before
    shutil.copytree(result.run_dir, tmp_path / "from elsewhere")
    opened = open_run(str(result.run_dir), runs_dir)
    assert opened.claim.to_resume(opened.config)[1] == (tmp_path / "conf",)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["optimizer.lr=interval(0.1)"], "cannot be read"),
        (["optimizer.lrr=0.1,0.2"], "optimizer.lr"),
        (["model.hidden=interval(4,9)"], r"model.hidden=4.0: should be(.|\n)*model.hidden=int\(interval\(4,9\)\)"),
        (["model.hidden=8,many"], "model.hidden=many: should be"),
        (["optimizer.lr=0.1,0.2", "monitor=test/loss"], "chooses by validation rows"),
        (["sweep.space={model=mlp:{model.hidden:[4,8]}}"], "cannot be read(.|\\n)*belong in an experiment's file"),
        (["sweep.space={optimizer.lr:interval(0,1)}"], "a function that is not quoted(.|\\n)*'interval"),
        (["dataset=iris,wine"], "dataset: cannot be varied"),
        (["cv.folds=2,3", "cv=kfold"], "cannot be varied"),
        (["model=mlp,lnear", "model.hidden=4,8"], r"^model=lnear: there is no option lnear\n.*linear\?.*$"),
        (["model=mlp,linear", "model.hiden=4,8"],
         r"^model\.hiden: dlcli.models.mlp.MLP has no argument hiden\n  Did you mean model.hidden\?$"),
        (["optimizer.lr=interval(1,0)", "model.dropout=interval(-1,2)"],
         r"(?s)a lower and an upper bound.*dropout=-1.0: should be.*dropout=2.0: should be"),
        (["optimizer.lr=interval(0,1)", "sweep/sampler=grid"], "a grid cannot contain all numbers of optimizer.lr"),
        (["optimizer.lr=0.1,0.2", "sweep/pruner=wilcoxon"], "a trial has one split"),
        (["optimizer.lr=0.1,0.2", "sweep.timeout=soon"], "not a duration"),
        (["optimizer.lr=0.1,0.2", "sweep.trials=0"], "at least 1"),
        (["task.loss.label_smoothing=0.0,0.1"], "changes the meaning of val/loss"),
        (["optimizer.lr=0.1,-1"], "optimizer.lr=-1: .*Invalid learning rate"),
        (["model=mlp,lstm"], "model=lstm: .*takes"),
        (["optimizer.lr=0.1,0.2", "sweep.objectives=['val/acuracy:min']"],
         r"sweep\.objectives: val/acuracy is monitored, but never logged\n.*val/accuracy"),
        (["optimizer.lr=0.1,0.2", "sweep.objectives=['val/loss:up']"], "val/loss:min or val/loss:max, or val/loss"),
        (["optimizer.lr=0.1,0.2", "sweep.objectives=['val/loss:max','model/parameters:min']"],
         r"sweep\.objectives: the mode is max(.|\n)*Use val/loss:min"),
        (["optimizer.lr=interval(0.1,0.2)", "sweep/sampler=cmaes",
          "sweep.objectives=['val/loss:min','model/parameters:min']"], "CMA-ES supports a single objective only"),
        (["optimizer.lr=0.1,0.2", "cv.val_size=0"], "there are no validation rows"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_a_run_is_made(overrides: list[str], text: str, tmp_path: Path) -> None:
    with pytest.raises(DlcliError, match=text):
        dlcli.sweep([*QUICK, *overrides, f"runs_dir='{tmp_path}/runs'"])
    assert not (tmp_path / "runs").exists()


def test_a_key_that_only_some_options_have_is_searched_with_these(tmp_path: Path) -> None:
    asked = [*QUICK, "model=linear,mlp", "model.hidden=4,8", "optimizer=sgd,adam", "optimizer.lr=0.1,0.2"]
    plan = plan_sweep([*asked, "optimizer.momentum=0.5,0.9", f"runs_dir='{tmp_path}'"])
    given = {dimension.key: dimension.given for dimension in plan.space.dimensions}
    assert given.pop("model.hidden") == (("model", "mlp"),)
    assert given.pop("optimizer.momentum") == (("optimizer", "sgd"),)
    assert set(given.values()) == {()}
    assert plan.space.points == (1 + 2) * (2 * 2 + 2)


def test_all_mistakes_of_a_space_are_reported_at_once(tmp_path: Path) -> None:
    own_experiment(
        tmp_path,
        "wrong",
        "# @package _global_\nsweep:\n  space:\n    model: mlp,tabmm\n    optimizer.lr: fast\n"
        "    model=mpl:\n      model.hidden: [4, 8]\n    model.hiden: 1,2\n",
    )
    with pytest.raises(ConfigError) as caught:
        plan_sweep(["experiment=wrong", "dataset=iris"], [tmp_path / "conf"])
    assert [(problem.where, problem.hint.partition("?")[0]) for problem in caught.value.problems] == [
        ("optimizer.lr=fast", "Write several values (a,b or choice(1,2)), range(1,5), interval(0,1) or "
         "tag(log,interval(1e-4,1e-1))."),
        ("sweep.space.model=mpl", "Did you mean mlp"),
        ("model=tabmm", "Did you mean tabm"),
        ("model.hiden", "Did you mean model.hidden"),
    ]  # fmt: skip


def test_problems_of_the_data_are_reported_as_by_train(tmp_path: Path) -> None:
    rows = [f"{number % 40},{number % 7},{'ab'[number % 2]}" for number in range(120)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y,target", *rows[:40], *rows[:40], *rows[:40]]))
    told: list[str] = []
    asked = [
        "dataset=table",
        f"dataset.path='{tmp_path}/rows.csv'",
        "dataset.target=target",
        "model=mlp,linear",
    ]
    plan_sweep([*asked, f"runs_dir='{tmp_path}/runs'"], tell=told.append)
    assert any("of 24 final test rows" in line for line in told), told
    assert told[-1].strip().startswith("hint: run dlcli check with one value for each key")


def test_a_disk_that_is_too_small_is_reported_before_a_run_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlcli.sweeps.cost.free_space", lambda _: 1000)
    with pytest.raises(ConfigError, match=r"the sweep leaves about .* 1 kB are free"):
        dlcli.sweep([*QUICK, *SPACE, f"runs_dir='{tmp_path}/runs'"])
    assert not (tmp_path / "runs").exists()


def test_settings_that_a_resumed_run_may_not_change(swept: Result) -> None:
    for override in ("optimizer.lr=0.1", "trainer.max_epochs=9", "sweep.sampler.startup_trials=3"):
        with pytest.raises(ConfigError, match="would make it another experiment"):
            dlcli.resume(swept.run_dir, [override])


def test_a_dry_run_trains_nothing(tmp_path: Path) -> None:
    words = ["sweep", *QUICK, *SPACE, "--trials", "7", "--dry-run", "--runs-dir", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["points"] is None
    assert document["trials"] == 7
    assert document["seconds"] > 0
    assert document["startable"] == 7
    text = CliRunner().invoke(app, [*words, "sweep.timeout=0.001"]).stdout
    assert "for 1 trial in this time" in text
    assert document["space"] == {"model.hidden": "4, 8", "optimizer.lr": "0.001 to 0.1, logarithmic"}
    assert [line.split()[0] for line in text.splitlines()[4:7]] == [
        "space:",
        "model.hidden:",
        "optimizer.lr:",
    ]
    assert "infinitely many points" in text
    assert "150 rows, 3 classes" in text
    assert "multiclass, loss CrossEntropy" in text
    assert "102 train, 18 val; 30 final test rows are not used" in text
    assert "Nothing was trained." in text
    assert not (tmp_path / "runs").exists()


def test_no_trial_starts_after_the_timeout(runs_dir: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"sweep.timeout passed before any trial finished(.|\n)*dlcli resume t"
    ):
        sweep(runs_dir, "t", *SPACE, "sweep.trials=2", "sweep.timeout=1e-9")
    assert not ledgers(runs_dir, "t", "trial")
    assert len(dlcli.resume("t", ["sweep.timeout=null"], runs_dir=runs_dir).trials) == 2


def test_trials_with_and_without_a_season_have_the_lookback_of_three_seasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = "".join(f"{1949 + m // 12}-{m % 12 + 1:02},{m % 12 + m / 9}\n" for m in range(160))
    Path("s.csv").write_text(f"t,v\n{lines}")
    words = [
        "dataset=series",
        "dataset.path=s.csv",
        "dataset.horizon=6",
        "preprocessing.deseasonalize=false,true",
    ]
    plan = plan_sweep(words)
    points = [{"preprocessing.deseasonalize": season} for season in (False, True)]
    assert [plan.trial_config(point)["dataset"]["lookback"] for point in points] == [36, 36]
    # A trial by itself would have 24 without a season.
    assert "dataset.lookback=36" in plan.words(points[0])
    assert plan_sweep([*words, "dataset.lookback=40"]).words(points[0]).count("dataset.lookback=40") == 1
    with pytest.raises(ConfigError, match="no known season") as refused:
        plan_sweep([*words, "dataset.season=1"])
    assert refused.value.problems[0].where == "preprocessing.deseasonalize=true"
