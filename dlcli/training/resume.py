"""Going on from `last.ckpt`: how far it is, and what an epoch holds that was stopped in its middle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dlcli.errors import CorruptRun, first_line

LAST = "last.ckpt"


@dataclass(frozen=True)
class Progress:
    """How far a checkpoint is.

    Attributes:
        finished_epochs: whole epochs behind it.
        stopped: a callback ended the training there; more epochs change nothing.
        checkpoints: state of `Checkpoints`.
    """

    finished_epochs: int
    stopped: bool
    checkpoints: dict[str, Any]

    def reaches(self, max_epochs: int | None) -> bool:
        """Whether there is nothing left to train."""
        return self.stopped or (max_epochs is not None and 0 <= max_epochs <= self.finished_epochs)


def read_progress(file: Path) -> Progress | None:
    """How far a checkpoint is; None where there is none.

    Raises:
        CorruptRun: it cannot be read.
    """
    if not file.exists():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)["callbacks"]["Checkpoints"]
        return Progress(state["finished_epochs"], state["stopped"], state)
    except Exception as error:  # whatever a damaged file makes of the reader
        raise CorruptRun(
            f"the checkpoint cannot be read: {first_line(error)}",
            where=str(file),
            hint="Take it from a backup, or remove it: the training then starts over, with the same result.",
        ) from error


def random_state() -> dict[str, Any]:
    """torch's random states as tensors."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing from there. Generators of devices that are gone are left out."""
    torch.set_rng_state(state["cpu"].cpu())
    for device, generator in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(generator.cpu(), device)
