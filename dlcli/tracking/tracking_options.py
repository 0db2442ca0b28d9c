"""Options of the record: the section `tracking`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class Tracking:
    """Configuration section `tracking`.

    Args:
        tags: `minimal` omits host name, user and git from the tags.
        system_metrics: whether to sample CPU, memory, disk, network and GPU during the run.
        checkpoint_minutes: interval at which `checkpoints/last.ckpt` is written within an epoch, in minutes.
        keep: number of folds or trials, the best by `monitor`, that keep weights and checkpoints; None keeps all folds
            and one trial.
    """

    tags: Literal["full", "minimal"] = "full"
    system_metrics: bool = True
    checkpoint_minutes: Annotated[float, Gt(0)] = 10.0
    keep: Annotated[int, Ge(0)] | Literal["all"] | None = None
