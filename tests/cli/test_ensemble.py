"""`dlcli ensemble`: greedy selection of members, recorded as a run."""

from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.config.next_command import resume_command
from dlcli.errors import CorruptRun, DataError, InputError
from dlcli.inference.greedy import select_greedily
from dlcli.inference.saved_model import SavedModel
from dlcli.result import Result
from dlcli.runner.reproduce import reproduce
from dlcli.runs.archive import write_archive
from dlcli.runs.chosen_runs import with_members
from dlcli.runs.deletion import plan_deletion
from dlcli.runs.folder import OpenedRun
from dlcli.runs.inventory import list_runs
from dlcli.tracking.ledger import Ledger

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


def test_a_model_without_a_score_is_never_selected() -> None:
    """A diverged model comes first; NaN is neither more nor less than the others' scores."""
    truth, broken = torch.zeros(4, 1), torch.full((4, 1), torch.nan)

    def error(outputs: torch.Tensor) -> float:
        return float((outputs - truth).abs().mean())

    for maximize in (False, True):
        found = select_greedily(
            [broken, truth + 1, truth - 1], lambda o: o.mean(dim=1), error, maximize=maximize, size=3
        )
        assert (found.counts[0], found.single) == (0, 1.0)
    nothing = select_greedily([broken], lambda o: o.mean(dim=1), error, maximize=False, size=2)
    assert np.isnan([nothing.score, nothing.single]).all()


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
    assert together.values.keys() >= {"test/loss", "test/accuracy"}
    again = dlcli.evaluate(together.run_dir)
    assert again.values == pytest.approx(together.values)
    table = dlcli.predict(together.run_dir, folder / "pets.csv")
    assert table is not None
    assert "spread" in table
    recorded = pd.read_parquet(together.run_dir / "predictions.parquet")
    assert set(recorded["row"]) == set(np.load(together.run_dir / "split.npz")["test"])


def test_the_models_of_one_candidate_are_in_memory_at_a_time(
    sweep: Result, together: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[weakref.ref[object]] = []
    counts: list[int] = []

    def counted(run: OpenedRun) -> SavedModel:
        model = load(run)
        loaded.append(weakref.ref(model.network))
        gc.collect()
        counts.append(sum(one() is not None for one in loaded))
        return model

    load = OpenedRun.load_model
    monkeypatch.setattr(OpenedRun, "load_model", counted)
    dlcli.ensemble(sweep.run_dir, name="again", runs_dir=sweep.run_dir.parents[2])
    assert counts == [1, 1, 1, *range(1, len(together.members) + 1)]


def test_its_members_are_protected(sweep: Result, together: Result) -> None:
    with pytest.raises(InputError, match="the ensemble together predicts with its models"):
        plan_deletion([sweep.run_id], None, sweep.run_dir.parents[2], datetime.now(UTC), force=False)


def test_an_archive_takes_its_members_along(
    folder: Path, sweep: Result, together: Result, tmp_path: Path
) -> None:
    def run(*words: str, runs: Path = folder / "runs") -> str:
        done = CliRunner().invoke(app, [*words, "--runs-dir", str(runs)])
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    exported = run("runs", "export", "together", str(tmp_path / "both.zip"), "--no-checkpoints")
    assert "searched is included, because the ensemble together predicts with its models" in exported
    there = tmp_path / "there"
    run("runs", "import", str(tmp_path / "both.zip"), runs=there)
    pets = str(folder / "pets.csv")
    here, copied = (dlcli.predict("together", pets, runs_dir=place) for place in (folder / "runs", there))
    assert here is not None
    pd.testing.assert_frame_equal(here, copied)
    assert "is included" in run("runs", "push", str(tmp_path / "pushed"), "together")
    assert dlcli.predict("together", pets, runs_dir=tmp_path / "pushed") is not None
    # An archive of the ensemble alone, as an earlier dlcli wrote it.
    own = [one for one in list_runs(folder / "runs", datetime.now(UTC)) if one.run_id == together.run_id]
    write_archive(own, tmp_path / "alone.zip")
    alone = run("runs", "import", str(tmp_path / "alone.zip"), runs=tmp_path / "alone")
    assert "cannot predict: its members" in alone
    assert f"dlcli runs export {together.run_id[:8]} ensemble.zip" in alone
    with pytest.raises(CorruptRun, match="is missing"):
        dlcli.predict("together", pets, runs_dir=tmp_path / "alone")
    notes: list[str] = []
    with_members(own, own, notes)
    assert "is missing" in notes[0]


def test_other_commands_know_it(folder: Path, together: Result, tmp_path: Path) -> None:
    runs = ("--runs-dir", str(folder / "runs"))
    shown = CliRunner().invoke(app, ["runs", "show", "together", *runs])
    assert shown.exit_code == 0, shown.output
    assert "dlcli ensemble" in shown.output
    assert dlcli.report(together.run_dir).page.kicker.startswith("ensemble")
    single = dlcli.train(words(folder, "run_name=single"))
    compared = dlcli.compare([str(together.run_dir), str(single.run_dir)])
    assert compared.figures["accuracy"][0] == pytest.approx(together.values["test/accuracy"])
    done = CliRunner().invoke(app, ["resume", "together", *runs])
    assert done.exit_code == 0, done.output


def test_it_is_selected_again_and_never_trained(folder: Path, sweep: Result, together: Result) -> None:
    again = rf"[Ss]elect again: dlcli ensemble {sweep.run_id} --size 25"
    runs = folder / "runs"
    with pytest.raises(InputError, match=again):
        reproduce(str(together.run_dir), runs_dir=runs)
    with pytest.raises(InputError, match=again):
        dlcli.resume(together.run_dir, ["trainer.max_epochs=5"], runs_dir=runs)
    done = CliRunner().invoke(app, ["train", "--like", "together", "--runs-dir", str(runs)])
    assert done.exit_code == 2
    assert "is an ensemble" in done.output
    assert f"dlcli ensemble {sweep.run_id}" in " ".join(done.output.split())
    stopped = replace(Ledger.load(together.run_dir), status="KILLED")
    assert resume_command(stopped).startswith(f"dlcli ensemble {sweep.run_id} --size 25")


@pytest.fixture(scope="module")
def folds(folder: Path) -> list[Result]:
    return [
        dlcli.train(words(folder, "cv=stratified_kfold", "cv.folds=3", f"model.hidden={hidden}"))
        for hidden in (2, 8)
    ]


def test_folds_are_judged_out_of_fold(folder: Path, folds: list[Result]) -> None:
    runs = folder / "runs"
    moved = f"dataset.path={folder}/pets.csv"
    done = CliRunner().invoke(
        app,
        [
            "ensemble",
            *(run.run_id for run in folds),
            moved,
            "--metric",
            "accuracy",
            "--runs-dir",
            str(runs),
            "--json",
        ],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert len(found["members"]) in (3, 6)
    recorded = Ledger.load(Path(found["run_dir"]))
    assert "on 72 rows that each was not trained on" in recorded.result["messages"][0]
    assert moved in recorded.about["words"]
    compared = dlcli.compare([folds[0].run_dir, found["run_dir"]], runs_dir=runs)
    assert compared.pairs == ()
    assert compared.refusal is not None
    assert compared.refusal.startswith("The test rows differ, so there is no test: ")
    assert "the held-out rows of 3 folds" in compared.refusal
    assert "its final test rows" in compared.refusal


def test_several_runs_are_explained_on_their_final_test_rows(folder: Path, folds: list[Result]) -> None:
    both = ",".join(str(run.run_dir) for run in folds)
    found = dlcli.explain(both, runs_dir=folder / "runs", repeats=2)
    assert (found.rows, found.of_rows) == (18, "final test rows")
    model = dlcli.load_run(both)
    rows = np.load(folds[0].run_dir / "split.npz")["test"]
    pets = pd.read_csv(folder / "pets.csv").iloc[rows]
    share = model.predict(pets)["p(dog)"].to_numpy()
    loss = -np.log(np.where(pets["kind"] == "dog", share, 1 - share)).mean()
    assert found.loss == pytest.approx(loss, rel=1e-4)
    other = dlcli.train(words(folder, "cv.seed=1"))
    with pytest.raises(DataError, match=r"was trained on [\s\S]* Name runs with the same final test rows"):
        dlcli.explain(f"{folds[0].run_dir},{other.run_dir}", runs_dir=folder / "runs", repeats=2)


def test_rows_outside_of_the_folds_are_reported(folds: list[Result]) -> None:
    assert any(
        "Only 72 of the run's 90 rows were checked" in text for text in dlcli.label(folds[0].run_dir).messages
    )


@pytest.mark.parametrize("kind", ["cv.seeds=2", "cv.refit=true"])
def test_a_holdout_is_judged_on_its_validation_rows(folder: Path, kind: str) -> None:
    """The test rows of its child runs are the final test rows, which select nothing."""
    runs = [dlcli.train(words(folder, kind, f"model.hidden={hidden}")) for hidden in (2, 8)]
    found = dlcli.ensemble([run.run_dir for run in runs], runs_dir=folder / "runs")
    parts = np.load(found.run_dir / "split.npz")
    assert "on 11 rows that each was not trained on" in found.messages[0]
    assert (len(parts["val"]), len(parts["test"])) == (11, 18)
    assert found.values.keys() >= {"test/accuracy"}
    explained = dlcli.explain(runs[0].run_dir, runs_dir=folder / "runs", repeats=2)
    assert (explained.rows, explained.of_rows) == (18, "final test rows")
    several = "Each of the 18 final test rows is predicted by 2 models; its mean error counts once."
    assert (several in explained.messages) == (kind == "cv.seeds=2")


def test_trials_without_weights_are_reported(folder: Path) -> None:
    keys = ["model.hidden=2,4", "run_name=few", "sweep.refit=false", "sweep.trials=2"]
    sweep = dlcli.sweep(words(folder, *keys))
    with pytest.raises(InputError, match=r"1 of 2 runs have kept their weights[\s\S]*tracking.keep=all"):
        dlcli.ensemble(sweep.run_dir, runs_dir=folder / "runs")
