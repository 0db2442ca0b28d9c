"""Complete runs of each task: training, evaluation of the saved model, predictions for raw rows."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

import dlcli
from dlcli.datasets.bundled import breast_cancer, diabetes
from dlcli.errors import ConfigError
from dlcli.formatting import number
from dlcli.result import Result
from dlcli.splits.split import Split

QUICK = [
    "model=mlp",
    "model.hidden=16",
    "optimizer.lr=0.01",
    "trainer.max_epochs=8",
    "trainer.accelerator=cpu",
]

OWN = """
    import numpy as np
    import pandas as pd
    from dlcli.datasets.data import Data

    random = np.random.default_rng(0)
    x = pd.DataFrame(random.normal(size=(120, 3)), columns=["a", "b", "c"])

    def labels():
        y = (x[["a", "b"]].to_numpy() > [0, 1]).astype(np.int64)
        return Data("labelled", "table", x, y, classes=("warm", "wet"))

    def numbers():
        y = np.stack([1000 + 10 * x["a"], x["b"] - x["c"]], axis=1)
        return Data("numbered", "table", x, y, targets=("height", "drift"))

    def pictures():
        images = random.integers(0, 60, (120, 8, 8)).astype(np.uint8)
        y = random.permutation(np.arange(120) % 2)
        return Data("pictures", "image", images, y, classes=("dark", "bright"))
    """


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a user's folder with data of each kind of target."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_tasks.py").write_text(dedent(OWN))
    (folder / "conf" / "dataset").mkdir(parents=True)
    for name in ("labels", "numbers", "pictures"):
        preprocessing = "image" if name == "pictures" else "table"
        text = f"""
            defaults:
              - override /preprocessing@_global_.preprocessing: {preprocessing}
            _target_: own_tasks.{name}
            batch_size: 16
            """
        (folder / "conf" / "dataset" / f"{name}.yaml").write_text(dedent(text))
    return folder / "conf"


def check_evaluation(result: Result) -> None:
    for part in ("val", "test"):
        again = dlcli.evaluate(result.run_dir, part)
        assert again.values
        for name, value in again.values.items():
            assert value == pytest.approx(result.metrics[name], abs=1e-6, rel=1e-6, nan_ok=True), name
        assert again.baselines == pytest.approx(
            {name: value for name, value in result.baselines.items() if name.startswith(part)}, nan_ok=True
        )


def task_of(result: Result) -> dict:
    return yaml.safe_load((result.run_dir / "config.yaml").read_text())["task"]


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Result:
    runs = tmp_path_factory.mktemp("runs")
    return dlcli.train(
        ["dataset=diabetes", *QUICK, "task/loss=huber", "task.loss.delta=2", f"runs_dir='{runs}'"]
    )


def test_regression_beats_the_mean(regression: Result) -> None:
    assert task_of(regression)["_target_"] == "dlcli.tasks.regression.Regression"
    assert task_of(regression)["loss"] == {"_target_": "dlcli.tasks.losses.Huber", "delta": 2}
    assert regression.metrics["test/rmse"] < 0.9 * regression.baselines["test/rmse"]
    assert regression.metrics["test/r2"] > 0.2 > 0.05 > abs(regression.baselines["test/r2"])
    check_evaluation(regression)


def test_regression_predicts_raw_rows_in_the_users_unit(regression: Result) -> None:
    data, split = diabetes(), Split.load(regression.run_dir / "split.npz")
    predicted = dlcli.load_run(regression.run_dir).predict(data.x.iloc[split.test])
    error = predicted["prediction"] - data.y[split.test]
    assert np.abs(error).mean() == pytest.approx(regression.metrics["test/mae"], rel=1e-5)
    table = pd.read_parquet(regression.run_dir / "predictions.parquet")
    assert list(table) == ["row", "split", "target", "prediction"]
    assert table["target"].tolist() == data.y[[*split.val, *split.test]].tolist()
    plots = {file.stem for file in (regression.run_dir / "plots").iterdir()}
    assert plots == {"learning_curves", "predicted_vs_actual", "residuals"}


def test_the_baseline_is_the_mean_of_the_training_rows(regression: Result) -> None:
    data, split = diabetes(), Split.load(regression.run_dir / "split.npz")
    error = data.y[split.test] - data.y[split.train].mean()
    assert regression.baselines["test/mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    facts = json.loads((regression.run_dir / "model" / "model.json").read_text())["task_facts"]
    assert facts["target_mean"] == pytest.approx([data.y[split.train].mean()])
    recorded = MlflowClient(regression.tracking_uri).get_run(regression.run_id).data
    for name, value in regression.baselines.items():
        assert f"{name} {number(value)}" in recorded.tags["dlcli.baseline"]
    assert not any(name.startswith("baseline/") for name in recorded.metrics)


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Result:
    runs = tmp_path_factory.mktemp("runs")
    options = [
        "task.tune_threshold=f1",
        "task.loss.class_weights={malignant:1000}",
        "monitor=val/auroc",
        "mode=max",
    ]
    return dlcli.train(["dataset=breast_cancer", *QUICK, "model.hidden=4", *options, f"runs_dir='{runs}'"])


def test_a_binary_run_tunes_its_threshold_and_uses_it(binary: Result) -> None:
    threshold = binary.metrics["tuned_threshold"]
    assert threshold > 0.5, "weights of 1000 make the model say yes to nearly all rows"
    assert any("tuned_threshold" in message for message in binary.messages)
    assert binary.metrics["val/f1"] > binary.metrics["val/f1_untuned"]
    table = pd.read_parquet(binary.run_dir / "predictions.parquet")
    assert ((table["p(malignant)"] > threshold) == (table["prediction"] == "malignant")).all()
    data, split = breast_cancer(), Split.load(binary.run_dir / "split.npz")
    predicted = dlcli.load_run(binary.run_dir).predict(data.x.iloc[split.test])
    right = predicted["prediction"] == np.array(data.classes)[data.y[split.test]]
    assert right.mean() == pytest.approx(binary.metrics["test/accuracy"])
    recorded = MlflowClient(binary.tracking_uri).get_run(binary.run_id).data.metrics
    assert recorded["tuned_threshold"] == threshold
    check_evaluation(binary)


def test_a_monitored_costly_metric_is_computed_every_epoch(binary: Result) -> None:
    client = MlflowClient(binary.tracking_uri)
    assert len(client.get_metric_history(binary.run_id, "val/auroc")) == 8
    assert len(client.get_metric_history(binary.run_id, "val/average_precision")) == 1


@pytest.mark.parametrize(
    ("dataset", "options", "columns"),
    [
        (
            "labels",
            ["task/loss=focal", "task.loss.class_weights=balanced", "task.tune_threshold=f1"],
            ["prediction(warm)", "p(warm)", "prediction(wet)", "p(wet)"],
        ),
        ("numbers", ["task/loss=mae"], ["prediction(height)", "prediction(drift)"]),
        (
            "numbers",
            ["task.scale_targets=false", "task/loss=quantile", "task.loss.quantiles=[0.1,0.5]"],
            [f"{what}({t})" for what in ("prediction", "q0.1", "q0.5") for t in ("height", "drift")],
        ),
        # The rows are noise, so many predictions are wrong.
        ("pictures", ["task=multiclass", "trainer.max_epochs=1"], ["prediction", "p(dark)", "p(bright)"]),
    ],
)
def test_the_users_own_targets(
    dataset: str, options: list[str], columns: list[str], own: Path, tmp_path: Path
) -> None:
    overrides = [f"dataset={dataset}", *QUICK, *options, f"runs_dir='{tmp_path}'"]
    result = dlcli.train(overrides, conf_dirs=[own])
    check_evaluation(result)
    model = dlcli.load_run(result.run_dir)
    rows = (
        pd.DataFrame({"a": [1.0], "b": [0.0], "c": [2.0]})
        if dataset != "pictures"
        else np.zeros((1, 8, 8), np.uint8)
    )
    assert list(model.predict(rows)) == columns
    breakdown = pd.read_csv(result.run_dir / "breakdown.csv")
    assert set(breakdown["split"]) == {"val", "final test"}
    if dataset == "pictures":
        assert result.metrics["test/accuracy"] < 1
        assert (result.run_dir / "plots" / "worst.png").stat().st_size > 1000
    if dataset == "labels":
        found = json.loads((result.run_dir / "model" / "model.json").read_text())["task_facts"]
        assert breakdown["threshold"].dropna().unique() == pytest.approx(found["tuned_thresholds"])
        tag = MlflowClient(result.tracking_uri).get_run(result.run_id).data.tags["dlcli.tuned"]
        assert tag in result.messages
        assert tag.startswith("tuned_thresholds ")
        assert result.metrics["val/f1"] >= result.metrics["val/f1_untuned"]


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            ["dataset=diabetes", "task=multiclass"],
            "Multiclass is for binary or multiclass targets, but those of diabetes",
        ),
        (["dataset=iris", "task=binary"], "Choose task=multiclass, or task=auto"),
        (["dataset=iris", "task/loss=mse"], "Choose task/loss=cross_entropy or focal"),
        (["dataset=iris", "task.tune_threshold=f1"], "has no argument tune_threshold"),
        (["dataset=iris", "task.loss.class_weight=balanced"], "Did you mean task.loss.class_weights"),
        (["dataset=iris", "task.loss.class_weights={rose:2}"], "names rose, the classes are setosa"),
        (["dataset=iris", "task.classes=[a,b]"], "It comes from the data"),
        (["dataset=iris", "task.loss.class_counts=[1]"], "It comes from the data"),
        (["dataset=breast_cancer", "task.tune_threshold=recall"], "'accuracy', 'balanced_accuracy' or 'f1'"),
        (
            ["dataset=breast_cancer", "task.tune_threshold=f1", "cv.val_size=0", "monitor=train/loss"],
            "the threshold is tuned on validation rows, but there are none",
        ),
        (
            ["dataset=diabetes", "task/loss=quantile", "task.loss.quantiles=[0.9,0.1]"],
            "levels between 0 and 1 in increasing order",
        ),
        (
            ["dataset=diabetes", "task/loss=quantile", "task.loss.quantiles=[0.1,0.9]"],
            "Add 0.5: [0.1,0.5,0.9]",
        ),
        (["dataset=diabetes", "task/loss=quantile", "task.loss.quantiles=[0.1,1.5]"], "less than 1"),
        (["dataset=iris", "monitor=val/r2"], "val/r2 is monitored, but never logged"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_do_not_fit_the_targets_are_reported(
    overrides: list[str], text: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        dlcli.train(["model=mlp", *overrides, f"runs_dir='{tmp_path}/runs'"])
    assert text in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_other_mistakes_are_reported_before_the_data_is_read() -> None:
    with pytest.raises(ConfigError) as caught:
        dlcli.train(["dataset=iris", "optimizer.lrr=1", "task.nonsense=1"])
    assert [problem.where for problem in caught.value.problems] == ["optimizer.lrr"]
