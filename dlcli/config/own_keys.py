"""Types of the keys that dlcli itself uses. They are in no signature, because they are passed to no `_target_`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MaxLen, MinLen


@dataclass(frozen=True)
class Root:
    """Keys at the top level of the configuration; those without a default are required."""

    seed: Annotated[int, Ge(0), Lt(2**32)]
    monitor: Annotated[str, MinLen(1)]
    mode: Literal["min", "max"]
    experiment_name: Annotated[str, MinLen(1), MaxLen(500)] | None
    run_name: Annotated[str, MinLen(1), MaxLen(1000)] | None
    runs_dir: Annotated[str, MinLen(1)]
    # Runs of earlier versions have none.
    baseline: Literal["auto", "trees", "none"] = "none"


@dataclass(frozen=True)
class Dataset:
    """Keys of the section `dataset` that dlcli itself uses; the others are passed to its `_target_`."""

    batch_size: Annotated[int, Ge(1)] | Literal["auto", "full"]
    positive: str | int | None = None


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


# Section to the keys that dlcli uses itself, in addition to the arguments of the section's target.
OWN: Mapping[str, type[Any]] = {
    "cv": CrossValidation,
    "dataset": Dataset,
    "model": Model,
    "optimizer": Optimizer,
    "scheduler": Scheduler,
    "trainer": Trainer,
}
