"""Plots that cannot be drawn: the run finishes, and a notice names them."""

from __future__ import annotations

import errno
import importlib.abc
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import dlcli
from dlcli.errors import DiskFull
from dlcli.process import program
from dlcli.result import Result
from dlcli.tracking.ledger import Ledger

QUICK = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=1", "callbacks=none"]


def one_run(runs: Path) -> Result:
    return dlcli.train(QUICK, runs_dir=runs)


def finder(runs: Path) -> Result:
    return dlcli.train([*QUICK, "finder=lr"], runs_dir=runs)


def folds(runs: Path) -> Result:
    words = ["cv=learning_curve", "cv.folds=2", "cv.refit=true"]
    return dlcli.train([*QUICK, *words], runs_dir=runs)


def sweep(runs: Path) -> Result:
    return dlcli.sweep([*QUICK, "optimizer.lr=0.1,0.01"], runs_dir=runs)


def generation(runs: Path) -> Result:
    small = ["trainer.limit_rows=100", "callbacks=none", "trainer.max_epochs=1"]
    network = ["model=dcgan", "model.channels=[8,8]", "model.noise=8"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dlcli.assembly.judge_training._STEPS", 10)
        return dlcli.train(["dataset=digits", *network, *small], runs_dir=runs)


COMMANDS = (one_run, finder, folds, sweep, generation)


def told_in(result: Result) -> str:
    """Return the notice of a finished run, which its messages contain."""
    assert result.status == "FINISHED"
    notice = [one for one in result.notices if one["key"] == "missing_pictures"][-1]
    assert any(notice["text"] in message for message in result.messages)
    assert notice["warns"]
    assert f"dlcli report {result.run_id[:8]} " in notice["text"]
    return str(notice["text"])


@pytest.mark.parametrize("command", COMMANDS)
def test_no_picture_fails_a_run(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no such font\nand more")

    monkeypatch.setattr("dlcli.reports.style._draw", fails)
    result = command(tmp_path)
    told = told_in(result)
    assert "(ValueError: no such font)" in told
    names = {
        one_run: ["learning_curves", "confusion_matrix"],
        finder: ["found_lr", "learning_curves"],
        folds: ["sizes", "learning_curves", "folds", "confusion_matrix"],
        sweep: ["history"],
        generation: ["samples", "interpolation"],
    }[command]
    assert [name for name in names if name not in told] == []
    assert not list((result.run_dir / "plots").glob("*.png"))


class _Without(importlib.abc.MetaPathFinder):
    """Lets the import of matplotlib fail."""

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError("numpy.core.multiarray failed to import")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_matplotlib_that_cannot_be_imported_fails_no_run(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Modules are imported again: matplotlib, and those of dlcli that import it, which none of the others need before.
    for name, module in list(sys.modules.items()):
        draws = (
            name.startswith("dlcli.")
            and "Figure" in vars(module)
            and "matplotlib" in str(vars(module)["Figure"])
        )
        if name.partition(".")[0] == "matplotlib" or draws:
            monkeypatch.delitem(sys.modules, name)
            parent, _, own = name.rpartition(".")
            if vars(sys.modules.get(parent, sys)).get(own) is module:
                monkeypatch.delattr(sys.modules[parent], own)
    monkeypatch.setattr(sys, "meta_path", [_Without(), *sys.meta_path])
    assert "(ImportError: numpy.core.multiarray failed to import)" in told_in(command(tmp_path))


def test_a_full_disk_still_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dlcli.reports.style._draw", full)
    with pytest.raises(DiskFull):
        one_run(tmp_path)


def test_a_program_draws_with_agg_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "is_running", False)
    monkeypatch.setattr("atexit.register", lambda _: None)
    monkeypatch.setattr("gc.set_threshold", lambda _: None)
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    seen: list[str] = []
    program.run_program(lambda: seen.append(os.environ["MPLBACKEND"]))
    assert seen == ["agg"]


def test_a_cross_validation_that_fails_after_its_folds_shows_how_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("not foreseen")

    with monkeypatch.context() as patch:
        patch.setattr("dlcli.cross_validation.cross_validate.write_parent_report", fails)
        with pytest.raises(RuntimeError) as failed:
            dlcli.train([*QUICK, "cv=kfold", "cv.folds=2"], runs_dir=tmp_path)
    (resume,) = failed.value.__notes__
    run = resume.removeprefix("Resume it: dlcli resume ").partition(" ")[0]
    resumed = dlcli.resume(run, runs_dir=tmp_path)
    assert resumed.status == Ledger.load(resumed.run_dir).status == "FINISHED"
