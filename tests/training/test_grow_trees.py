"""Trees grown by scikit-learn: equal outputs of the module, supported tasks, and runs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

import dlcli
from dlcli.checks.forest_fit import check_forest, warn_of_cut
from dlcli.errors import ConfigError
from dlcli.models.forest import Forest
from dlcli.models.hist_gradient_boosting import HistGradientBoosting
from dlcli.models.random_forest import RandomForest
from dlcli.tasks.losses import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Quantile
from dlcli.training.grow_trees import GrowTrees
from dlcli.training.network import Network

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 5)).astype(np.float32)
X[rng.random(X.shape) < 0.1] = np.nan
X[:, 4] = rng.integers(0, 3, len(X))  # many equal values
SUM = np.nan_to_num(X) @ np.array([1, -2, 0.5, 0, 1], dtype=np.float32) + rng.normal(size=len(X)) * 0.3
BINARY = (SUM > 0).astype(np.int64)
THREE = np.digitize(SUM, [-1, 1])
NAMES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def grown(model: Forest, y: np.ndarray, loss: torch.nn.Module, per_epoch: int | None = None) -> torch.Tensor:
    """Return the outputs for all rows of a model that is grown on the first 200."""
    task: Any = SimpleNamespace(criterion=loss, loss=loss)
    network, optimizer = Network(model), GrowTrees(model.parameters(), per_epoch)
    rows = {"x": torch.from_numpy(X[:200]), "y": torch.from_numpy(y[:200])}
    while not optimizer.is_done:
        [(outputs, _, _)] = optimizer.solve([rows], network, task)
    with torch.no_grad():
        found: torch.Tensor = model(torch.from_numpy(X))
    torch.testing.assert_close(outputs, found[:200], atol=1e-5, rtol=1e-5)
    return found


def boosted(outputs: int, **settings: Any) -> HistGradientBoosting:
    return HistGradientBoosting((5,), outputs, **{"max_iter": 12, "max_leaf_nodes": 7, **settings})


def reference(kind: Any, model: Forest, **settings: Any) -> Any:
    of_boosting = {"max_iter": 12, "max_leaf_nodes": 7, "early_stopping": False}
    own = of_boosting if isinstance(model, HistGradientBoosting) else {"n_estimators": model.total}
    return kind(**{**own, **settings}, random_state=int(model.seed))


@pytest.mark.parametrize("per_epoch", [None, 5])
def test_boosted_classes_equal_those_of_scikit_learn(per_epoch: int | None) -> None:
    model = boosted(3, max_features=0.6)
    loss = CrossEntropy(NAMES, np.bincount(THREE[:200]).tolist(), class_weights="balanced")
    found = grown(model, THREE, loss, per_epoch)
    theirs = reference(HistGradientBoostingClassifier, model, max_features=0.6, class_weight="balanced")
    theirs.fit(X[:200], THREE[:200])
    np.testing.assert_allclose(found.softmax(1), theirs.predict_proba(X), atol=1e-6)


def test_boosted_labels_equal_those_of_scikit_learn_each_on_its_own() -> None:
    labels = np.stack([BINARY, np.zeros(len(X)), (THREE == 1)], axis=1).astype(np.float32)
    counts = [[int((1 - column).sum()), int(column.sum())] for column in labels[:200].T]
    found = grown(model := boosted(3), labels, BinaryCrossEntropy(NAMES, counts))
    for column in (0, 2):
        theirs = reference(HistGradientBoostingClassifier, model).fit(X[:200], labels[:200, column])
        np.testing.assert_allclose(found[:, column].sigmoid(), theirs.predict_proba(X)[:, 1], atol=1e-6)
    assert found[:, 1].sigmoid().max() < 1e-6  # a label that no training row has


@pytest.mark.parametrize(
    ("loss", "theirs"), [(MSE(), {"loss": "squared_error"}), (MAE(), {"loss": "absolute_error"})]
)
def test_boosted_numbers_equal_those_of_scikit_learn(loss: Any, theirs: dict[str, Any]) -> None:
    targets = np.stack([SUM, -3 * SUM**2], axis=1).astype(np.float32)
    found = grown(model := boosted(2), targets, loss)
    for column in range(2):
        fitted = reference(HistGradientBoostingRegressor, model, **theirs).fit(X[:200], targets[:200, column])
        np.testing.assert_allclose(found[:, column], fitted.predict(X), atol=1e-5)


def test_boosted_quantiles_equal_those_of_scikit_learn() -> None:
    found = grown(model := boosted(2), SUM[:, None].astype(np.float32), Quantile((0.2, 0.5)))
    for column, level in enumerate((0.2, 0.5)):
        theirs = reference(HistGradientBoostingRegressor, model, loss="quantile", quantile=level)
        theirs.fit(X[:200], SUM[:200].astype(np.float32))
        np.testing.assert_allclose(found[:, column], theirs.predict(X), atol=1e-5)


def test_a_class_without_training_rows_is_improbable() -> None:
    loss = CrossEntropy(NAMES, [1, 1, 0])
    probabilities = grown(model := boosted(3), BINARY, loss).softmax(1)
    theirs = reference(HistGradientBoostingClassifier, model).fit(X[:200], BINARY[:200])
    np.testing.assert_allclose(probabilities[:, :2], theirs.predict_proba(X), atol=1e-6)
    alone = grown(boosted(3), np.ones_like(BINARY), loss).softmax(1)
    assert alone[:, 1].min() > 0.999


@pytest.mark.parametrize("weights", [None, "balanced"])
def test_a_random_forest_of_classes_equals_that_of_scikit_learn(weights: Any) -> None:
    model = RandomForest((5,), 3, n_estimators=8)
    loss = CrossEntropy(NAMES, np.bincount(THREE[:200]).tolist(), class_weights=weights)
    found = grown(model, THREE, loss, 3)
    theirs = reference(RandomForestClassifier, model, class_weight=weights).fit(X[:200], THREE[:200])
    np.testing.assert_allclose(found.softmax(1), theirs.predict_proba(X), atol=1e-6)


def test_random_forests_of_labels_and_numbers_equal_those_of_scikit_learn() -> None:
    labels = np.stack([BINARY, np.ones(len(X)), (THREE == 1)], axis=1).astype(np.float32)
    model = RandomForest((5,), 3, n_estimators=8, max_samples=0.5)
    found = grown(model, labels, BinaryCrossEntropy(NAMES, [[1, 1]] * 3))
    theirs = reference(RandomForestClassifier, model, max_samples=0.5).fit(X[:200], labels[:200])
    shares = theirs.predict_proba(X)
    np.testing.assert_allclose(found[:, 0].sigmoid(), shares[0][:, 1], atol=1e-6)
    np.testing.assert_allclose(found[:, 2].sigmoid(), shares[2][:, 1], atol=1e-6)
    assert found[:, 1].sigmoid().min() > 1 - 1e-6

    targets = np.stack([SUM, SUM**2], axis=1).astype(np.float32)
    found = grown(model := RandomForest((5,), 2, n_estimators=8), targets, MSE())
    theirs = reference(RandomForestRegressor, model).fit(X[:200], targets[:200])
    np.testing.assert_allclose(found, theirs.predict(X), atol=1e-5)


def test_the_trees_are_exported_with_any_number_of_rows() -> None:
    model = RandomForest((5,), 3, n_estimators=4)
    grown(model, THREE, CrossEntropy(NAMES, [1, 1, 1]))
    rows = torch.export.Dim("rows")
    inputs = {"x": torch.from_numpy(X[:7])}
    program = torch.export.export(model.eval(), (), inputs, dynamic_shapes={"x": {0: rows}})
    torch.testing.assert_close(program.module()(x=torch.from_numpy(X)), model(torch.from_numpy(X)))


def test_damaged_trees_are_refused() -> None:
    grown(model := boosted(1), SUM[:, None].astype(np.float32), MSE())
    state = {name: values.clone() for name, values in model.state_dict().items()}
    other = boosted(1)
    other.load_state_dict(state)
    assert (other.depth, other.iterations) == (model.depth, 12)
    back = state["left"].clone()
    back[-3:] = 0  # a way that returns to the root
    away, gap = state["threshold"].clone(), state["missing_right"].clone()
    away[-1], gap[-1] = 0, True  # ways that lead on from the last leaf
    for name, values in (
        ("left", back),
        ("threshold", away),
        ("missing_right", gap),
        ("value", state["value"][:-1]),
        ("feature", state["feature"] + 5),
        ("roots", state["roots"] + 10**6),
    ):
        with pytest.raises(ValueError, match="trees"):
            boosted(1).load_state_dict({**state, name: values})
    with pytest.raises(ValueError, match="numbers of trees per output differ"):
        boosted(5).load_state_dict({**state, "start": torch.zeros(5)})


def test_a_chain_of_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcli.models.forest._DEEPEST", 2)
    grown(model := boosted(1, max_leaf_nodes=31), SUM[:, None].astype(np.float32), MSE())
    with pytest.raises(ValueError, match="more than 2 levels"):
        boosted(1).load_state_dict(model.state_dict())


def test_many_trees_are_walked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    shares, loss = RandomForest((5,), 3, n_estimators=8), CrossEntropy(NAMES, [1, 1, 1])
    boosts = boosted(3)
    for model in (shares, boosts):
        whole = grown(model, THREE, loss)
        with monkeypatch.context() as patch:
            patch.setattr("dlcli.models.forest._WALKED", 7)  # two iterations of three outputs
            torch.testing.assert_close(model(torch.from_numpy(X)), whole)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trees")
    frame = pd.DataFrame(X[:, :4], columns=list("abcd")).assign(
        e=np.array(["red", "green", "blue"])[X[:, 4].astype(int)], number=SUM, kind=np.array(NAMES)[THREE]
    )
    frame.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def words(table: Path, *more: str) -> list[str]:
    return [
        "dataset=table", f"dataset.path='{table}'", "dataset.target=kind", "dataset.drop=[number]",
        "model=hist_gradient_boosting", "model.max_iter=20", "trainer.accelerator=cpu",
        f"runs_dir='{table.parent / 'runs'}'", *more,
    ]  # fmt: skip


def history(result: Any) -> list[float]:
    lines = (Path(result.run_dir) / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line)["metrics"].get("val/loss") for line in lines]
    return [value for value in found if value is not None]


def test_a_run_resumes_to_the_same_trees_and_eval_repeats_its_figures(table: Path) -> None:
    whole = dlcli.train(words(table, "callbacks=none", "model.max_features=0.7"))
    part = dlcli.train(words(table, "callbacks=none", "model.max_features=0.7", "trainer.max_epochs=3"))
    resumed = dlcli.resume(part.run_dir, ["trainer.max_epochs=20"])
    assert history(resumed) == history(whole)
    assert len(history(whole)) == 10  # a tenth of the iterations in each epoch
    assert {k: v for k, v in resumed.values.items() if "/" in k} == {
        k: v for k, v in whole.values.items() if "/" in k
    }
    assert dlcli.evaluate(whole.run_dir).metrics["test/loss"] == whole.metrics["test/loss"]
    model = dlcli.load_run(whole.run_dir)
    rows = pd.read_csv(table).drop(columns=["kind", "number"])
    rows.loc[0, "e"] = "purple"
    with pytest.warns(
        UserWarning, match="1 of 300 rows have a category of e that does not occur in training"
    ):
        predicted = model.predict(rows)
    assert np.isfinite(predicted.filter(like="p(")).all(axis=None)


class Marked(torch.nn.Module):
    is_forest = True


class Own:
    """A namespace with a loss of the user's own that has the name of one of dlcli's."""

    MAE = type("MAE", (MSE,), {})


def test_a_loss_is_not_known_by_its_name_alone() -> None:
    boosting = "dlcli.models.hist_gradient_boosting.HistGradientBoosting"
    config = {
        "model": {"_target_": boosting}, "optimizer": {"_target_": "dlcli.training.grow_trees.GrowTrees"},
        "preprocessing": {}, "trainer": {}, "finetune": {},
        "task": {"_target_": "dlcli.tasks.regression.Regression", "loss": {"_target_": f"{__name__}.Own.MAE"}},
    }  # fmt: skip
    (problem,) = check_forest(config)
    assert problem.where == "task/loss"
    config["task"] = {**config["task"], "loss": {"_target_": "dlcli.tasks.losses.MAE"}}
    assert not list(check_forest(config))


def test_a_model_that_is_only_marked_as_a_forest_is_refused() -> None:
    config = {"model": {"_target_": f"{__name__}.Marked"}, "preprocessing": {}}
    (problem,) = check_forest(config)
    assert problem.message.startswith("Marked is marked by is_forest, but is no")
    with pytest.raises(ConfigError, match="Marked is no"):
        GrowTrees([torch.nn.Parameter(torch.zeros(1))]).solve([], Network(Marked()), SimpleNamespace())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("per_epoch", "said"),
    [(2, ["training ends after 8 of the model's 10 iterations of trees"]), (3, []), (None, [])],
)
def test_epochs_that_end_before_the_trees_are_reported(per_epoch: int | None, said: list[str]) -> None:
    config = {
        "model": {"_target_": "dlcli.models.random_forest.RandomForest", "n_estimators": 10},
        "optimizer": {
            "_target_": "dlcli.training.grow_trees.GrowTrees",
            "iterations_per_epoch": per_epoch,
        },
        "trainer": {"max_epochs": 4},
    }
    assert [problem.message for problem in warn_of_cut(config)] == said
    assert not list(warn_of_cut({**config, "trainer": {"max_epochs": -1}}))


def test_folds_of_a_random_forest(table: Path) -> None:
    of_numbers = [
        word for word in words(table) if not word.startswith(("model", "dataset.target", "dataset.drop"))
    ]
    forest = ["dataset.target=number", "dataset.drop=[kind]", "model=random_forest", "model.n_estimators=10"]
    result = dlcli.train([*of_numbers, *forest, "cv=kfold", "cv.folds=2"])
    assert result.metrics["cv/r2_mean"] > 0.5


@pytest.mark.parametrize(
    ("more", "where"),
    [
        (["optimizer=adam"], "optimizer"),
        (["task/loss=focal"], "task/loss"),
        (["task.loss.label_smoothing=0.1"], "task.loss.label_smoothing"),
        (["trainer.devices=2"], "trainer.devices"),
        (["model=mlp", "preprocessing.missing=keep"], "preprocessing.missing"),
        (["model=mlp", "optimizer=grow_trees"], "optimizer"),
    ],
)
def test_data_that_trees_cannot_use_is_refused(table: Path, more: list[str], where: str) -> None:
    given = [word for word in words(table) if "model=mlp" not in more or not word.startswith("model")]
    with pytest.raises(ConfigError) as raised:
        dlcli.check([*given, *more])
    assert where in [problem.where for problem in raised.value.problems]
