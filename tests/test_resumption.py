"""`dlcli resume`: which runs can be resumed, and their results after kills at random moments."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import dlcli
from dlcli.cross_validation import refit
from dlcli.errors import ConfigError, DataError
from dlcli.events import EpochDone, Event, JobEvent, Listener, Note
from dlcli.result import Result
from dlcli.runner.resume import resume
from dlcli.runs.folder import recorded_epochs
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.recorder import Recorder
from tests.cross_validation.test_cross_validate import QUICK
from tests.kills import kill_and_resume, untouched


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return dlcli.train([*QUICK, "trainer.max_epochs=1", f"runs_dir='{tmp_path_factory.mktemp('runs')}'"])


def test_a_finished_run_is_left_alone(whole: Result) -> None:
    ledger = (whole.run_dir / "ledger.json").read_bytes()
    again = dlcli.resume(whole.run_dir)
    assert again.values == whole.values
    assert again.messages == ("The run is finished: there is nothing to do.",)
    assert (whole.run_dir / "ledger.json").read_bytes() == ledger


@pytest.mark.parametrize("cv", [[], ["cv=kfold", "cv.folds=2"]], ids=["one", "folds"])
def test_more_epochs_extend_a_run_to_what_it_would_have_been(cv: list[str], tmp_path: Path) -> None:
    longer = dlcli.train([*QUICK, *cv, "trainer.max_epochs=9", f"runs_dir='{tmp_path}/a'"])
    short = dlcli.train([*QUICK, *cv, f"runs_dir='{tmp_path}/b'"])
    extended = dlcli.resume(short.run_dir, ["trainer.max_epochs=9"])
    assert extended.run_id == short.run_id
    assert extended.values == longer.values
    client = MlflowClient(extended.tracking_uri)
    run = client.get_run(extended.run_id)
    assert run.info.status == "FINISHED"
    for name, value in extended.values.items():
        if not name.startswith("val/"):  # MLflow shows its last epoch
            assert run.data.metrics[name] == value
    for result in extended.folds or (extended,):
        steps = [entry.step for entry in client.get_metric_history(result.run_id, "train/loss")]
        assert steps == list(range(1, 10))
    # The overrides also apply to the next resumption.
    assert dlcli.resume(short.run_dir).messages == ("The run is finished: there is nothing to do.",)


def test_an_unfinished_fold_resumes_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlcli import job

    overrides = [*QUICK, "cv=kfold", "cv.folds=3"]
    whole = dlcli.train([*overrides, f"runs_dir='{tmp_path}/a'"])
    original, done = job._record, []

    def fail(recorder: Recorder, listen: Listener, event: Event) -> None:
        original(recorder, listen, event)
        if isinstance(event, EpochDone):
            done.append(event.epoch)
            if len(done) == 6:
                raise RuntimeError("a power cut, so to speak")

    with monkeypatch.context() as patch:
        patch.setattr(job, "_record", fail)
        with pytest.raises(RuntimeError):
            dlcli.train([*overrides, f"runs_dir='{tmp_path}/b'", "run_name=stopped"])
    ledgers = [Ledger.load(file.parent) for file in (tmp_path / "b").glob("*/*/artifacts/ledger.json")]
    assert sorted(ledger.status for ledger in ledgers) == ["FAILED", "FAILED", "FINISHED", "KILLED"]
    fold = next(ledger for ledger in ledgers if ledger.kind == "fold")
    resumed = dlcli.resume(fold.run_dir)  # resuming a child resumes its parent
    assert resumed.run_name == "stopped"
    assert resumed.values == whole.values
    assert {result.run_id for result in resumed.folds} == {x.run_id for x in ledgers if x.kind == "fold"}
    run = MlflowClient(resumed.tracking_uri).get_run(resumed.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["dlcli.error"] == ""


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("optimizer.lr=0.5", "would make it another experiment"),
        ("cv.folds=4", "would make it another experiment"),
        ("trainer.max_epochs=many", "valid integer"),
    ],
)
def test_what_may_not_change(override: str, text: str, whole: Result) -> None:
    with pytest.raises(ConfigError, match=text):
        dlcli.resume(whole.run_dir, [override])


def test_a_schedule_of_fixed_length_is_not_trained_beyond_it(tmp_path: Path) -> None:
    asked = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=2", "scheduler=onecycle"]
    result = dlcli.train([*asked, f"runs_dir='{tmp_path}'"])
    with pytest.raises(
        ConfigError,
        match=r"trainer.max_epochs: the schedule \(OneCycleLR\) was planned for 2 epochs, and the results",
    ):
        dlcli.resume(result.run_dir, ["trainer.max_epochs=3"])
    assert dlcli.resume(result.run_dir).status == "FINISHED"


def test_other_data_is_refused(whole: Result) -> None:
    ledger = Ledger.load(whole.run_dir)
    ledger.update(status="KILLED", tags={**ledger.tags, "dlcli.data_fingerprint": "0"})
    with pytest.raises(DataError, match="the data differs from that of the run"):
        dlcli.resume(whole.run_dir)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_at_random_moments(tmp_path: Path) -> None:
    """Kill twice, once with two jobs; `python -m tests.kills 20` does more."""
    (tmp_path / "reference").mkdir()
    reference = untouched(tmp_path / "reference")
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        kill_and_resume(folder, reference, 1 + number, random.random(), resumed_with=1)
        shutil.rmtree(folder)


def refits(run_dir: Path) -> dict[str, tuple[str, int]]:
    """Return the runs of refits by their place: status and number of epochs."""
    ledgers = [Ledger.load(file.parent) for file in run_dir.parents[1].glob("*/artifacts/ledger.json")]
    return {
        ledger.tags["dlcli.place"]: (ledger.status, len(recorded_epochs(ledger.run_dir)))
        for ledger in ledgers
        if ledger.kind == "refit"
    }


def test_a_refit_for_fewer_epochs_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an extension the median of the best epochs may be lower; weights of more epochs would be wrong."""
    asked = ["cv=kfold", "cv.folds=2", "cv.test_size=0.2", "cv.refit=true", "trainer.max_epochs=3"]
    epochs = {"median": 2}

    def refit_config(config: dict[str, Any], folds: Sequence[Path]) -> dict[str, Any]:
        made = original(config, folds)
        return {**made, "trainer": {**made["trainer"], "max_epochs": epochs["median"]}}

    original = refit.refit_config
    monkeypatch.setattr(refit, "refit_config", refit_config)
    first = dlcli.train([*QUICK, *asked, f"runs_dir='{tmp_path}'"])
    assert refits(first.run_dir) == {"refit": ("FINISHED", 2)}
    epochs["median"] = 4
    dlcli.resume(first.run_dir, ["trainer.max_epochs=5"])
    assert refits(first.run_dir) == {"refit": ("FINISHED", 4)}
    epochs["median"] = 1
    last = dlcli.resume(first.run_dir, ["trainer.max_epochs=6"])
    assert refits(first.run_dir) == {"former refit": ("FINISHED", 4), "refit": ("FINISHED", 1)}
    assert dlcli.evaluate(last.run_dir).values["test/loss"] == pytest.approx(last.values["test/loss"])


def test_a_run_that_stopped_early_is_not_continued_and_this_is_reported(tmp_path: Path) -> None:
    never = "callbacks.early_stopping.min_delta=1000"
    asked = [*QUICK, never, "callbacks.early_stopping.patience=1", f"runs_dir='{tmp_path}'"]
    stopped = dlcli.train(asked)
    assert len(recorded_epochs(stopped.run_dir)) == 2
    heard: list[Event] = []
    resume(str(stopped.run_dir), ["trainer.max_epochs=9"], listen=heard.append)
    said = "Training had ended after 2 epochs, before trainer.max_epochs: it is not continued."
    assert JobEvent(0, Note(said)) in heard
