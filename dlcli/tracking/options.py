"""What a user can say about the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class Tracking:
    """The `tracking` section.

    Args:
        tags: `minimal` leaves the host's name, the user and git out of the tags.
        system_metrics: sample processor, memory, disk and GPU while the run lives.
        checkpoint_minutes: write `checkpoints/last.ckpt` so often within long epochs.
        keep: how many folds, or trials of a sweep, keep weights and checkpoints, the best by `monitor`; None keeps
            all folds, and one trial.
    """

    tags: Literal["full", "minimal"] = "full"
    system_metrics: bool = True
    checkpoint_minutes: Annotated[float, Gt(0)] = 10.0
    keep: Annotated[int, Ge(0)] | Literal["all"] | None = None
