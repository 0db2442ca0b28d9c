"""Keys that belong to no `_target_`: their types stand here, because no class's signature can state them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt, MinLen


@dataclass(frozen=True)
class Root:
    """The keys at the top of the configuration; each must be there."""

    seed: Annotated[int, Ge(0), Lt(2**32)]
    monitor: Annotated[str, MinLen(1)]
    mode: Literal["min", "max"]
    experiment_name: Annotated[str, MinLen(1)] | None
    run_name: Annotated[str, MinLen(1)] | None
    runs_dir: Annotated[str, MinLen(1)]


@dataclass(frozen=True)
class Dataset:
    """Keys of the section `dataset` that dlcli itself takes; the rest goes to its `_target_`."""

    batch_size: Annotated[int, Ge(1)] | Literal["full"]
    positive: str | int | None = None


@dataclass(frozen=True)
class Model:
    """Keys of the section `model` that dlcli itself takes; a model may take its own `weights` instead."""

    weights: Annotated[str, MinLen(1)] | None = None


@dataclass(frozen=True)
class Optimizer:
    """Keys of the section `optimizer` that dlcli itself takes."""

    weight_decay_on: Literal["weights", "all"] = "weights"


@dataclass(frozen=True)
class Scheduler:
    """Keys of the section `scheduler` that dlcli itself takes."""

    interval: Literal["epoch", "step"] = "epoch"


@dataclass(frozen=True)
class CrossValidation:
    """Keys of the section `cv` that dlcli itself takes; the rest goes to the strategy."""

    seeds: Annotated[int, Ge(1)]
    refit: bool


@dataclass(frozen=True)
class Trainer:
    """Keys of the section `trainer` that dlcli itself takes; the rest goes to Lightning."""

    limit_rows: Annotated[int, Ge(2)] | None = None
    limit_folds: Annotated[int, Ge(2)] | None = None
    limit_epochs: Annotated[int, Ge(1)] | None = None


# Section to the keys that dlcli takes there itself, beside what the section's target takes.
OWN: Mapping[str, type[Any]] = {
    "cv": CrossValidation,
    "dataset": Dataset,
    "model": Model,
    "optimizer": Optimizer,
    "scheduler": Scheduler,
    "trainer": Trainer,
}
