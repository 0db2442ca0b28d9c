"""`dlcli compare` on real runs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.cli.compare import _readable
from dlcli.comparison.compare_runs import compare_runs
from dlcli.comparison.conclusions import difference_in_words, more_folds, more_rows
from dlcli.comparison.critical_difference import alike
from dlcli.comparison.scale import MetricScale, scale_of, units_differ
from dlcli.errors import InputError
from dlcli.runner.like import like
from dlcli.runs.find import find_run
from dlcli.statistics.paired import Difference
from dlcli.tasks.losses import MSE
from dlcli.tasks.regression import Regression
from dlcli.tracking.ledger import Ledger
from tests.cross_validation.test_cross_validate import QUICK

FOLDS = ["cv=kfold", "cv.folds=4"]
RUNS = {
    "good": FOLDS,
    "also": [*FOLDS, "callbacks.early_stopping.patience=11"],  # is not reached, so the training is identical
    "bad": [*FOLDS, "optimizer.lr=1e-6"],
    "single": [],
    "dumb": ["optimizer.lr=1e-6"],
    "twice": ["cv.seeds=2"],
    "other": [*FOLDS, "cv.seed=7"],
}


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, overrides in RUNS.items():
        dlcli.train([*QUICK, "trainer.max_epochs=6", *overrides, f"runs_dir='{folder}'", f"run_name={name}"])
    where = [f"runs_dir='{folder}'", "run_name=search", "executor.jobs=1"]
    dlcli.sweep([*QUICK, "trainer.max_epochs=2", "optimizer.lr=1e-6,0.02", *where])
    return folder


def test_a_real_difference_is_reported(runs_dir: Path) -> None:
    found = compare_runs(["bad", "good"], runs_dir)
    assert found.metric == "accuracy"
    assert found.settings == {"optimizer.lr": ("1e-06", "0.02")}
    (pair,) = found.pairs
    assert pair.p["corrected paired t-test"] < 0.05
    assert pair.words.startswith("good better than bad in accuracy by ")
    assert pair.words.endswith(": distinguishable on these folds")
    (back,) = compare_runs(["good", "bad"], runs_dir).pairs
    # The numbers do not depend on the order of the runs.
    assert back.words == pair.words.replace("good better than bad", "bad worse than good")


def test_lower_losses_are_better(runs_dir: Path) -> None:
    (pair,) = compare_runs(["bad", "good"], runs_dir, "loss").pairs
    assert pair.difference.mean < 0
    assert pair.words.startswith("good better than bad in loss by ")


def test_all_metrics_are_tested_with_their_intervals(runs_dir: Path) -> None:
    found = compare_runs(["bad", "good"], runs_dir, "all")
    assert {pair.metric for pair in found.pairs} >= {"loss", "accuracy", "f1"}
    assert "log_loss" not in {pair.metric for pair in found.pairs}
    assert "not corrected for the number of metrics" in found.notes[-1]
    one = compare_runs(["bad", "good"], runs_dir, "f1").pairs[0]
    assert next(pair for pair in found.pairs if pair.metric == "f1") == one
    good = Ledger.load(find_run("good", runs_dir).run_dir).metrics
    assert found.intervals["accuracy"][1] == pytest.approx(
        (good["cv/accuracy_ci95_low"], good["cv/accuracy_ci95_high"])
    )
    shown = CliRunner().invoke(
        app, ["compare", "bad", "good", "--metric", "all", "--runs-dir", str(runs_dir)]
    )
    assert " ± " in shown.output
    for how, part in {"latex": r"\pm", "md": "| metric | run |", "csv": "metric,run,against"}.items():
        words = ["compare", "bad", "good", "--metric", "all", "--format", how, "--runs-dir", str(runs_dir)]
        assert part in CliRunner().invoke(app, words).output


def test_the_required_data_is_reported_unless_a_difference_is_found(runs_dir: Path) -> None:
    (pair,) = compare_runs(["bad", "good"], runs_dir).pairs
    assert (pair.power, pair.needed) == ("", None)
    (pair,) = compare_runs(["good", "also"], runs_dir).pairs
    assert pair.power == ""
    assert more_folds(21, 10, {"folds": 10, "repeats": 1}).endswith(
        "11 more folds would be needed (cv.repeats=3)."
    )
    assert "it needs more rows" in more_folds(None, 10, {})
    assert more_rows(150, 100).endswith("about 50 more test rows would be needed.")


def test_hold_outs_with_seeds_are_compared_over_them_as_well(runs_dir: Path) -> None:
    where = [f"runs_dir='{runs_dir}'", "run_name=thrice"]
    dlcli.train([*QUICK, "trainer.max_epochs=2", "cv.seeds=2", *where])
    found = compare_runs(["twice", "thrice"], runs_dir, "loss")
    assert "paired t-test over 2 seeds" in found.pairs[0].p
    assert "Figures are means over 2 training seeds" in found.notes[-1]
    mixed = compare_runs(["twice", "single"], runs_dir)
    assert "The numbers of training seeds differ: twice 2, single 1." in mixed.notes[-1]


def test_folds_that_lack_a_class_are_left_out_of_a_test(runs_dir: Path, tmp_path: Path) -> None:
    lines = [f"{row % 7},{row % 5},{'yes' if row % 12 == 0 else 'no'}" for row in range(36)]
    (tmp_path / "rare.csv").write_text("\n".join(["a,b,y", *lines]))
    table = ["dataset=table", f"dataset.path='{tmp_path / 'rare.csv'}'", "dataset.target=y", "model=linear",
             "trainer.max_epochs=1", "cv=kfold", "cv.folds=4"]  # fmt: skip
    have = 0
    for name, more in {"strong": [], "weak": ["optimizer.first=0.1"]}.items():
        words = [*table, *more, f"run_name={name}", f"runs_dir='{tmp_path}'"]
        have = sum(math.isfinite(fold.values["test/auroc"]) for fold in dlcli.train(words).folds)
    found = compare_runs(["strong", "weak"], tmp_path, "auroc")
    assert 1 < have < 4
    (pair,) = found.pairs
    assert pair.words.endswith(f"distinguishable on the {have} of 4 folds in which both have it")
    assert all(figure is not None and math.isfinite(figure) for figure in found.figures["auroc"])
    assert pair.difference.low >= -1 and pair.difference.high <= 1
    (note,) = found.notes
    assert f": defined in {have} of 4 folds. Their figures are means over these folds." in note
    assert (
        "auroc" in note
        and " of strong" not in note
        and "accuracy," not in note.replace("balanced_accuracy,", "")
    )


def test_the_very_same_figures_are_no_difference(runs_dir: Path) -> None:
    (pair,) = compare_runs(["good", "also"], runs_dir).pairs
    assert pair.words == "also has exactly the same accuracy as good: not distinguishable on these folds"
    assert set(pair.p.values()) == {1}


def test_three_runs_are_ranked_and_corrected(runs_dir: Path, tmp_path: Path) -> None:
    picture = tmp_path / "cd.png"
    done = CliRunner().invoke(
        app,
        ["compare", "good", "also", "bad", "--json", "--picture", str(picture), "--runs-dir", str(runs_dir)],
    )
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [pair["p"]["Holm"] >= pair["p"]["corrected paired t-test"] for pair in document["pairs"]] == [
        True
    ] * 3
    assert document["ranking"]["ranks"][2] == 3
    assert picture.stat().st_size > 1000


def test_a_single_hold_out_is_compared_row_by_row(runs_dir: Path) -> None:
    (pair,) = compare_runs(["dumb", "single"], runs_dir).pairs
    assert list(pair.p) == ["McNemar", "paired bootstrap"]
    assert pair.words.endswith("distinguishable on these rows")


@pytest.mark.parametrize("metric", ["f1", "auroc", "log_loss", "test/balanced_accuracy"])
def test_a_figure_of_many_rows_is_worked_out_again_for_each_draw(metric: str, runs_dir: Path) -> None:
    found = compare_runs(["dumb", "single"], runs_dir, metric)
    name = metric.removeprefix("test/")
    (pair,) = found.pairs
    assert (found.metric, found.refusal, list(pair.p)) == (name, None, ["paired bootstrap"])
    # The mean is the difference of the recorded metrics.
    recorded = found.figures[name][1] - found.figures[name][0]
    assert pair.difference.mean == pytest.approx(recorded, abs=1e-6)
    assert pair.difference.low < recorded < pair.difference.high
    assert pair.words.startswith(f"single better than dumb in {name} by ")
    assert pair.difference.p < 0.05


def test_several_seeds_of_a_hold_out_are_their_mean(runs_dir: Path) -> None:
    for metric in ("accuracy", "f1"):
        found = compare_runs(["twice", "single"], runs_dir, metric)
        (pair,) = found.pairs
        assert list(pair.p) == ["paired bootstrap"]
        recorded = found.figures[metric][1] - found.figures[metric][0]
        assert pair.difference.mean == pytest.approx(recorded, abs=1e-6)


def test_the_loss_of_a_hold_out_is_tested_where_predictions_give_it(runs_dir: Path) -> None:
    (loss,), (log_loss,) = (
        compare_runs(["dumb", "single"], runs_dir, name).pairs for name in ("loss", "log_loss")
    )
    assert loss.difference == log_loss.difference
    assert loss.words.startswith("single better than dumb in loss by ")


@pytest.mark.parametrize(("name", "targets"), [("mse", 1), ("mae", 1), ("mse", 2)])
def test_the_loss_of_numbers(name: str, targets: int, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    table = pd.DataFrame(x, columns=["a", "b"]).assign(u=100 * x[:, 0], v=x[:, 1])
    table.to_csv(tmp_path / "t.csv", index=False)
    chosen = ["dataset.target=u", "dataset.drop=[v]"] if targets == 1 else ["dataset.target=[u,v]"]
    words = [
        "dataset=table",
        f"dataset.path='{tmp_path / 't.csv'}'",
        *chosen,
        f"runs_dir='{tmp_path / 'runs'}'",
    ]
    quick = ["model=mlp", "model.hidden=4", "trainer.accelerator=cpu", f"task/loss={name}"]
    for epochs in (1, 4):
        dlcli.train([*words, *quick, f"trainer.max_epochs={epochs}", f"run_name=e{epochs}"])
    found = compare_runs(["e1", "e4"], tmp_path / "runs", "loss")
    if targets > 1:  # each is scaled by its own deviation
        assert found.refusal is not None
        assert found.refusal.startswith(
            "There is no test, because loss of a single hold-out cannot be computed"
        )
        return
    recorded = found.figures["loss"][1] - found.figures["loss"][0]
    assert found.pairs[0].difference.mean == pytest.approx(recorded, rel=1e-4)
    dlcli.train([*words, *quick, "task/loss=huber", "trainer.max_epochs=1", "run_name=other"])
    assert compare_runs(["e1", "other"], tmp_path / "runs", "loss").refusal == (
        f"The runs have different losses ({name.upper()} and Huber(delta=1.0)), so there is no test of them. "
        f"Compare by --metric mse."
    )


@pytest.mark.parametrize(
    ("metric", "mean", "low", "high", "words"),
    [
        (
            "f1",
            -0.0058,
            -0.0366,
            0.025,
            "B worse than A in f1 by 0.58 points, 95 % CI 2.5 better to 3.66 worse",
        ),
        ("f1", 0.0, -0.01, 0.01, "B has on average the same f1 as A, 95 % CI 1 worse to 1 better"),
        ("f1", 0.02, 0.01, 0.03, "B better than A in f1 by 2 points, 95 % CI 1 to 3"),
        ("mse", -0.5, -0.75, 0.25, "B better than A in mse by 0.5, 95 % CI 0.25 worse to 0.75 better"),
        ("mse", 0.5, 0.25, 0.75, "B worse than A in mse by 0.5, 95 % CI 0.25 to 0.75"),
        (
            "coverage",
            0.5,
            -0.25,
            0.75,
            "B higher than A in coverage by 0.5, 95 % CI 0.25 lower to 0.75 higher",
        ),
    ],
)
def test_the_interval_agrees_with_thedifference_in_words(
    metric: str, mean: float, low: float, high: float, words: str
) -> None:
    difference = Difference(mean, low, high, 0.5, "")
    scales = {
        "f1": MetricScale("higher", 0, 1),
        "mse": MetricScale("lower"),
        "coverage": MetricScale(),
    }
    found = difference_in_words("A", "B", metric, scales[metric], difference, 0.5, "here")
    assert found == f"{words}: not distinguishable here"


def test_the_direction_is_that_of_the_task_s_metric(runs_dir: Path) -> None:
    found = {
        name: scale_of(name, [find_run("single", runs_dir).run_dir]) for name in ("loss", "f1", "log_loss")
    }
    assert found == {
        "loss": MetricScale("lower", 0),
        "f1": MetricScale("higher", 0, 1),
        "log_loss": MetricScale("lower", 0),
    }
    assert scale_of("no_such_metric", [find_run("single", runs_dir).run_dir]) == MetricScale()
    regression = Regression(["y"], [0.0], [1.0], MSE())
    lower = {name for name, scale in regression.scales().items() if scale["better"] == "lower"}
    assert lower == {"loss", "mae", "rmse", "mse", "mape"}


@pytest.mark.parametrize("refs", [["good", "good"], ["good", "good-id"]])
def test_a_run_is_not_compared_with_itself(refs: list[str], runs_dir: Path) -> None:
    ids = {"good-id": find_run("good", runs_dir).run_dir.parent.name}
    done = CliRunner().invoke(app, ["compare", *[ids.get(r, r) for r in refs], "--runs-dir", str(runs_dir)])
    assert done.exit_code == 2
    assert "refer to the same run" in " ".join(done.stderr.split())


def test_a_metric_that_changed_its_unit_is_not_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = {
        "new": {"mase": {"better": "lower", "unit": "the naive error of each series"}, "mae": {}},
        "old": {"mase": {"better": "lower"}, "mae": {}},
    }
    ledgers = SimpleNamespace(load=lambda run: SimpleNamespace(result={"scales": recorded[run.name]}))
    monkeypatch.setattr("dlcli.comparison.scale.Ledger", ledgers)
    both = [Path("new"), Path("old")]
    assert units_differ("mase", both) == (
        "The runs have mase relative to the naive error of each series and the unit of an earlier version, so there is "
        "no test: train them again with one version."
    )
    assert units_differ("mae", both) is units_differ("mase", both[:1] * 2) is None


def test_other_splits_do_not_pair(runs_dir: Path) -> None:
    found = compare_runs(["good", "other"], runs_dir)
    assert found.pairs == ()
    assert found.refusal.startswith("The split differs")
    done = CliRunner().invoke(app, ["compare", "good", "other", "--runs-dir", str(runs_dir)])
    assert done.exit_code == 0, done.output
    assert "a paired test needs the same split" in done.stdout
    assert "cv.seed" in done.stdout


@pytest.mark.parametrize(
    ("refs", "metric", "text"),
    [
        (["good"], None, "at least two runs[^\0]*dlcli compare good RUN_B --runs-dir"),
        (["good", "bad"], "acuracy", "not all runs have acuracy"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    refs: list[str], metric: str | None, text: str, runs_dir: Path
) -> None:
    with pytest.raises(InputError, match=text):
        compare_runs(refs, runs_dir, metric)


def test_a_sweep_is_compared_by_its_refitted_winner(runs_dir: Path) -> None:
    found = compare_runs(["search", "single"], runs_dir)
    (pair,) = found.pairs
    assert pair.difference.test == "paired bootstrap"
    assert found.rows == "final test rows"
    (note,) = found.notes
    assert note.startswith("They were trained on different rows: search on 120 rows, single on 102 rows")
    assert compare_runs(["single", "dumb"], runs_dir).notes == ()


@pytest.mark.parametrize(("part", "lr"), [("trial-0", "1e-06"), ("best", "0.02")])
def test_a_part_of_a_sweep_can_be_trained_again(part: str, lr: str, runs_dir: Path) -> None:
    ledgers = [Ledger.load(file.parent) for file in runs_dir.glob("*/*/artifacts/ledger.json")]
    trials = [ledger.run_id for ledger in ledgers if ledger.run_name.endswith(part)]
    run = part if part == "best" else trials[0]
    found = like(run, ["seed=3"], runs_dir=runs_dir)
    assert [word for word in found.words if word.startswith("optimizer.lr=")] == [f"optimizer.lr={lr}"]
    assert found.words[-1] == "seed=3"
    assert not [word for word in found.words if word.startswith(("sweep", "executor", "run_name"))]
    with pytest.raises(InputError, match="is a sweep"):
        like("search", [], runs_dir=runs_dir)


def test_groups_of_models_that_are_alike() -> None:
    assert alike([1.0, 1.5, 2.9, 3.0], 1.0) == [(0, 1), (2, 3)]
    assert alike([1.0, 1.8, 2.6], 1.0) == [(0, 1), (1, 2)]
    assert alike([1.0, 2.5], 1.0) == []


def test_settings_that_only_some_runs_have_are_counted() -> None:
    both = {"task._target_": ("dlcli.tasks.binary.Binary", "dlcli.tasks.multiclass.Multiclass")}
    some = {f"preprocessing.{number}": ("1", "-") for number in range(11)}
    assert _readable(both | some) == ({"task": ["Binary", "Multiclass"]}, 11)
    assert len(_readable(dict(list(some.items())[:3]))[0]) == 3
