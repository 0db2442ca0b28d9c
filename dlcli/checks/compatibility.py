"""Mistakes that show before the first step, once the data is known: no run is created for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlcli.assembly.optimization import make_chosen, make_optimizer, make_schedule
from dlcli.assembly.starting_weights import fitting_weights, starting_weights
from dlcli.config.build import build, locate
from dlcli.config.fitting import fitting
from dlcli.config.suggest import did_you_mean
from dlcli.config.timespan import seconds_of
from dlcli.errors import ConfigError, DlcliError, Problem

if TYPE_CHECKING:
    import numpy as np
    import pytorch_lightning as pl
    from torch.optim import Optimizer

    from dlcli.datasets.data import Data
    from dlcli.splits.split import Split
    from dlcli.tasks.base import Task

# Rows that show what shape preprocessing gives them.
_ENOUGH_ROWS = 256


def find_mistakes(
    config: Mapping[str, Any],
    data: Data,
    split: Split,
    unsound: Collection[str] = (),
    objectives: Sequence[tuple[str, str]] = (),
) -> list[Problem]:
    """A model that cannot take this data, a metric that nobody logs, settings that contradict each other, parts that
    cannot be made. Sections that are `unsound` are not looked at; `objectives` are a sweep's own metrics and modes.
    """
    from dlcli.checks.task_fit import check_task

    found: list[Problem] = []

    def look(sections: str, check: Callable[[], Iterator[Problem]]) -> bool:
        if set(sections.split()) & set(unsound):
            return False
        before = len(found)
        try:
            found.extend(check())
        except DlcliError as error:
            found.extend(error.problems)
        return len(found) == before

    look("trainer callbacks", lambda: find_endings(config))
    look("trainer", lambda: _trainer(config))
    look("callbacks", lambda: _replaced(config))
    if look("optimizer", lambda: _makes(_optimizer, config)):
        look("scheduler trainer", lambda: _makes(_schedule, config))
    look("weight_averaging trainer", lambda: _averaging(config))
    look("finder", lambda: _makes(make_chosen, config, "finder"))
    if look("augmentation", lambda: _pairing(config, data, "augmentation", "Choose augmentation=none.")):
        look("augmentation", lambda: _makes(make_chosen, config, "augmentation"))
    fits = look("model", lambda: _pairing(config, data, "model"))
    own = f"Leave the dataset its own, or choose one for {data.kind} data."
    reads = look("preprocessing", lambda: _pairing(config, data, "preprocessing", own))
    fits = reads and look("preprocessing", lambda: _makes(_row_facts, config, data, split)) and fits
    if look("task", lambda: iter(check_task(config["task"], data, split))) and look(
        "task", lambda: _makes(_task, config, data, split)
    ):
        look(
            "monitor mode callbacks", lambda: _monitor(config, _task(config, data, split), split, objectives)
        )
        if fits:
            look("model", lambda: _makes(_model, config, data, split))
    return found


def check_refit(config: Mapping[str, Any], splits: Sequence[Split], final_test: np.ndarray) -> None:
    """Refuse to refit where a fold was tested on the final test rows already.

    Raises:
        ConfigError: that is so.
    """
    if config["cv"]["refit"] and set(final_test.tolist()) & set(splits[0].test.tolist()):
        raise ConfigError(
            "hold-out has tested on the final test rows: a refitted model would see them again",
            where="cv.refit",
            hint="Choose folds (cv=kfold cv.test_size=0.2 cv.refit=true).",
        )


def _task(config: Mapping[str, Any], data: Data, split: Split) -> Task:
    from dlcli.tasks.facts import target_facts

    task: Task = fitting(
        build(config["task"], where="task", **target_facts(data, split.train)),
        "task",
        config["task"]["_target_"],
    )
    return task


def _makes(make: Callable[..., object], *arguments: object) -> Iterator[Problem]:
    make(*arguments)
    return iter(())


def find_endings(config: Mapping[str, Any]) -> Iterator[Problem]:
    """A training that never ends, or ends before it begins: needs no rows."""
    trainer = config["trainer"]
    most, least = trainer.get("max_epochs"), trainer.get("min_epochs")
    if most == 0:
        yield Problem("no epoch would be trained", "trainer.max_epochs", "Give at least 1.")
    if most is not None and least is not None and 0 < most < least:
        hint = f"Raise trainer.max_epochs (it is {most}), or lower trainer.min_epochs."
        yield Problem(f"at least {least} epochs contradict at most {most}", "trainer.min_epochs", hint)
    ends = trainer.get("max_time") is not None or trainer.get("max_steps", -1) != -1
    if most == -1 and not ends and not any(config["callbacks"].values()):
        hint = "Give trainer.max_time or trainer.max_steps, or a callback that stops (callbacks=default)."
        yield Problem("nothing would ever end the training", "trainer.max_epochs", hint)
    for key in ("job_timeout", "silence"):
        try:
            seconds_of(config["executor"].get(key), f"executor.{key}")
        except ConfigError as error:
            yield from error.problems


def _trainer(config: Mapping[str, Any]) -> Iterator[Problem]:
    trainer = build(config["trainer"], where="trainer", logger=False, enable_checkpointing=False)
    yield from _ranks(config, trainer)
    # Lightning only warns, and trains with another precision than the record would say.
    if trainer.strategy.root_device.type == "cpu" and str(config["trainer"].get("precision")).startswith(
        "16"
    ):
        yield Problem(
            f"precision {config['trainer']['precision']} needs a GPU; this would train on the CPU",
            "trainer.precision",
            "Use trainer.precision=bf16-mixed, or 32.",
        )


def _ranks(config: Mapping[str, Any], trainer: pl.Trainer) -> Iterator[Problem]:
    """Several devices that cannot train together, or not like this."""
    from pytorch_lightning.strategies import DDPStrategy

    from dlcli.distributed.world import launched

    size, world = trainer.world_size, launched()
    if world is not None and world.size != size:
        hint = f"Give trainer=ddp, and trainer.devices and trainer.num_nodes that make {world.size}."
        yield Problem(
            f"{world.size} processes were started for a training on {size}", "trainer.devices", hint
        )
    if size == 1:
        return
    if type(trainer.strategy) is not DDPStrategy:
        name = type(trainer.strategy).__name__
        yield Problem(f"{name} is not supported", "trainer.strategy", "Give trainer.strategy=ddp.")
    if world is None and trainer.num_nodes > 1:
        yield Problem(
            f"{trainer.num_nodes} machines train together only where each starts its own processes",
            "trainer.num_nodes",
            "Start the same command on each of them with torchrun or srun.",
        )
    if config["executor"].get("jobs", 1) > 1:
        yield Problem(
            "trainings side by side share the devices out; one training cannot have several of them then",
            "executor.jobs",
            "Give --jobs 1, or trainer.devices=1.",
        )
    rows = config["dataset"]["batch_size"]
    if isinstance(rows, int) and 0 < rows < size:  # no size at all is told elsewhere
        hint = f"Give at least {size}: it is the batch of all devices together."
        yield Problem(f"a batch of {rows} cannot be shared by {size} devices", "dataset.batch_size", hint)


def _optimizer(config: Mapping[str, Any]) -> Optimizer:
    """torch's optimizers check their numbers themselves, when they are made; here for a weight and a bias."""
    import torch

    some = [torch.nn.Parameter(torch.zeros(1, 1)), torch.nn.Parameter(torch.zeros(1))]
    return make_optimizer(config["optimizer"], some)


def _never_ends(trainer: Mapping[str, Any]) -> bool:
    """Whether nobody can say how many epochs there will be."""
    return trainer.get("max_epochs") == -1


def _schedule(config: Mapping[str, Any]) -> None:
    if config["scheduler"]:
        trainer = config["trainer"]
        steps = None if _never_ends(trainer) and trainer.get("max_steps", -1) == -1 else 100
        make_schedule(config["scheduler"], _optimizer(config), steps, 10)


def _averaging(config: Mapping[str, Any]) -> Iterator[Problem]:
    from dlcli.training.averaging import SWA

    if isinstance(make_chosen(config, "weight_averaging"), SWA) and _never_ends(config["trainer"]):
        hint = "Give trainer.max_epochs, or choose weight_averaging=ema."
        yield Problem("has to know how long the training is", "weight_averaging", hint)


def _row_facts(config: Mapping[str, Any], data: Data, split: Split) -> dict[str, Any]:
    """What preprocessing makes of a row, and what else it tells the model."""
    from dlcli.datasets.data import take

    some = take(data.x, split.train[:_ENOUGH_ROWS])
    try:
        preprocessing = build(config["preprocessing"], where="preprocessing").fit(some)
        fields = preprocessing.transform(some)
    except DlcliError:
        raise
    except Exception as error:  # whatever numpy, pandas or scikit-learn say of data of the wrong kind
        target = config["preprocessing"]["_target_"].rpartition(".")[2]
        raise ConfigError(
            f"{target} cannot take {data.name}, {data.kind} data{_reason(error)}",
            "preprocessing",
            f"Leave the dataset its own, or choose one for {data.kind} data.",
        ) from error
    return {"input_shape": tuple(fields["x"].shape[1:]), **preprocessing.facts()}


def _reason(error: Exception) -> str:
    """What a library says that was written for people; what Python says of a missing attribute is not."""
    said = isinstance(error, ValueError) and str(error)
    return f": {error}" if said else ""


def _model(config: Mapping[str, Any], data: Data, split: Split) -> None:
    """The model, made without memory for its weights."""
    import torch

    from dlcli.models.backbone import HasBackbone

    facts = _row_facts(config, data, split) | {"num_outputs": _task(config, data, split).num_outputs}
    kind = locate(config["model"]["_target_"])
    inputs = inspect.signature(kind.forward).parameters if hasattr(kind, "forward") else ("lengths",)
    # Rows of unequal length have no size of their own. Tokens are padded with one that a model knows.
    if data.kind == "sequence" and 0 in facts["input_shape"] and "lengths" not in inputs:
        raise ConfigError(
            f"{kind.__name__} takes sequences of one length, and those of {data.name} differ: "
            "its forward takes no lengths",
            "model",
            "Choose a model that does, such as model=gru or model=transformer.",
        )
    with torch.device("meta"):
        model = fitting(build(config["model"], where="model", **facts), "model", config["model"]["_target_"])
        if file := starting_weights(config):
            fitting_weights(model, file)
    if facts.get("cardinalities") and "x_cat" not in inspect.signature(model.forward).parameters:
        raise ConfigError(
            f"{type(model).__name__} learns no vectors of categories: its forward takes no x_cat",
            "preprocessing.categorical",
            "Choose preprocessing.categorical=one_hot, or a model that does, such as model=mlp.",
        )
    if config["finetune"] and not isinstance(model, HasBackbone):
        raise ConfigError(
            f"{type(model).__name__} has no pretrained backbone to keep or to tune",
            "finetune",
            "Leave finetune=none, or choose a model with a backbone, such as model=pretrained_image.",
        )


def _pairing(config: Mapping[str, Any], data: Data, group: str, hint: str = "") -> Iterator[Problem]:
    """What takes other data than there is; without a hint, what takes them is named."""
    from dlcli.config.catalog import accepting

    target = config[group].get("_target_")
    accepts = getattr(locate(target), "accepts", None) if target else None
    if accepts is not None and data.kind not in accepts:
        kinds = sorted(accepts)
        name, takes = target.rpartition(".")[2], " or ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]]))
        hint = hint or f"For {data.kind} data there are: {', '.join(accepting(group, data.kind))}."
        yield Problem(f"{name} takes {takes} data; {data.name} is {data.kind} data", group, hint)


def _replaced(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Callbacks of Lightning that change what dlcli does in its own way: what they find would not be what is kept."""
    from pytorch_lightning import callbacks

    instead = {
        callbacks.WeightAveraging: "weight_averaging=ema",
        callbacks.StochasticWeightAveraging: "weight_averaging=swa",
        callbacks.LearningRateFinder: "finder=lr",
        callbacks.BatchSizeFinder: "finder=batch_size",
    }
    for name, callback in config["callbacks"].items():
        kind = locate(callback["_target_"]) if callback else None
        for theirs, ours in instead.items():
            if isinstance(kind, type) and issubclass(kind, theirs):
                yield Problem(
                    f"{kind.__name__} does not reach the weights that are kept",
                    f"callbacks.{name}",
                    f"dlcli does this itself: choose {ours}.",
                )


def _monitor(
    config: Mapping[str, Any], task: Task, split: Split, objectives: Sequence[tuple[str, str]]
) -> Iterator[Problem]:
    """A metric that is watched and never logged, or watched for the wrong direction."""
    better = {"loss": "min"} | {
        name: "max" if metric.higher_is_better else "min"
        for name, metric in task.metrics().items()
        if metric.higher_is_better is not None
    }
    parts = [part for part in ("train", "val") if len(split.rows(part))]
    logged = [f"{part}/{name}" for part in parts for name in ("loss", *task.metric_names)]
    goal = "sweep.objectives"
    watched = [(goal, goal, metric, mode) for metric, mode in objectives]
    watched.append(("monitor", "mode", config["monitor"], config["mode"]))
    for name, callback in config["callbacks"].items():
        if callback and isinstance(callback.get("monitor"), str):
            key = f"callbacks.{name}"
            watched.append((f"{key}.monitor", f"{key}.mode", callback["monitor"], callback.get("mode")))
    told = set()
    for where, where_mode, monitor, mode in watched:
        if (monitor, mode) in told:
            continue  # one mistake, not one for each that repeats it
        told.add((monitor, mode))
        if monitor not in logged:
            if monitor.startswith("val/") and "val" not in parts:
                hint = "Give it validation rows (cv.val_size=0.15). Without a search there is also monitor=train/loss."
                yield Problem(f"{monitor} is watched, but there are no validation rows", where, hint)
            else:
                hint = did_you_mean(monitor, logged) or f"Logged are: {', '.join(logged)}."
                yield Problem(f"{monitor} is watched, but never logged", where, hint)
        elif mode in ("min", "max") and mode != better.get(monitor.partition("/")[2], mode):
            says, right = ("less", "max") if mode == "min" else ("more", "min")
            yield Problem(
                f"{mode} says that {says} of {monitor} is better, but it is worse",
                where_mode,
                f"Give {monitor}:{right}." if where == goal else f"Give {where_mode}={right}.",
            )
