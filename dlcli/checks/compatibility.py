"""Checks of a configuration against the data, before any run is created."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from dlcli.assembly.fitted_sample import fitted_sample
from dlcli.assembly.number_facts import number_facts
from dlcli.assembly.optimization import make_chosen, make_optimizer, make_schedule
from dlcli.assembly.parts import outputs_fact
from dlcli.assembly.run_judge import check_judge
from dlcli.assembly.starting_weights import fitting_weights, starting_weights
from dlcli.checks.callbacks import find_callback_problems
from dlcli.checks.endings import find_endings
from dlcli.checks.forest_fit import check_baseline, check_forest
from dlcli.checks.generation_fit import check_generation
from dlcli.checks.own_preprocessing import check_saved
from dlcli.checks.own_rows import is_of_dlcli
from dlcli.checks.solver_fit import check_solved_head, check_solver
from dlcli.checks.steps import find_empty_epochs
from dlcli.checks.task_fit import check_task, fits_targets, make_task, mixes_targets
from dlcli.checks.trainer import find_accumulation_problems, find_refused, find_trainer_problems
from dlcli.config.build import TARGET, build, locate
from dlcli.config.catalog import accepting
from dlcli.config.metric_section import fitting_metrics
from dlcli.config.metric_words import metric_called
from dlcli.config.pasted import pasted
from dlcli.config.suggest import did_you_mean, question
from dlcli.config.target_types import check_type
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError, DlcliError, Problem, first_line
from dlcli.models.layers import HasBackbone
from dlcli.models.meta_device import on_meta
from dlcli.preprocessing.protocols import facts_of_model
from dlcli.process.own_frame import own_frame
from dlcli.splits.split import Split, shares_rows
from dlcli.tasks.base import Task
from dlcli.training.averaging import SWA
from dlcli.training.fields import as_fields
from dlcli.training.schedules import Length

# Number of training rows that are preprocessed to find the shape of the model's input.
_SAMPLE_ROWS = 256


def find_mistakes(
    config: Mapping[str, Any],
    data: Data,
    split: Split,
    unsound: Collection[str] = (),
    objectives: Sequence[tuple[str, str]] = (),
) -> list[Problem]:
    """Return every mistake that can be found before the first training step.

    These are a model that does not support the data, a monitored metric that is never logged, contradictory settings,
    and objects that cannot be built.

    Args:
        config: the composed configuration.
        data: the dataset.
        split: one split of its rows.
        unsound: sections of the configuration that already failed validation, and are skipped.
        objectives: metric and mode of each objective of a sweep.
    """
    found: list[Problem] = []

    def passes(sections: str, check: Callable[[], Iterator[Problem]]) -> bool:
        if set(sections.split()) & set(unsound):
            return False
        before = len(found)
        try:
            found.extend(check())
        except DlcliError as error:
            found.extend(error.problems)
        return len(found) == before

    passes("trainer callbacks", lambda: find_endings(config))
    supported = passes("callbacks", lambda: find_callback_problems(config))
    supported = passes("trainer", lambda: find_refused(config)) and supported
    if supported and passes("trainer callbacks", lambda: find_trainer_problems(config)):
        passes("optimizer", lambda: find_accumulation_problems(config))
        passes("dataset", lambda: find_empty_epochs(config, split))
    if passes("optimizer", lambda: _makes(_optimizer, config)):
        passes("scheduler trainer", lambda: _makes(_schedule, config))
    passes("weight_averaging trainer", lambda: _averaging(config))
    passes("finder", lambda: _makes(make_chosen, config, "finder"))
    solved = "optimizer model scheduler weight_averaging augmentation finder trainer"
    passes(solved, lambda: check_solver(config))
    passes("finetune model task augmentation optimizer", lambda: check_solved_head(config, data))
    passes("optimizer model task trainer preprocessing", lambda: check_forest(config))
    passes("optimizer model task trainer callbacks finder augmentation", lambda: check_generation(config))
    passes("baseline task", lambda: check_baseline(config, data))
    if passes("augmentation", lambda: _pairing(config, data, "augmentation", "Choose augmentation=none.")):
        passes("augmentation", lambda: _makes(make_chosen, config, "augmentation"))
    passes("augmentation", lambda: mixes_targets(config["augmentation"], data))
    fits = passes("model", lambda: _pairing(config, data, "model"))
    fits = fits and passes("model", lambda: fits_targets(config["model"], config["task"], data))
    hint = f"Use the dataset's default, or choose one for {data.kind} data."
    readable = passes("preprocessing", lambda: _pairing(config, data, "preprocessing", hint))
    fits = readable and passes("preprocessing", lambda: _makes(_row_facts, config, data, split)) and fits
    if passes("task", lambda: iter(check_task(config["task"], data, split))) and passes(
        "task", lambda: _makes(make_task, config, data, split)
    ):
        passes(
            "monitor mode callbacks",
            lambda: _monitor(config, make_task(config, data, split), split, objectives),
        )
        if fits:
            passes("model", lambda: _makes(_model, config, data, split))
            passes("task", lambda: _judge(config, data, split))
    return found


def check_refit(config: Mapping[str, Any], splits: Sequence[Split], final_test: np.ndarray) -> None:
    """Check that a refitted model can be tested on rows on which no other model is tested.

    Raises:
        ConfigError: The final test rows are the test rows of several models, or a hold-out has no validation rows that
            could be added to the training rows.
    """
    (first, *more) = splits
    if not config["cv"]["refit"] or not shares_rows(first.test, final_test):
        return
    if more or config["cv"]["seeds"] > 1:
        raise ConfigError(
            "several models would be tested on the final test rows before the refitted one",
            where="cv.refit",
            hint="Use one split with one seed, or cross-validation: cv=kfold cv.test_size=0.2 cv.refit=true.",
        )
    if not len(first.val):
        raise ConfigError(
            "there are no validation rows to determine the number of epochs, and to add to the training rows",
            where="cv.refit",
            hint="Use cv.refit=false, or add validation rows: cv.val_size=0.15.",
        )


def _judge(config: Mapping[str, Any], data: Data, split: Split) -> Iterator[Problem]:
    if not config["task"].get("judge"):
        return iter(())
    task = make_task(config, data, split)
    return check_judge(
        config, _row_facts(config, data, split, task)["input_shape"], getattr(task, "classes", None)
    )


def _makes(make: Callable[..., object], *arguments: object) -> Iterator[Problem]:
    make(*arguments)
    return iter(())


def _optimizer(config: Mapping[str, Any]) -> Optimizer:
    """Build the optimizer for one dummy weight and bias: torch checks the hyperparameters on construction."""
    parameters = [torch.nn.Parameter(torch.zeros(1, 1)), torch.nn.Parameter(torch.zeros(1))]
    return make_optimizer(config["optimizer"], parameters)


def _has_no_epoch_limit(trainer: Mapping[str, Any]) -> bool:
    """Return whether training has no limit on the number of epochs."""
    return trainer.get("max_epochs") == -1


def _schedule(config: Mapping[str, Any]) -> None:
    if config["scheduler"]:
        trainer = config["trainer"]
        endless = _has_no_epoch_limit(trainer) and trainer.get("max_steps", -1) == -1
        length = Length(None, None, 10) if endless else Length(100, 10, 10)
        make_schedule(config["scheduler"], _optimizer(config), length)


def _averaging(config: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(make_chosen(config, "weight_averaging"), SWA) and _has_no_epoch_limit(config["trainer"]):
        hint = "Set trainer.max_epochs, or choose weight_averaging=ema."
        yield Problem("SWA requires a known number of epochs", "weight_averaging", hint)


def _row_facts(
    config: Mapping[str, Any], data: Data, split: Split, task: Task | None = None
) -> dict[str, Any]:
    """Return the shape of a preprocessed row, and the other facts that the model is built from."""
    # Weights only fit the columns that result from all training rows, in which every category occurs.
    complete = data.kind == "table" and starting_weights(config) is not None
    rows = split.train if complete else split.train[:_SAMPLE_ROWS]
    try:
        preprocessing, fields = fitted_sample(config, data, rows)
        check_saved(preprocessing)
    except DlcliError:
        raise
    except Exception as error:  # numpy, pandas and scikit-learn raise many types for data of the wrong kind
        target = config["preprocessing"]["_target_"].rpartition(".")[2]
        if frame := own_frame(error):
            text = f"{type(error).__name__}: {first_line(error)} ({frame.filename}:{frame.lineno})"
            hint = "Correct it there. fit and transform receive a few rows of the data."
            raise ConfigError(f"{target} fails on {data.name}: {text}", "preprocessing", hint) from error
        raise ConfigError(
            f"{target} cannot take {data.name}, {data.kind} data{_reason(error)}",
            "preprocessing",
            f"Use the dataset's default, or choose one for {data.kind} data.",
        ) from error
    if not is_of_dlcli(target := config["preprocessing"]["_target_"]):
        doubles = "64" in str(config["trainer"].get("precision"))
        _check_fields(fields, len(rows), target, doubles)
    known = as_fields({"x": fields["x"]})["x"]
    facts = {
        "input_shape": tuple(known.shape[1:]),
        **({"num_outputs": 0} if task is None else {"num_outputs": task.num_outputs, **outputs_fact(task)}),
        **preprocessing.facts(),
        **(number_facts(config["model"], known, len(split.train)) if TARGET in config["model"] else {}),
    }
    return facts_of_model(preprocessing, facts)


def _check_fields(fields: Any, rows: int, target: str, doubles: bool) -> None:
    """Raise a ConfigError if a preprocessing returns no fields, or fields of another number of rows."""
    hint = "transform returns a dictionary such as {'x': values}, with an entry for each row."
    if not isinstance(fields, Mapping) or "x" not in fields:
        found = (
            f"a dictionary of {', '.join(fields)}" if isinstance(fields, Mapping) else type(fields).__name__
        )
        raise ConfigError(
            f"{target}.transform returns {found}, not a dictionary with x", "preprocessing", hint
        )
    for name, values in fields.items():
        if hasattr(values, "__len__") and len(values) != rows:
            raise ConfigError(
                f"{target}.transform returns {name} with {len(values):,} rows for {rows:,}",
                "preprocessing",
                hint,
            )
        if name == "x" and not doubles and getattr(values, "dtype", None) == np.float64:
            raise ConfigError(
                f"{target}.transform returns x as float64",
                "preprocessing",
                "Models require float32: astype(np.float32).",
            )


def _reason(error: Exception) -> str:
    """Return the text of a ValueError; other errors, such as a missing attribute, would not help a user."""
    return f": {error}" if isinstance(error, ValueError) and str(error) else ""


def _model(config: Mapping[str, Any], data: Data, split: Split) -> None:
    """Build the model on the meta device, which allocates no memory, and check it against the data."""
    facts = _row_facts(config, data, split, make_task(config, data, split))
    kind = locate(config["model"]["_target_"])
    inputs = inspect.signature(kind.forward).parameters if hasattr(kind, "forward") else ("lengths",)
    # Sequences of different lengths need a model that masks the padding. Texts are padded with a special token.
    if data.kind == "sequence" and 0 in facts["input_shape"] and "lengths" not in inputs:
        raise ConfigError(
            f"{kind.__name__} supports only sequences of equal length, but those of {data.name} differ: "
            "its forward has no argument `lengths`",
            "model",
            "Choose a model whose forward has one, such as model=gru or model=transformer.",
        )
    with on_meta():
        made = build(config["model"], where="model", **facts)
        model = check_type(made, "model", config["model"]["_target_"])
        if file := starting_weights(config):
            fitting_weights(model, file)
    if facts.get("cardinalities") and "x_cat" not in inspect.signature(model.forward).parameters:
        raise ConfigError(
            f"{type(model).__name__} has no embeddings for categorical columns: its forward has no argument `x_cat`",
            "preprocessing.categorical",
            "Choose preprocessing.categorical=one_hot, or a model with embeddings, such as model=mlp.",
        )
    if config["finetune"] and not isinstance(model, HasBackbone):
        raise ConfigError(
            f"{type(model).__name__} has no pretrained backbone to freeze or fine-tune",
            "finetune",
            "Use finetune=none, or choose a model with a backbone, such as model=pretrained_image.",
        )


def _pairing(config: Mapping[str, Any], data: Data, group: str, hint: str = "") -> Iterator[Problem]:
    """Yield a problem where the group's object does not accept this kind of data.

    Without a hint, the options that accept it are listed.
    """
    target = config[group].get("_target_")
    accepts = getattr(locate(target), "accepts", None) if target else None
    if accepts is not None and data.kind not in accepts:
        kinds = sorted(accepts)
        name, takes = target.rpartition(".")[2], " or ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]]))
        targets = data.target_kind if group == "model" else None
        hint = hint or f"Options for {data.kind} data: {', '.join(accepting(group, data.kind, targets))}."
        yield Problem(f"{name} takes {takes} data, but {data.name} is {data.kind} data", group, hint)


def _unchosen(monitored: str, where: str, task: Task) -> str:
    """Return a hint on how to add a monitored metric from the group `metric`; empty if the group lacks it."""
    part, _, name = monitored.partition("/")
    if name in task.metric_names:  # one that is not computed in training
        return ""
    if part not in ("train", "val") or not task.metric_choices or name not in fitting_metrics(task):
        return ""
    return f"Have it computed: {pasted('task.metrics', ['default', name])} {pasted(where, monitored)}."


def _monitor(
    config: Mapping[str, Any], task: Task, split: Split, objectives: Sequence[tuple[str, str]]
) -> Iterator[Problem]:
    """Yield monitored metrics that are never logged, or whose mode has the wrong direction."""
    better = {"loss": "min"} | {
        name: "max" if metric.higher_is_better else "min"
        for name, metric in task.metrics().items()
        if metric.higher_is_better is not None
    }
    parts = [part for part in ("train", "val") if len(split.rows(part))]
    computed = {"train": task.metric_names if task.judges_training_rows else (), "val": task.metric_names}
    logged = [f"{part}/{name}" for part in parts for name in ("loss", *computed[part])]
    goal = "sweep.objectives"
    watched = [(goal, goal, metric, mode) for metric, mode in objectives]
    watched.append(("monitor", "mode", config["monitor"], config["mode"]))
    for name, callback in config["callbacks"].items():
        if callback and isinstance(callback.get("monitor"), str):
            key = f"callbacks.{name}"
            watched.append((f"{key}.monitor", f"{key}.mode", callback["monitor"], callback.get("mode")))
    seen = set()
    for where, where_mode, monitor, mode in watched:
        if (monitor, mode) in seen:
            continue  # report a repeated mistake once
        seen.add((monitor, mode))
        if monitor not in logged:
            if monitor.startswith("val/") and "val" not in parts:
                hint = "Add validation rows (cv.val_size=0.15), or, outside a sweep, use monitor=train/loss."
                yield Problem(f"{monitor} is monitored, but there are no validation rows", where, hint)
            else:
                called = metric_called(monitor, [f"val/{name}" for name in fitting_metrics(task)])
                hint = (
                    _unchosen(monitor, where, task)
                    or question(filter(None, [metric_called(monitor, logged)]))
                    or _unchosen(called, where, task)
                    or did_you_mean(monitor, logged)
                )
                hint = hint or f"Logged metrics: {', '.join(logged)}."
                yield Problem(f"{monitor} is monitored, but never logged", where, hint)
        elif mode in ("min", "max") and mode != better.get(monitor.partition("/")[2], mode):
            meaning, right = ("higher", "max") if mode == "min" else ("lower", "min")
            yield Problem(
                f"the mode is {mode}, but {meaning} values of {monitor} are better",
                where_mode,
                f"Use {monitor}:{right}." if where == goal else f"Use {where_mode}={right}.",
            )
