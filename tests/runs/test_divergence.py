"""Runs that diverged: `resume` and `eval` report it, with a command for a new run."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import CorruptRun, DlcliError, InputError
from dlcli.runs.divergence import divergence, way_out
from dlcli.runs.find import find_run
from dlcli.tracking.ledger import Ledger

WORDS = ["dataset=iris", "model=mlp", "trainer.accelerator=cpu", "trainer.max_epochs=2", "--jobs", "1"]


def diverged(runs_dir: Path, *words: str) -> DlcliError:
    """Train a run that diverges, and return what `resume` says."""
    with pytest.raises(dlcli.errors.Diverged):
        dlcli.train([*WORDS[:-2], *words, f"runs_dir='{runs_dir}'"])
    with pytest.raises(InputError, match="and the same steps would probably end there again") as found:
        dlcli.resume("last", runs_dir=runs_dir)
    return found.value


def pasted(error: DlcliError) -> None:
    """Run the command that an error shows."""
    hint = error.problems[0].hint
    done = CliRunner().invoke(app, shlex.split(hint[hint.index("dlcli ") :])[1:])
    assert done.exit_code == 0, done.output


def test_a_lower_rate_is_the_way_out(tmp_path: Path) -> None:
    runs_dir = tmp_path / "my runs"
    error = diverged(runs_dir, "optimizer=sgd", "optimizer.lr=3e3")
    assert "with a tenth of the learning rate" in error.problems[0].hint
    assert "optimizer.lr=300 " in error.problems[0].hint
    first = find_run("last", runs_dir).run_dir
    with pytest.raises(CorruptRun, match="has no model, since its training loss became") as found:
        dlcli.evaluate(first)
    assert (
        found.value.problems[0].hint == f"Resuming it would probably diverge again. {error.problems[0].hint}"
    )
    with pytest.raises(
        InputError, match="the same steps would probably end there again"
    ):  # as with more epochs
        dlcli.resume(first, ["trainer.max_epochs=9"])
    with pytest.raises(dlcli.errors.Diverged):  # a change of the place of running is tried
        dlcli.resume(first, ["trainer.accelerator=auto"])


@pytest.mark.parametrize("cv", ["cv=holdout", "cv=stratified_kfold"])
def test_the_shown_command_trains(cv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folds = ["cv.folds=2"] if "fold" in cv else []
    with monkeypatch.context() as patch:
        patch.setattr(
            "dlcli.tasks.losses.CrossEntropy.forward", lambda self, outputs, y: outputs.mean() * math.inf
        )
        error = diverged(tmp_path, "optimizer=sgd", "optimizer.lr=0.5", cv, *folds)
    pasted(error)


SOLVER = {"_target_": "dlcli.training.penalty_path.PenaltyPath", "lr": 1.0}
FINDER = {"_target_": "dlcli.training.finders.LearningRateFinder"}


def failed(tmp_path: Path, letter: str = "a", kind: str = "run", parent: str | None = None) -> Ledger:
    """Return the ledger of a run that diverged, in a folder."""
    run_id = letter * 32
    run_dir = tmp_path / "iris" / run_id / "artifacts"
    run_dir.mkdir(parents=True)
    ledger = Ledger(run_dir, run_id, "x", "iris", kind=kind, token=run_id, parent_id=parent)
    ledger.update(status="FAILED", error="Diverged: the training loss became nan, of all rows")
    return ledger


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"optimizer": SOLVER}, "optimizer=adam callbacks=default"),
        ({"optimizer": {"_target_": "own.Optimizer"}}, "trainer.gradient_clip_val=1"),
        ({"optimizer": {}, "trainer": {"gradient_clip_val": 1.0}}, "trainer.gradient_clip_val=0.1"),
        ({"optimizer": {"lr": 0.5}, "finder": FINDER}, "optimizer.lr=0.05 finder=none"),
        ({"optimizer": {"lr": 0.5}, "finder": {}}, "optimizer.lr=0.05"),
    ],
)
def test_the_way_out_changes_something(config: dict[str, object], words: str, tmp_path: Path) -> None:
    ledger = failed(tmp_path)
    assert divergence(ledger) == "training loss became nan, of all rows"
    assert f"dlcli train --like aaaaaaaa {words} --runs-dir" in way_out(ledger, {"trainer": {}, **config})


def test_a_rate_that_a_finder_has_found_is_not_found_again(tmp_path: Path) -> None:
    ledger = failed(tmp_path)
    ledger.tags["dlcli.found"] = "optimizer.lr=0.5"
    assert "optimizer.lr=0.05 finder=none" in way_out(ledger, {"optimizer": {"lr": 0.5}, "trainer": {}})


def test_a_trial_of_a_sweep_is_trained_again_as_a_run(tmp_path: Path) -> None:
    sweep = failed(tmp_path, "a", "sweep")
    words = [
        "dataset=iris",
        "model=mlp,linear",
        "optimizer=sgd,adam",
        "optimizer.lr=choice(0.1,50)",
        "sweep.trials=2",
    ]
    (sweep.run_dir / "overrides.txt").write_text("\n".join([*words, "executor.jobs=1", "run_name=x"]))
    trial = failed(tmp_path, "b", "trial", sweep.run_id)
    point = {"model": "mlp", "optimizer": "sgd", "optimizer.lr": 50}
    (trial.run_dir / "trial.json").write_text(json.dumps({"number": 1, "params": point}))
    fold = failed(tmp_path, "c", "fold", trial.run_id)
    for part in (trial, fold):
        told = way_out(part, {"optimizer": {"lr": 50}, "trainer": {}})
        words = shlex.split(told[told.index("dlcli ") :])
        assert words[:-2] == [
            "dlcli",
            "train",
            "dataset=iris",
            "model=mlp",
            "optimizer=sgd",
            "optimizer.lr=5",
        ]
        assert words[-2] == "--runs-dir"
    (trial.run_dir / "trial.json").write_text("[]")
    assert way_out(fold, {"optimizer": {"lr": 50}, "trainer": {}}).endswith(": optimizer.lr=5")
