"""Cross-validated runs in this process: the results of `dlcli train cv=kfold`."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from torch import nn

import dlcli
from dlcli.cross_validation.estimation import Fold
from dlcli.cross_validation.fold_summary import Summary, summarize_folds
from dlcli.datasets.bundled import iris
from dlcli.errors import ConfigError, CorruptRun, DataError
from dlcli.formatting import number
from dlcli.inference.predictions_file import all_predictions, read_predictions
from dlcli.inference.saved_model import load_model
from dlcli.result import Result
from dlcli.runs.folder import recorded_epochs
from dlcli.splits.split import Split
from dlcli.statistics.interval import corrected_interval
from dlcli.tasks.base import Task
from dlcli.tasks.losses import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Focal, Huber, Quantile
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.regression import Regression
from dlcli.terminal.console import Terminal
from dlcli.terminal.outcome import tell_outcome
from dlcli.tracking.ledger import Ledger
from tests.processes import run
from tests.resealing import reseal

QUICK = [
    "dataset=iris",
    "model=mlp",
    "model.hidden=8",
    "optimizer.lr=0.02",
    "trainer.max_epochs=4",
    "trainer.accelerator=cpu",
]
KFOLD = [*QUICK, "cv=stratified_kfold", "cv.folds=3", "cv.test_size=0.2", "cv.refit=true"]


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return dlcli.train([*KFOLD, f"runs_dir='{tmp_path_factory.mktemp('runs')}'", "run_name=kf"])


def test_the_estimate_is_that_of_its_folds(validated: Result) -> None:
    assert validated.status == "FINISHED"
    values = [fold.values["test/accuracy"] for fold in validated.folds]
    assert len(values) == 3
    assert validated.duration_s >= sum(fold.duration_s for fold in validated.folds) > 0
    expected = corrected_interval(values, 80, 40).within(0, 1)
    figures = {
        name.removeprefix("cv/accuracy_"): v for name, v in validated.values.items() if "cv/accuracy" in name
    }
    assert figures == pytest.approx(
        {"mean": expected.mean, "std": expected.std, "se": expected.se}
        | {"ci95_low": expected.low, "ci95_high": expected.high}
        | {"pooled": np.average(values, weights=[40, 40, 40])}
    )
    interval = f"95% CI {expected.low:.3f} to {expected.high:.3f}"
    assert validated.messages[0] == f"accuracy {expected.mean:.3f} ± {expected.std:.3f} ({interval}, 3 folds)"


def test_baselines_are_shown_with_the_folds_and_the_refit(
    validated: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [fold.baselines["test/accuracy"] for fold in validated.folds]
    assert validated.baselines["cv/accuracy_mean"] == pytest.approx(np.mean(values))
    assert validated.baselines["test/accuracy"] == pytest.approx(1 / 3)
    with Terminal() as terminal:
        tell_outcome(terminal, validated, json=False)
    estimate, refitted = [
        line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["accuracy"]
    ][:2]
    assert estimate.split()[-1] == number(validated.baselines["cv/accuracy_mean"])
    assert refitted.endswith("baseline 0.3333 ")


def test_without_a_final_model_the_folds_have_theirs(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    runs = tmp_path_factory.mktemp("runs")
    result = dlcli.train([*QUICK, "cv=stratified_kfold", "cv.folds=2", f"runs_dir='{runs}'", "run_name=pmlp"])
    with pytest.raises(DataError, match=r"no final test rows\n.*cv.test_size=0.2"):
        dlcli.evaluate("pmlp", runs_dir=runs)
    assert "spread" in dlcli.load_run("pmlp", runs_dir=runs).predict(iris().x)
    again = dlcli.evaluate("pmlp-fold-1", runs_dir=runs)
    assert again.values["test/loss"] == pytest.approx(result.folds[1].values["test/loss"])
    assert len(dlcli.load_run("pmlp-fold-0", runs_dir=runs).predict(iris().x)) == 150


def test_mlflow_has_a_parent_with_its_folds(validated: Result) -> None:
    client = MlflowClient(validated.tracking_uri)
    parent = client.get_run(validated.run_id)
    assert parent.data.tags["dlcli.kind"] == "cv"
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["cv/accuracy_mean"] == validated.metrics["cv/accuracy_mean"]
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{validated.run_id}'"
    )
    kinds = sorted(child.data.tags["dlcli.kind"] for child in children)
    assert kinds == ["fold", "fold", "fold", "refit"]
    assert {child.info.status for child in children} == {"FINISHED"}
    assert {child.info.run_name for child in children} == {"kf-fold-0", "kf-fold-1", "kf-fold-2", "kf-refit"}


def test_folds_hold_out_each_row_once_and_see_nothing_of_it(validated: Result) -> None:
    data = iris()
    splits = [Split.load(fold.run_dir / "split.npz") for fold in validated.folds]
    final = Split.load(validated.run_dir / "split.npz").test
    held_out = np.concatenate([split.test for split in splits])
    assert sorted([*held_out, *final]) == list(range(len(data)))
    for fold, split in zip(validated.folds, splits, strict=True):
        fitted = load_model(fold.run_dir / "model").preprocessing.transform(data.x.iloc[split.train])["x"]
        assert fitted.mean(axis=0) == pytest.approx(0, abs=1e-5)
        assert fitted.std(axis=0) == pytest.approx(1, abs=1e-5)
    seeds = {Ledger.load(fold.run_dir).tags["dlcli.seed"] for fold in validated.folds}
    assert len(seeds) == 3


def test_files_have_the_names_of_the_parts(validated: Result) -> None:
    refit = next(
        file.parent
        for file in validated.run_dir.parents[1].glob("*/artifacts/ledger.json")
        if Ledger.load(file.parent).kind == "refit"
    )
    named = {
        place: set(pd.read_parquet(folder / "predictions.parquet")["split"])
        for place, folder in (
            ("fold", validated.folds[0].run_dir),
            ("cv", validated.run_dir),
            ("refit", refit),
        )
    }
    assert named == {"fold": {"val", "held-out"}, "cv": {"held-out"}, "refit": {"final test"}}
    fold = MlflowClient(validated.tracking_uri).get_run(validated.folds[0].run_id)
    assert fold.data.tags["dlcli.test_rows"] == "held-out"
    assert "test/accuracy" in fold.data.metrics


def test_predictions_of_earlier_runs_get_the_names_of_the_parts(validated: Result, tmp_path: Path) -> None:
    """Files said `test` for held-out and final test rows, and those of a cross-validation had no column `split`."""
    fold = validated.folds[0].run_dir
    for source, name in ((fold, "fold"), (validated.run_dir, "cv")):
        folder = tmp_path / name / "artifacts"
        folder.mkdir(parents=True)
        for file in ("ledger.json", "split.npz", "predictions.parquet"):
            shutil.copy(source / file, folder)
        table = pd.read_parquet(folder / "predictions.parquet")
        new = all_predictions(folder)
        old = table.drop(columns="split") if name == "cv" else table.assign(
            split=table["split"].replace("held-out", "test")
        )  # fmt: skip
        old.to_parquet(folder / "predictions.parquet", index=False)
        reseal(folder)
        pd.testing.assert_frame_equal(all_predictions(folder), new)
    assert len(read_predictions(tmp_path / "fold" / "artifacts")) == 40


def test_the_parent_keeps_predictions_table_pictures_and_model(validated: Result) -> None:
    table = pd.read_parquet(validated.run_dir / "predictions.parquet")
    final = Split.load(validated.run_dir / "split.npz").test
    assert sorted(table["row"]) == sorted(set(range(150)) - set(final))
    per_fold = table.groupby("fold").apply(
        lambda t: (t["prediction"] == t["target"]).mean(), include_groups=False
    )
    assert per_fold.tolist() == pytest.approx([fold.values["test/accuracy"] for fold in validated.folds])
    lines = pd.read_csv(validated.run_dir / "folds.csv")
    assert len(lines) == 3
    assert lines["held-out/accuracy"].tolist() == [fold.values["test/accuracy"] for fold in validated.folds]
    assert lines["held-out"].tolist() == [40, 40, 40]
    assert not [name for name in lines if name.startswith("test")]
    assert lines["best_epoch"].between(1, 4).all()
    names = {file.stem for file in (validated.run_dir / "plots").iterdir()}
    assert names >= {"folds", "learning_curves", "confusion_matrix", "roc"}
    again = dlcli.evaluate(validated.run_dir)
    assert again.values["test/accuracy"] == pytest.approx(validated.values["test/accuracy"], abs=1e-6)


def test_the_refitted_model_trained_on_all_other_rows_for_the_median_of_epochs(validated: Result) -> None:
    best = [Ledger.load(fold.run_dir).metrics["best/epoch"] for fold in validated.folds]
    (refitted,) = [
        folder
        for folder in validated.run_dir.parents[1].glob("*/artifacts")
        if Ledger.load(folder).kind == "refit"
    ]
    config = yaml.safe_load((refitted / "config.yaml").read_text())
    epochs = config["trainer"]["max_epochs"]
    assert (
        f"The final model was trained on all 120 rows of the folds for {epochs} epochs, the median of the folds' best "
        "epochs; tested once on 30 final test rows."
    ) in validated.messages
    assert config["trainer"]["max_epochs"] == np.median(best)
    assert Split.load(refitted / "split.npz").sizes == {"train": 120, "val": 0, "test": 30}
    weights = [folder / "model" / "weights.safetensors" for folder in (refitted, validated.run_dir)]
    assert weights[0].samefile(weights[1])


def test_final_test_rows_without_a_final_model_are_reported(tmp_path: Path) -> None:
    words = [*QUICK, "trainer.max_epochs=1", "cv=kfold", "cv.folds=2", "cv.test_size=0.2"]
    result = dlcli.train([*words, f"runs_dir='{tmp_path}'"])
    assert (
        "The 30 final test rows were not used: dlcli eval of this run tests the mean of its models on them, "
        "cv.refit=true trains a final model and tests it."
    ) in result.messages
    tested = dlcli.evaluate(result.run_id[:8], runs_dir=tmp_path)
    assert "test/accuracy" in tested.values


def test_seeds_split_the_variance(tmp_path: Path) -> None:
    result = dlcli.train([*QUICK, "cv=kfold", "cv.folds=2", "cv.seeds=2", f"runs_dir='{tmp_path}'"])
    assert len(result.folds) == 4
    assert result.values["cv/accuracy_std_of_seeds"] >= 0
    assert "2 folds x 2 seeds" in result.messages[0]
    assert "between training seeds" in result.messages[1]
    assert result.messages[2].startswith("An interval from 2 folds is wide and itself uncertain")
    table = pd.read_parquet(result.run_dir / "predictions.parquet")
    assert len(table) == 300


def test_seeds_of_one_split_vary_by_nothing_else(tmp_path: Path) -> None:
    result = dlcli.train([*QUICK, "cv.seeds=3", f"runs_dir='{tmp_path}'"])
    assert len(result.folds) == 3
    tests = {tuple(Split.load(fold.run_dir / "split.npz").test) for fold in result.folds}
    assert len(tests) == 1
    losses = [fold.values["test/loss"] for fold in result.folds]
    assert len(set(losses)) == 3
    assert result.values["cv/loss_std"] == pytest.approx(np.std(losses, ddof=1))
    # The uncorrected t-interval of three independent values, because nothing overlaps.
    assert result.values["cv/loss_se"] == pytest.approx(np.std(losses, ddof=1) / 3**0.5)
    assert "1 split x 3 seeds" in result.messages[0]
    assert "the interval covers the training seed, not the choice of rows" in result.messages[-1]


def summary(task: Task, **figures: Sequence[float]) -> Summary:
    """Return the summary of folds with 8 training and 2 test rows; `figures` holds their values by metric."""
    split = Split(np.arange(8), np.arange(0), np.arange(8, 10))
    folds, results = [], []
    for index, values in enumerate(zip(*figures.values(), strict=True)):
        folds.append(Fold(index, 0, split, 0))
        metrics = {f"test/{name}": value for name, value in zip(figures, values, strict=True)}
        results.append(Result("FINISHED", "", "", "", Path(), "", values=metrics, duration_s=0))
    return summarize_folds(folds, results, task)


def test_an_interval_stays_within_what_the_figure_can_be() -> None:
    task = Multiclass(["a", "b"], [1, 1], CrossEntropy(("a", "b"), (1, 1)))
    figures = summary(task, accuracy=[0.9, 0.95, 1.0]).metrics
    reach = figures["cv/accuracy_mean"] - figures["cv/accuracy_ci95_low"]
    assert figures["cv/accuracy_mean"] + reach > 1  # by Student's t alone
    assert figures["cv/accuracy_ci95_high"] == 1


def test_a_target_that_only_a_leak_could_tell_scores_at_chance(tmp_path: Path) -> None:
    """The labels are fair coins. Stopping, choosing or fitting by held-out rows would beat chance."""
    (tmp_path / "noise.py").write_text(
        "import numpy as np, pandas as pd\n"
        "from dlcli.datasets.data import Data\n"
        "def load():\n"
        "    random = np.random.default_rng(0)\n"
        "    x = pd.DataFrame(random.normal(size=(240, 30)), columns=[f'c{i}' for i in range(30)])\n"
        "    return Data('noise', 'table', x, random.permutation(np.arange(240) % 2).astype(np.int64), ('a', 'b'))\n"
    )
    folder = tmp_path / "conf"
    (folder / "dataset").mkdir(parents=True)
    (folder / "dlcli.yaml").write_text("")
    (folder / "dataset" / "noise.yaml").write_text("_target_: noise.load\nbatch_size: 32\n")
    overrides = ["dataset=noise", *QUICK[1:], "preprocessing=table", "cv=stratified_kfold", "cv.folds=4"]
    result = dlcli.train([*overrides, f"runs_dir='{tmp_path}/runs'"], conf_dirs=[folder])
    # 240 fair coins: two standard deviations are 0.065.
    assert abs(result.values["cv/accuracy_mean"] - 0.5) < 0.1


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["cv.refit=true", "cv.seeds=2"], "several models would be tested on the final test rows"),
        (
            ["cv.refit=true", "cv.val_size=0", "monitor=train/loss"],
            "no validation rows to determine the number",
        ),
        (["cv=group_kfold"], "needs groups, and iris has none"),
        (["cv=kfold", "cv.folds=1"], "at least 2"),
    ],
)
def test_mistakes_are_found_before_a_run_is_made(overrides: list[str], text: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, dlcli.errors.DataError), match=text):
        dlcli.train([*QUICK, *overrides, f"runs_dir='{tmp_path}/runs'"])
    assert not (tmp_path / "runs").exists()


def test_a_fold_that_fails_fails_the_run_and_leaves_nothing_open(tmp_path: Path) -> None:
    with pytest.raises(dlcli.errors.Diverged):
        dlcli.train(
            [*QUICK, "cv=kfold", "cv.folds=3", "optimizer=sgd", "optimizer.lr=1e30", f"runs_dir='{tmp_path}'"]
        )
    statuses = sorted(Ledger.load(file.parent).status for file in tmp_path.glob("*/*/artifacts/ledger.json"))
    assert statuses == ["FAILED", "FAILED", "KILLED", "KILLED"]
    assert not list((tmp_path / ".active").glob("*"))


def test_only_the_best_folds_keep_their_weights(tmp_path: Path) -> None:
    asked = ["cv=kfold", "cv.folds=3", "tracking.keep=1", "run_name=slim", f"runs_dir='{tmp_path}'"]
    result = dlcli.train([*QUICK, *asked])
    losses = [Ledger.load(fold.run_dir).metrics["best/val/loss"] for fold in result.folds]
    kept = [(fold.run_dir / "model" / "weights.safetensors").exists() for fold in result.folds]
    assert kept == [loss == min(losses) for loss in losses]
    assert not any(
        (fold.run_dir / "checkpoints").exists() for fold in result.folds
    )  # of so short a training run
    best, dropped = result.folds[kept.index(True)], result.folds[kept.index(False)]
    assert dlcli.evaluate(best.run_dir).values["test/loss"] == pytest.approx(best.values["test/loss"])
    with pytest.raises(CorruptRun, match="weights were not kept"):
        dlcli.evaluate(dropped.run_dir)
    # When it is extended, folds whose weights were deleted are trained again, and deleted again.
    longer = dlcli.resume("slim", ["trainer.max_epochs=6"], runs_dir=tmp_path)
    assert longer.status == "FINISHED"
    assert sum((fold.run_dir / "model" / "weights.safetensors").exists() for fold in longer.folds) == 1
    assert [len(recorded_epochs(fold.run_dir)) for fold in longer.folds] == [6, 6, 6]


@pytest.mark.parametrize(
    ("folds", "seeds", "told"), [(5, 1, None), (4, 2, "4 folds"), (1, 3, "3 seeds"), (1, 1, None)]
)
def test_an_interval_of_few_estimates_is_reported(folds: int, seeds: int, told: str | None) -> None:
    caution = Summary({}, {}, folds, seeds).caution()
    assert caution is None if told is None else caution.startswith(f"An interval from {told} is wide")


@pytest.mark.parametrize(
    "loss",
    [
        *(loss(("a", "b"), (1, 1)) for loss in (CrossEntropy, BinaryCrossEntropy, Focal)),
        *(MSE(), MAE(), Huber(), Quantile()),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_the_interval_of_a_loss_ends_where_the_loss_does(loss: nn.Module) -> None:
    task = Regression(["y"], [0.0], [1.0], loss)
    assert summary(task, loss=[0.01, 0.02]).intervals["loss"].low == 0
    own = Regression(["y"], [0.0], [1.0], nn.GaussianNLLLoss())  # which may be negative
    assert summary(own, loss=[0.01, 0.02]).intervals["loss"].low < 0


def test_the_way_from_the_command_to_the_fit_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most eight calls lead from `cli/train.py` to `training/fit.py`; CONTRIBUTING shows the way."""
    seen: list[str] = []

    def fit(*arguments: object, **named: object) -> None:
        package = str(Path(dlcli.__file__).parent) + "/"
        frames = [frame.filename for frame in traceback.extract_stack() if frame.filename.startswith(package)]
        seen.extend(name.removeprefix(package) for name in frames)
        raise KeyboardInterrupt

    monkeypatch.setattr("dlcli.training.fit.run_epochs", fit)
    run(["train", *QUICK, "cv=kfold", "cv.folds=2", "executor.stack=false"], tmp_path)
    way = seen[seen.index("cli/train.py") : seen.index("training/fit.py") + 1]
    assert len(way) - 1 <= 8, way
