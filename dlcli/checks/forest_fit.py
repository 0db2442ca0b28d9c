"""Checks of decision-tree models: their optimizer, their loss, and the kind of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from dlcli.assembly.batch_rows import grows_trees
from dlcli.config.build import build, locate
from dlcli.datasets.data import Data
from dlcli.errors import Problem
from dlcli.models.forest import Forest
from dlcli.models.hist_gradient_boosting import HistGradientBoosting
from dlcli.tasks import losses

_ONE = (1, "1", "auto", None)


def check_forest(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield settings that do not apply to trees, and missing values that the model does not accept."""
    model = locate(config["model"]["_target_"])
    if config["preprocessing"].get("missing") == "keep" and not getattr(model, "takes_missing", False):
        yield Problem(
            f"{model.__name__} does not support missing values",
            "preprocessing.missing",
            "Use preprocessing.missing=median, or a model of trees: model=hist_gradient_boosting.",
        )
    if not getattr(model, "is_forest", False):
        return
    if not (isinstance(model, type) and issubclass(model, Forest)):
        yield Problem(
            f"{model.__name__} is marked by is_forest, but is not a dlcli.models.forest.Forest",
            "model",
            "Derive it from Forest, or leave the mark out.",
        )
        return
    if not grows_trees(config):
        yield Problem(
            f"{model.__name__} consists of decision trees, which have no gradient",
            "optimizer",
            "Use optimizer=grow_trees, the model's default.",
        )
    yield from _loss(config, model)
    for key in ("devices", "num_nodes"):
        if config["trainer"].get(key) not in _ONE:
            yield Problem("trees are grown in one process", f"trainer.{key}", f"Use trainer.{key}=1.")
    if config["model"].get("weights") or config["finetune"]:
        where = "model.weights" if config["model"].get("weights") else "finetune"
        yield Problem(
            "trees are grown from the start: there is nothing to continue from", where, f"Leave out {where}."
        )


def check_baseline(config: Mapping[str, Any], data: Data) -> Iterator[Problem]:
    """Yield a problem if the baseline of trees was requested, but is not available for this experiment."""
    if config.get("baseline") != "trees":
        return
    loss = _name_of_loss(config)
    if data.kind != "table" or loss not in HistGradientBoosting.losses:
        what = (
            f"{data.name} is {data.kind} data"
            if data.kind != "table"
            else f"they have no such loss{loss and f' as {loss}'}"
        )
        yield Problem(f"the baseline of trees is not available: {what}", "baseline", "Use baseline=none.")
    elif not isinstance(data.x, pd.DataFrame):
        what = f"the rows of {data.name} are not a pandas.DataFrame"
        yield Problem(f"the baseline of trees is not available: {what}", "baseline", "Use baseline=none.")


def warn_of_cut(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a warning if `max_epochs` ends training before all trees are grown."""
    limit = config["trainer"].get("max_epochs")
    if not (getattr(locate(config["model"]["_target_"]), "is_forest", False) and grows_trees(config)):
        return
    forest: Any = build(config["model"], where="model", input_shape=(1,), num_outputs=1)
    optimizer: Any = build(config["optimizer"], where="optimizer", params=list(forest.parameters()))
    if limit and 0 < limit < (number := optimizer.epochs(forest)):
        grown = optimizer.iterations_after(forest, limit)
        yield Problem(
            f"training ends after {grown:,} of the model's {forest.total:,} iterations of trees",
            "trainer.max_epochs",
            f"For all of them: trainer.max_epochs={number}, or larger epochs by optimizer.iterations_per_epoch.",
        )


def _name_of_loss(config: Mapping[str, Any]) -> str:
    """Return the class name of one of dlcli's losses; empty for other losses, whose names may coincide."""
    target = str((config["task"].get("loss") or {}).get("_target_", ""))
    name = target.rpartition(".")[2]
    return name if target and locate(target) is getattr(losses, name, None) else ""


def _loss(config: Mapping[str, Any], model: Any) -> Iterator[Problem]:
    """Yield a problem if trees cannot be grown for the loss."""
    loss, name = config["task"].get("loss") or {}, _name_of_loss(config)
    if name not in model.losses:
        options = {
            "BinaryCrossEntropy": "binary_cross_entropy", "CrossEntropy": "cross_entropy", "MSE": "mse", "MAE": "mae",
            "Quantile": "quantile",
        }  # fmt: skip
        known = ", ".join(options[one] for one in model.losses)
        yield Problem(
            f"{model.__name__} grows trees for other losses than {name or 'that of this task'}",
            "task/loss",
            f"Choose task/loss among {known}, or a network, such as model=mlp.",
        )
    if loss.get("label_smoothing"):
        yield Problem(
            "trees are grown for unmodified targets",
            "task.loss.label_smoothing",
            "Leave it out, or choose a network, such as model=mlp.",
        )
    shares_trees = model.shares_trees and "Multilabel" in config["task"]["_target_"]
    if shares_trees and loss.get("class_weights"):
        yield Problem(
            "the labels share the trees of a random forest, and cannot have weights of their own",
            "task.loss.class_weights",
            "Leave it out, or use model=hist_gradient_boosting, which has trees of each label.",
        )
