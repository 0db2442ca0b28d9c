"""Tasks: outputs, targets and tables, and that a model can overfit a few rows with each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dlcli.config.build import build
from dlcli.datasets.data import Data
from dlcli.tasks.base import Task
from dlcli.tasks.binary import Binary
from dlcli.tasks.facts import target_facts
from dlcli.tasks.metric import keywords
from dlcli.training.scores import Scores

RANDOM = np.random.default_rng(0)
ROWS = 12
TARGETS: dict[str, dict[str, Any]] = {
    "binary": {"y": np.arange(ROWS) % 3 // 2, "classes": ("no", "yes")},
    "multiclass": {"y": np.arange(ROWS) % 3, "classes": ("a", "b", "c")},
    "multilabel": {
        "y": np.stack([np.arange(ROWS) % 2, np.arange(ROWS) % 3 // 2], axis=1),
        "classes": ("p", "q"),
    },
    "regression": {"y": 1000 + 50 * RANDOM.normal(size=ROWS), "targets": ("price",)},
    "regression of two": {"y": np.array([5.0, 3e6]) * RANDOM.normal(size=(ROWS, 2)), "targets": ("u", "v")},
}
LOSSES = [
    ("binary", {"_target_": "dlcli.tasks.losses.BinaryCrossEntropy", "class_weights": "balanced"}),
    ("binary", {"_target_": "dlcli.tasks.losses.Focal", "class_weights": {"yes": 3}}),
    ("multiclass", {"_target_": "dlcli.tasks.losses.CrossEntropy", "class_weights": "balanced"}),
    ("multiclass", {"_target_": "dlcli.tasks.losses.Focal"}),
    ("multilabel", {"_target_": "dlcli.tasks.losses.BinaryCrossEntropy", "class_weights": "balanced"}),
    ("multilabel", {"_target_": "dlcli.tasks.losses.Focal", "class_weights": "balanced"}),
    ("regression", {"_target_": "dlcli.tasks.losses.MSE"}),
    ("regression of two", {"_target_": "dlcli.tasks.losses.Quantile", "quantiles": [0.2, 0.5, 0.8]}),
    ("regression of two", {"_target_": "dlcli.tasks.losses.Huber"}),
    ("regression of two", {"_target_": "dlcli.tasks.losses.MAE"}),
]


def data(name: str) -> Data:
    return Data("some", "sequence", np.zeros((ROWS, 4), np.float32), **TARGETS[name])


def task(name: str, loss: dict[str, Any], rows: np.ndarray | None = None, **options: Any) -> Task:
    kind = name.split()[0]
    facts = target_facts(data(name), np.arange(ROWS) if rows is None else rows)
    node = {"_target_": f"dlcli.tasks.{kind}.{kind.capitalize()}", "loss": loss, **options}
    return build(node, where="task", **facts)


def usual(name: str, **options: Any) -> Task:
    return task(name, dict(LOSSES)[name], **options)


@pytest.mark.parametrize(
    ("name", "loss"), LOSSES, ids=lambda value: value if isinstance(value, str) else value["_target_"]
)
def test_a_model_overfits_a_few_rows(name: str, loss: dict[str, Any]) -> None:
    made = task(name, loss)
    torch.manual_seed(0)
    x, y = torch.eye(ROWS), torch.from_numpy(made.encode(data(name).y))
    model = nn.Linear(ROWS, made.num_outputs)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for step in range(200):
        optimizer.zero_grad()
        made.loss(model(x), y).backward()
        assert step or all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
        optimizer.step()
    scores = Scores(made)
    scores.update(model(x), y)
    found = scores.compute()
    assert found["r2"] > 0.99 if name.startswith("regression") else found["accuracy"] == 1
    predicted, truth = made.predictions(model(x).detach()), made.targets(data(name).y)
    for column in truth:
        guess = predicted[column.replace("target", "prediction")]
        if name.startswith("regression"):
            assert np.corrcoef(guess, truth[column])[0, 1] > 0.99
        else:
            assert (guess == truth[column]).all()
    if not name.startswith("regression"):
        assert made.worst(model(x).detach(), data(name).y) == []


@pytest.mark.parametrize("name", TARGETS)
def test_the_task_follows_from_the_data(name: str) -> None:
    assert data(name).target_kind == name.split()[0] == usual(name).kind


@pytest.mark.parametrize("name", TARGETS)
def test_facts_depend_on_training_rows_only(name: str) -> None:
    train = np.arange(6)
    others = TARGETS[name]["y"].copy()
    others[6:] = others[0]
    changed = Data("some", "sequence", np.zeros((ROWS, 4), np.float32), **{**TARGETS[name], "y": others})
    assert target_facts(changed, train) == target_facts(data(name), train)


def test_facts_of_each_kind() -> None:
    rows = np.arange(ROWS)
    assert target_facts(data("binary"), rows) == {"classes": ["no", "yes"], "class_counts": [8, 4]}
    assert target_facts(data("multilabel"), rows)["class_counts"] == [[6, 6], [8, 4]]
    facts = target_facts(data("regression of two"), rows)
    assert facts["targets"] == ["u", "v"]
    assert facts["target_mean"] == pytest.approx(data("regression of two").y.mean(axis=0).tolist())


def test_the_baseline_is_the_most_frequent_class_whatever_the_threshold() -> None:
    for options in ({}, {"threshold": 0.1}, {"tuned_threshold": 0.2}):
        made = Binary(("no", "yes"), (8, 4), nn.BCEWithLogitsLoss(), **options)  # type: ignore[arg-type]
        judge, guess = made.baseline()
        scores = Scores(judge, ["accuracy", "auroc", "log_loss"])
        y = torch.from_numpy(made.encode(data("binary").y))
        scores.update(guess.expand(ROWS, -1), y)
        found = scores.compute()
        entropy = -(np.log(8 / 12) * 8 + np.log(4 / 12) * 4) / 12
        assert (found["accuracy"], found["auroc"]) == (pytest.approx(8 / 12), 0.5)
        assert found["log_loss"] == pytest.approx(entropy)


@pytest.mark.parametrize("scaled", [True, False])
def test_the_baseline_of_numbers_is_the_training_rows_mean(scaled: bool) -> None:
    made = usual("regression of two", scale_targets=scaled)
    judge, guess = made.baseline()
    values = judge.predictions(guess.expand(2, -1))
    assert values.iloc[0].to_numpy() == pytest.approx(data("regression of two").y.mean(axis=0), rel=1e-5)
    assert list(values) == ["prediction(u)", "prediction(v)"]


def test_a_class_that_has_no_training_rows_has_a_finite_baseline() -> None:
    made = task("multiclass", dict(LOSSES)["multiclass"], rows=np.array([0, 1, 3, 4]))
    _, guess = made.baseline()
    assert guess.isfinite().all()
    assert guess.softmax(dim=0)[2] < 1e-6


def test_a_constant_target_does_not_divide_by_zero() -> None:
    made = task("regression", {"_target_": "dlcli.tasks.losses.MSE"}, rows=np.array([3]))
    assert np.isfinite(made.encode(data("regression").y)).all()


def test_tables_of_a_binary_task_follow_the_threshold() -> None:
    logits = torch.tensor([[-1.0], [1.0], [-3.0]])  # p(yes): 0.27, 0.73, 0.05
    y = np.array([1, 1, 0])
    plain, tuned = usual("binary"), usual("binary", tuned_threshold=0.2)
    assert plain.predictions(logits)["prediction"].tolist() == ["no", "yes", "no"]
    table = tuned.predictions(logits)
    assert table["prediction"].tolist() == ["yes", "yes", "no"]
    assert list(table) == ["prediction", "p(no)", "p(yes)"]
    assert table["p(yes)"].tolist() == pytest.approx([0.2689, 0.7311, 0.0474], abs=1e-4)
    assert plain.worst(logits, y) == [(0, "yes, predicted no (73%)")]
    assert tuned.worst(logits, y) == []


def test_the_threshold_is_tuned_only_if_configured() -> None:
    logits, y = torch.tensor([[-3.0], [-2.0], [-1.5], [-1.0]]), np.array([0, 0, 1, 1])
    assert usual("binary").tune(logits, y) == {}
    assert [usual("binary").tunes, usual("binary", tune_threshold="f1").tunes] == [False, True]
    found = usual("binary", tune_threshold="f1").tune(logits, y)
    assert found["tuned_threshold"] == pytest.approx((0.1192 + 0.1824) / 2, abs=1e-3)
    assert usual("binary", tune_threshold="f1").tune(logits, np.zeros(4, dtype=int)) == {}


def test_each_label_is_tuned_separately() -> None:
    logits = torch.tensor([[-3.0, 2.0], [-2.0, 1.0], [-1.5, 1.0], [-1.0, 3.0]])
    y = np.array([[0, 0], [0, 0], [1, 0], [1, 0]])
    assert usual("multilabel").tune(logits, y) == {}
    assert [usual("multilabel").tunes, usual("multilabel", tune_threshold="f1").tunes] == [False, True]
    found = usual("multilabel", tune_threshold="f1", threshold=0.6).tune(logits, y)
    assert found["tuned_thresholds"] == [pytest.approx((0.1192 + 0.1824) / 2, abs=1e-3), 0.6]
    made = usual("multilabel", **found)
    assert made.predictions(logits)["prediction(p)"].tolist() == [0, 0, 1, 1]
    assert made.tuned() == "tuned_thresholds 0.1508 (p), 0.6 (q)"
    table = made.breakdown(logits, y)
    assert table is not None
    assert table["threshold"].tolist()[:2] == pytest.approx([*made.thresholds])  # type: ignore[attr-defined]


def test_the_breakdown_has_one_line_per_class_and_two_means() -> None:
    logits = torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    table = usual("multiclass").breakdown(logits, np.array([0, 1, 2, 2]))
    assert table is not None
    assert table["class"].tolist() == ["a", "b", "c", "(macro)", "(weighted)"]
    assert table["rows"].tolist() == [1, 1, 2, 4, 4]
    assert table["recall"].tolist() == pytest.approx([1, 1, 0.5, 5 / 6, 0.75])


def test_the_breakdown_of_several_targets() -> None:
    made = usual("regression of two")
    table = made.breakdown(torch.zeros(ROWS, 2), data("regression of two").y)
    assert table is not None
    assert table["r2"].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert usual("regression").breakdown(torch.zeros(ROWS, 1), data("regression").y) is None


def test_the_worst_of_labels_and_numbers_come_first() -> None:
    logits = torch.tensor([[5.0, 5.0], [-5.0, 5.0], [-1.0, 5.0]])
    assert usual("multilabel").worst(logits, np.ones((3, 2), dtype=int)) == [(1, "wrong: p"), (2, "wrong: p")]
    made = usual("regression", scale_targets=False)
    order = [row for row, _ in made.worst(torch.tensor([[1.0], [2.0], [9.0]]), np.array([1.0, 4.0, 8.0]))]
    assert order == [1, 2, 0]
    assert made.worst(torch.tensor([[2.0]]), np.array([4.0])) == [(0, "4, predicted 2")]


def test_targets_without_names_are_rejected() -> None:
    with pytest.raises(ValueError, match="one name per target column: 2, not 1"):
        Data("some", "table", np.zeros((3, 1)), np.zeros((3, 2)), targets=("u",))
    with pytest.raises(TypeError, match="not <U1"):
        Data("some", "table", np.zeros((2, 1)), np.array(["a", "b"]))


@pytest.mark.parametrize(
    ("name", "loss"), LOSSES, ids=lambda value: value if isinstance(value, str) else value["_target_"]
)
def test_all_tensors_of_a_step_move_to_the_device(name: str, loss: dict[str, Any]) -> None:
    # The meta device computes nothing, but rejects tensors of another device as a GPU does.
    made = task(name, loss).to("meta")
    outputs = torch.zeros(ROWS, made.num_outputs, device="meta", requires_grad=True)
    y = torch.from_numpy(made.encode(data(name).y)).to("meta")
    made.loss(outputs, y).backward()
    inputs, kwargs = made.metric_inputs(outputs.detach(), y), made.metric_kwargs(outputs.detach(), y)
    for metric in made.metrics().values():
        metric.to("meta").update(*inputs, **keywords(metric, kwargs))
    assert not made.state_dict(), "checkpoints hold the network's state, not the task's facts"
