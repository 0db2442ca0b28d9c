"""Types of the keys that dlcli itself uses. They are not passed to a `_target_`, so no signature has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MaxLen, MinLen

from dlcli.config.target_kinds import TaskKind


@dataclass(frozen=True)
class Root:
    """Keys at the top level of the configuration; those without a default are required."""

    seed: Annotated[int, Ge(0), Lt(2**32)]
    monitor: Annotated[str, MinLen(1)]
    mode: Literal["auto", "min", "max"]
    experiment_name: Annotated[str, MinLen(1), MaxLen(500)] | None
    run_name: Annotated[str, MinLen(1), MaxLen(1000)] | None
    runs_dir: Annotated[str, MinLen(1)]
    # Runs of earlier versions have no value.
    baseline: Literal["auto", "trees", "none"] = "none"


@dataclass(frozen=True)
class Dataset:
    """Keys of the section `dataset` that dlcli itself uses; the others are passed to its `_target_`."""

    batch_size: Annotated[int, Ge(1)] | Literal["auto", "full"]
    positive: str | int | None = None
    batch_tokens: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True)
class Model:
    """Keys of the section `model` that dlcli itself uses; a model with an argument `weights` receives it instead."""

    weights: Annotated[str, MinLen(1)] | None = None


@dataclass(frozen=True)
class Optimizer:
    """Keys of the section `optimizer` that dlcli itself uses."""

    weight_decay_on: Literal["weights", "all"] = "weights"


@dataclass(frozen=True)
class Scheduler:
    """Keys of the section `scheduler` that dlcli itself uses."""

    interval: Literal["epoch", "step"] = "epoch"


@dataclass(frozen=True)
class CrossValidation:
    """Keys of the section `cv` that dlcli itself uses; the others are passed to the splitting strategy."""

    seeds: Annotated[int, Ge(1)]
    refit: bool


@dataclass(frozen=True)
class Trainer:
    """Keys of the section `trainer` that dlcli itself uses; the others are passed to Lightning's Trainer."""

    limit_rows: Annotated[int, Ge(2)] | None = None
    limit_folds: Annotated[int, Ge(2)] | None = None
    limit_epochs: Annotated[int, Ge(1)] | None = None


@dataclass(frozen=True)
class MetricKeys:
    """Keys of a metric's section that dlcli itself uses; without one, the class attribute of this name applies.

    Attributes:
        accepts: kinds of targets that the metric supports; null: all.
        takes: form of the predictions that the metric takes; null: probabilities, values in the user's unit, or for
            torchmetrics classes with a `threshold` the predicted classes.
        higher_is_better: direction of the metric; null: that of torchmetrics' attribute of this name.
        lowest: the lowest possible value, at which intervals are clipped. If only one bound is given, null means that
            there is no other bound.
        highest: the highest possible value.
        every_epoch: compute the metric in every epoch; if false, only at the end or if it is monitored.
        undefined: conditions under which the value is NaN.
        baseline: also compute the metric for a constant prediction.
    """

    accepts: Sequence[TaskKind] | None = None
    takes: Literal["probabilities", "labels", "values", "centered", "standardized"] | None = None
    higher_is_better: bool | None = None
    lowest: float | None = None
    highest: float | None = None
    every_epoch: bool | None = None
    undefined: Sequence[Literal["constant_target", "constant_prediction"]] | None = None
    baseline: bool | None = None


# Section (`*` for any name) to the keys that dlcli itself uses, in addition to the arguments of the section's target.
OWN: Mapping[str, type[Any]] = {
    "cv": CrossValidation,
    "dataset": Dataset,
    "metric.*": MetricKeys,
    "model": Model,
    "optimizer": Optimizer,
    "scheduler": Scheduler,
    "trainer": Trainer,
}


def own_type(section: str) -> type[Any] | None:
    """Return the class whose fields are the keys of a section that dlcli itself uses, or None."""
    group, _, rest = section.partition(".")
    return OWN.get(f"{group}.*" if rest and "." not in rest else section)
