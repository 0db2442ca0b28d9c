"""Runs that diverged: `resume` and `eval` say so, with a command that trains again."""

from __future__ import annotations

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
    with pytest.raises(InputError, match="and the same steps would end there again") as found:
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
    assert found.value.problems[0].hint == f"Resuming it would diverge again. {error.problems[0].hint}"
    with pytest.raises(dlcli.errors.Diverged):  # a change of the trainer is tried
        dlcli.resume(first, ["trainer.max_epochs=1"])


@pytest.mark.parametrize("cv", ["cv=holdout", "cv=stratified_kfold"])
def test_the_shown_command_trains(cv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folds = ["cv.folds=2"] if "fold" in cv else []
    with monkeypatch.context() as patch:
        patch.setattr(
            "dlcli.tasks.losses.CrossEntropy.forward", lambda self, outputs, y: outputs.mean() * float("nan")
        )
        error = diverged(tmp_path, "optimizer=sgd", "optimizer.lr=0.5", cv, *folds)
    pasted(error)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            {"_target_": "dlcli.training.penalty_path.PenaltyPath", "lr": 1.0},
            "optimizer=adam callbacks=default",
        ),
        ({"_target_": "own.Optimizer"}, "trainer.gradient_clip_val=1.0"),
    ],
)
def test_what_has_no_rate_to_lower(section: dict[str, object], words: str, tmp_path: Path) -> None:
    ledger = Ledger(
        tmp_path / "iris" / ("a" * 32) / "artifacts", "a" * 32, "x", "iris", kind="run", token="b"
    )
    ledger.status, ledger.error = "FAILED", "Diverged: the training loss became nan, of all rows"
    assert divergence(ledger) == "training loss became nan, of all rows"
    assert f"dlcli train --like aaaaaaaa {words} --runs-dir" in way_out(ledger, {"optimizer": section})
