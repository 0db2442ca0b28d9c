"""Choosing metrics: names, order, keys, directions, mistakes, and what is recorded."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import dlcli
from dlcli.config.folders import options
from dlcli.config.yaml_file import read
from dlcli.errors import ConfigError
from dlcli.experiment import plan_experiment
from dlcli.gate.documents import read_yaml
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.losses import Quantile
from dlcli.tasks.matthews import MatthewsCorrelation
from dlcli.tasks.metric_choice import MetricChoice, with_metrics
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.regression import Regression
from dlcli.training.scores import Scores

IRIS = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
NUMBERS = ["dataset=diabetes", *IRIS[1:]]
ROWS = 40
RANDOM = np.random.default_rng(0)


def tasks(*metrics: str | MetricChoice, quantiles: tuple[float, ...] = ()) -> dict[str, Task]:
    """Return a task of each kind with these metrics."""
    loss = Quantile(quantiles) if quantiles else nn.MSELoss()
    return {
        "binary": Binary(("no", "yes"), (60, 40), nn.BCEWithLogitsLoss(), metrics=metrics),
        "multiclass": Multiclass(("a", "b", "c"), (30, 30, 40), nn.CrossEntropyLoss(), metrics=metrics),
        "multilabel": Multilabel(("a", "b"), ((5, 5), (6, 4)), nn.BCEWithLogitsLoss(), metrics=metrics),
        "regression": Regression(("u", "v"), (50.0, 1e4), (3.0, 20.0), loss, metrics=metrics),
    }


@pytest.mark.parametrize("name", options("metric"))
def test_a_shipped_metric_is_defined_on_varied_rows_and_states_its_direction(name: str) -> None:
    levels = (0.1, 0.5, 0.9) if name in Regression.quantile_metrics else ()
    accepts = read(options("metric")[name])["accepts"]
    found = tasks(name, quantiles=levels) if set(accepts) & set(tasks()) else {}
    for kind in set(accepts) & set(found):  # those of other kinds have tests of their own
        task = found[kind]
        y = {
            "binary": RANDOM.integers(0, 2, ROWS),
            "multiclass": RANDOM.integers(0, 3, ROWS),
            "multilabel": RANDOM.integers(0, 2, (ROWS, 2)),
            "regression": RANDOM.normal([50, 1e4], [3, 20], (ROWS, 2)),
        }[kind]
        scores = Scores(task)
        scores.update(torch.randn(ROWS, task.num_outputs), torch.as_tensor(task.encode(y)))
        value, scale = scores.compute()[name], task.scales()[name]
        assert task.scales()["loss"]["better"] == "lower"
        assert math.isfinite(value)
        assert scale["better"] in ("higher", "lower") or name in ("coverage", "interval_width")
        assert (scale["low"] is None or scale["low"] <= value) and (
            scale["high"] is None or value <= scale["high"]
        )


def test_the_order_is_that_of_the_list_and_default_means_the_metrics_of_the_task() -> None:
    highest = {
        name: task.metrics()["brier"].plot_upper_bound
        for name, task in tasks("brier").items()
        if task.kind != "regression"
    }
    assert highest == {"binary": 1.0, "multiclass": 2.0, "multilabel": 1.0}
    stated = MetricChoice("brier", {**read(options("metric")["brier"]), "highest": 0.5})
    assert tasks(stated)["binary"].metrics()["brier"].plot_upper_bound == 0.5
    assert with_metrics({"metrics": ["brier"]}, None) == {"metrics": ["brier"]}
    found = tasks("brier", "default", "mcc", "accuracy")["binary"].metric_names
    assert found == ("brier", *Binary.default_metrics, "mcc")


def test_a_tuned_threshold_decides_labels_of_chosen_metrics_too() -> None:
    task = Binary(
        ("no", "yes"),
        (60, 40),
        nn.BCEWithLogitsLoss(),
        tune_threshold="f1",
        metrics=("mcc", "auroc"),
        tuned_threshold=0.2,
    )
    assert task.metric_names == ("mcc", "mcc_untuned", "auroc")
    scores, p = Scores(task), torch.tensor([0.1, 0.3, 0.3, 0.9])
    scores.update(p.logit().unsqueeze(1), torch.tensor([0.0, 1.0, 1.0, 1.0]).unsqueeze(1))
    found = scores.compute()
    assert found["mcc"] == 1.0 > found["mcc_untuned"] == pytest.approx(1 / 3)


def test_matthews_of_a_constant_prediction_is_0_and_of_a_constant_target_undefined() -> None:
    metric = MatthewsCorrelation()
    metric.update(torch.zeros(4, dtype=torch.long), torch.tensor([0, 0, 0, 1]))
    assert metric.compute() == 0
    metric.reset()
    metric.update(torch.tensor([0, 1, 0, 1]), torch.zeros(4, dtype=torch.long))
    assert metric.compute().isnan()


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("name", ["pearson", "spearman", "concordance", "explained_variance"])
def test_the_unit_does_not_change_a_correlation(name: str, unit: float) -> None:
    y = np.random.default_rng(0).normal(5, 2, (ROWS, 1))
    outputs = torch.randn(ROWS, 1, generator=torch.Generator().manual_seed(0))
    values = []
    for scale in (1.0, unit):
        task = Regression(("u",), (5.0 * scale,), (2.0 * scale,), nn.MSELoss(), metrics=(name,))
        scores = Scores(task)
        scores.update(outputs, torch.as_tensor(task.encode(y * scale)))
        values.append(scores.compute()[name])
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_a_half_counted_epoch_continues_with_what_was_counted() -> None:
    task = tasks("spearman", "rmsle", "mae")["regression"]
    outputs, y = torch.randn(ROWS, 2), torch.as_tensor(task.encode(RANDOM.normal(50, 3, (ROWS, 2))))
    whole, first, second = Scores(task), Scores(task), Scores(task)
    whole.update(outputs, y)
    first.update(outputs[:9], y[:9])
    first._count()
    second.load_state_dict(first.state_dict())
    second.update(outputs[9:], y[9:])
    assert second.compute() == pytest.approx(whole.compute(), rel=1e-6)


def planned(*words: str, conf_dirs: tuple[Path, ...] = ()) -> dict[str, object]:
    return plan_experiment([*IRIS, *words], conf_dirs).config


def test_the_mode_follows_from_the_monitored_metric() -> None:
    words = ("task.metrics=[default,mcc]", "scheduler=plateau")
    config = planned("monitor=val/mcc", *words)
    assert [config["mode"], config["scheduler"]["mode"]] == ["max", "max"]  # type: ignore[index]
    assert config["callbacks"]["early_stopping"]["mode"] == "max"  # type: ignore[index]
    mixed = planned("monitor=val/mcc", "callbacks.early_stopping.monitor=val/loss", *words)
    assert [mixed["mode"], mixed["callbacks"]["early_stopping"]["mode"]] == ["max", "min"]  # type: ignore[index]
    assert planned()["mode"] == "min"


@pytest.mark.parametrize(
    ("words", "where", "said"),
    [
        (["task.metrics=[mc]"], "task.metrics", "there is no metric mc"),
        (["task.metrics=[rmsle]"], "task.metrics", "rmsle is for regression or forecast targets"),
        (["metric.brier.highest=1"], "metric.brier", "is set, but the metric is not computed"),
        (["task.metrics=[default,brier]", "metric.brier.up=1"], "metric.brier.up", "has no argument up"),
        (["metric=mcc"], "metric=mcc", "the metrics are a list of the task"),
        (["+metric/mcc=mcc"], "metric=mcc", "the metrics are a list of the task"),
        (["+metric/mcc@a.b=mcc"], "+metric/mcc@a.b=mcc", "a package for a group (@) is not allowed here"),
        (["monitor=val/mcc"], "monitor", "val/mcc is monitored, but never logged"),
        (
            ["task.metrics=[mcc]", "monitor=val/mcc", "mode=min"],
            "mode",
            "higher values of val/mcc are better",
        ),
        (["task.metrics=[pinball]", *NUMBERS], "task.metrics", "pinball needs several quantiles"),
        (
            ["task.metrics=[top_k_accuracy]", "metric.top_k_accuracy.top_k=9"],
            "metric.top_k_accuracy",
            "top_k",
        ),
    ],
)
def test_a_mistake_is_named(words: list[str], where: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        planned(*words)
    assert any(problem.where == where and said in problem.message for problem in raised.value.problems), (
        raised.value
    )


def test_a_run_records_its_metrics_and_is_evaluated_by_them(tmp_path: Path) -> None:
    words = ["task.metrics=[top_k_accuracy,mcc]", "metric.top_k_accuracy.top_k=3", f"runs_dir='{tmp_path}'"]
    result = dlcli.train([*IRIS, *words])
    config = read_yaml(Path(result.run_dir) / "config.yaml")
    assert list(config["metric"]) == config["task"]["metrics"] == ["top_k_accuracy", "mcc"]
    assert config["metric"]["top_k_accuracy"]["top_k"] == 3
    again = dlcli.evaluate(result.run_dir)
    assert again.values == {n: v for n, v in result.values.items() if n.startswith("test/")}
    assert again.metrics["test/top_k_accuracy"] == 1.0
    assert result.baselines["test/mcc"] == 0.0


def test_a_metric_of_ones_own_that_fails_is_found_before_training(tmp_path: Path) -> None:
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    (tmp_path / "broken_metric.py").write_text(
        "from torchmetrics import Metric\n\n\n"
        "class Broken(Metric):\n"
        "    def update(self, predicted, y):\n        predicted + y.nope\n\n"
        "    def compute(self):\n        return 0.0\n"
    )
    option = "_target_: broken_metric.Broken\ntakes: labels\nevery_epoch: false\n"
    (tmp_path / "conf" / "metric" / "broken.yaml").write_text(option)
    words = ["task.metrics=[default,broken]", f"runs_dir='{tmp_path}'"]
    with pytest.raises(ConfigError) as raised:
        dlcli.train([*IRIS, *words], conf_dirs=[tmp_path / "conf"])
    (problem,) = raised.value.problems
    assert problem.where == "metric.broken"
    assert problem.message.startswith("Broken fails on a batch: AttributeError: 'Tensor' object has no")
    assert "broken_metric.py:6" in problem.message
    assert "Its inputs were predictions int64 (" in problem.hint


def test_a_metric_with_a_value_per_class_is_its_mean_and_a_column_of_the_breakdown(tmp_path: Path) -> None:
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    (tmp_path / "conf" / "metric" / "f1_each.yaml").write_text(
        "_target_: torchmetrics.F1Score\naverage: none\n"
    )
    words = ["task.metrics=[default,f1_each]", f"runs_dir='{tmp_path}'", "trainer.max_epochs=3"]
    result = dlcli.train([*IRIS, *words], conf_dirs=[tmp_path / "conf"])
    table = pd.read_csv(Path(result.run_dir) / "breakdown.csv")
    of_test = table[table["split"] == "final test"]
    assert of_test["f1_each"].notna().sum() == 3
    assert of_test["f1_each"].dropna().tolist() == pytest.approx(of_test["f1"].tolist()[:3], abs=1e-6)
    assert result.metrics["test/f1_each"] == pytest.approx(of_test["f1_each"].mean())
    again = dlcli.evaluate(result.run_dir)  # torchmetrics is no code of the user's own
    assert again.metrics["test/f1_each"] == result.metrics["test/f1_each"]
