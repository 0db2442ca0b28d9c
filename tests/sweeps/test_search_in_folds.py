"""`dlcli train cv=nested`: a search in each fold."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

import dlcli
from dlcli import job
from dlcli.datasets.bundled import iris
from dlcli.errors import ConfigError, Interrupted
from dlcli.events import EpochDone, Event, Listener, SearchEnded, SearchStarted, TrialEnded, TrialStarted
from dlcli.experiment import plan_experiment
from dlcli.result import Result
from dlcli.runner.train import train as train_with_events
from dlcli.runs.folder import read_result
from dlcli.runs.retention import has_weights
from dlcli.splits.nested import Nested
from dlcli.splits.split import Split
from dlcli.statistics.interval import corrected_interval
from dlcli.sweeps.search_in_folds import plan_nested
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.recorder import Recorder
from tests.processes import start

QUICK = ["dataset=iris", "model=mlp", "trainer.max_epochs=2", "trainer.accelerator=cpu", "callbacks=none"]
SPACE = "cv.space={optimizer.lr:[0.001,0.05],model.hidden:[4,16]}"
NESTED = [*QUICK, "cv=nested", "cv.folds=2", "cv.inner_folds=2", "cv.stratify=true", SPACE]


def train(runs_dir: Path, *overrides: str) -> Result:
    return dlcli.train([*NESTED, f"runs_dir='{runs_dir}'", *overrides])


def below(parent: Ledger, kind: str) -> list[Ledger]:
    """The runs of a kind that belong to another, in the order of their names."""
    found = [Ledger.load(file.parent) for file in parent.run_dir.parents[1].glob("*/artifacts/ledger.json")]
    mine = [ledger for ledger in found if ledger.kind == kind and ledger.parent_id == parent.run_id]
    return sorted(mine, key=lambda ledger: ledger.run_name)


def figures(result: Result) -> list[object]:
    return [result.values, *((fold.params, fold.values) for fold in result.folds)]


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return train(tmp_path_factory.mktemp("runs"), "run_name=n")


def test_inner_splits_are_made_of_a_fold_s_training_rows() -> None:
    data = iris()
    strategy = Nested(folds=3, inner_folds=4, stratify=True)
    splits = strategy.splits(data)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(len(data)))
    for split in splits:
        mine = np.sort(np.concatenate([split.train, split.val]))
        inner = strategy.inner_splits(data, split)
        assert len(inner) == 4
        assert np.array_equal(np.sort(np.concatenate([one.test for one in inner])), mine)
        for one in inner:
            assert np.array_equal(np.sort(np.concatenate([one.train, one.test])), mine)
            assert len(one.val) == 0


def test_the_estimate_is_that_of_the_outer_folds(nested: Result) -> None:
    assert nested.status == "FINISHED"
    values = [fold.values["test/accuracy"] for fold in nested.folds]
    assert nested.values["cv/accuracy_mean"] == pytest.approx(np.mean(values))
    assert nested.values["cv/accuracy_se"] == pytest.approx(corrected_interval(values, 75, 75).se)


def test_no_search_sees_a_row_that_its_fold_holds_out(nested: Result) -> None:
    parent = Ledger.load(nested.run_dir)
    searches, folds = below(parent, "sweep"), below(parent, "fold")
    assert len(searches) == len(folds) == 2
    for search, fold in zip(searches, folds, strict=True):
        held_out = Split.load(fold.run_dir / "split.npz").test
        trials = below(search, "trial")
        inner = [ledger for trial in trials for ledger in below(trial, "fold")]
        assert len(trials) == 4
        assert len(inner) == 8
        for ledger in inner:
            split = Split.load(ledger.run_dir / "split.npz")
            assert len(split.test) == 0
            assert not set(held_out) & {*split.train, *split.val}
            assert not any(name.startswith("test/") for name in ledger.metrics)
            assert not has_weights(ledger.run_dir)


def test_each_fold_trains_what_was_best_in_its_own_search(nested: Result) -> None:
    parent = Ledger.load(nested.run_dir)
    table = pd.read_csv(nested.run_dir / "folds.csv")
    client = MlflowClient(nested.tracking_uri)
    for number, (search, fold) in enumerate(zip(below(parent, "sweep"), nested.folds, strict=True)):
        trials = search.result["trials"]
        best = min(trials, key=lambda trial: trial["value"])
        assert fold.params == best["params"]
        assert table.loc[number, "optimizer.lr"] == best["params"]["optimizer.lr"]
        logged = client.get_run(fold.run_id).data.params
        assert {key: logged[key] for key in best["params"]} == {k: str(v) for k, v in best["params"].items()}
        assert nested.to_json()["folds"][number]["params"] == best["params"]
    assert any("chose optimizer.lr=0.05" in message for message in nested.messages)
    assert json.loads(json.dumps(nested.to_json()))["status"] == "FINISHED"


def test_a_stopped_search_resumes_to_the_same_result(
    nested: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, epochs = job._record, []

    def count(recorder: Recorder, listen: Listener, event: Event) -> None:
        original(recorder, listen, event)
        if isinstance(event, EpochDone):
            epochs.append(event.epoch)

    def stop(recorder: Recorder, listen: Listener, event: Event) -> None:
        count(recorder, listen, event)
        if isinstance(event, EpochDone) and len(epochs) == 21:  # within the second fold's search
            raise Interrupted(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(job, "_record", stop)
        with pytest.raises(Interrupted):
            train(tmp_path, "run_name=stopped")
    ledgers = [Ledger.load(file.parent) for file in tmp_path.glob("*/*/artifacts/ledger.json")]
    done = {ledger.run_id: ledger.ended_at for ledger in ledgers if ledger.status == "FINISHED"}
    assert len(done) >= 13  # a search, its trials and their folds
    with monkeypatch.context() as patch:
        patch.setattr(job, "_record", count)
        resumed = dlcli.resume(next(x for x in ledgers if x.kind == "trial").run_dir)
    assert resumed.run_name == "stopped"
    assert figures(resumed) == figures(nested)
    assert len(epochs) == 2 * (2 * 4 * 2 + 2) + 1  # none twice but the one that was stopped in it
    for run_id, ended_at in done.items():
        assert Ledger.load(resumed.run_dir.parents[1] / run_id / "artifacts").ended_at == ended_at
    with pytest.raises(ConfigError, match="would make it another experiment"):
        dlcli.resume(resumed.run_dir, ["trainer.max_epochs=3"])


class Heard:
    """Writes down the events of searches."""

    def __init__(self) -> None:
        self.news: list[str] = []

    def __call__(self, event: Event) -> None:
        match event:
            case SearchStarted(name):
                self.news.append(name)
            case SearchEnded():
                self.news.append("over")
            case TrialStarted(trial, fold, folds):
                self.news.append(f"trial {trial.number}, fold {fold} of {folds}")
            case TrialEnded(trial, best):
                self.news.append(f"{trial.state}, best {best.number if best else None}")


def test_each_seed_trains_what_the_one_search_chose(tmp_path: Path) -> None:
    words = [
        "cv.seeds=2",
        "cv.search=random",
        "cv.trials=1",
        "trainer.max_epochs=1",
        f"runs_dir='{tmp_path}'",
    ]
    heard = Heard()
    result = train_with_events([*NESTED, *words], listen=heard)
    trial = ["trial 0, fold 0 of 2", "trial 0, fold 1 of 2", "finished, best 0", "over"]
    assert heard.news == ["search of fold 0 (1 of 2)", *trial, "search of fold 1 (2 of 2)", *trial]
    assert len(result.folds) == 4
    assert result.folds[0].params == result.folds[2].params
    searches = below(Ledger.load(result.run_dir), "sweep")
    assert [len(search.result["trials"]) for search in searches] == [1, 1]


@pytest.mark.parametrize(
    ("override", "where", "text"),
    [
        ("cv.space={}", "cv.space", "nothing to search"),
        ("cv.space={optimizer.lr:0.1}", "optimizer.lr=0.1", "single value"),
        ("cv.space={dataset.name:[a,b]}", "dataset.name", "cannot be varied"),
        ("cv.space={model.hiden:[4,8]}", "model.hiden", "hiden"),
        ("cv.space={optimizer.lr:'interval(0.1,1)'}", "cv.space", "a grid cannot contain"),
        ("cv.refit=true", "cv.refit", "chooses its own settings"),
        ("monitor=train/loss", "monitor", "validation rows"),
    ],
)
def test_mistakes_are_reported_before_a_run_is_created(
    override: str, where: str, text: str, tmp_path: Path
) -> None:
    # An override of a mapping adds to it; these are the only ones.
    words = [word for word in NESTED if word != SPACE]
    space = [] if override.startswith("cv.space") else [SPACE]
    with pytest.raises(ConfigError) as caught:
        dlcli.train([*words, *space, override, f"runs_dir='{tmp_path}'"])
    assert any(where in problem.where and text in problem.message for problem in caught.value.problems)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_jobs_side_by_side_give_the_same_numbers(tmp_path: Path) -> None:
    words = ["cv.search=random", "cv.trials=2", "trainer.max_epochs=1"]
    one = train(tmp_path / "one", *words)
    process = start(["train", *NESTED, *words, "executor.jobs=2", "runs_dir=two", "--json"], tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert figures(one) == figures(read_result(Path(json.loads(out)["run_dir"])))


def test_the_limit_of_a_trial_applies_within_folds() -> None:
    words = [*NESTED, "sweep.trial_timeout=5s"]
    search = plan_nested(plan_experiment(words), words)
    assert search is not None and search.plan.options.trial_seconds == 5


def test_other_settings_of_sweeps_are_refused_within_folds() -> None:
    words = [*NESTED, "sweep.trials=3", "sweep/pruner=median"]
    with pytest.raises(ConfigError) as caught:
        plan_nested(plan_experiment(words), words)
    assert [problem.where for problem in caught.value.problems] == ["sweep.trials", "sweep/pruner"]
    assert all("sweep.trial_timeout" in problem.hint for problem in caught.value.problems)
