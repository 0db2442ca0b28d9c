"""Going on from `last.ckpt`: how far it is, and what an epoch holds that was stopped in its middle."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from dlcli.distributed.world import exchanged, is_group
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


def all_parts(own: dict[str, Any], device: torch.device) -> dict[str, Any] | list[Tensor]:
    """What an epoch holds in its middle, for a checkpoint: this process's part, or as bytes that of each rank."""
    if not is_group():
        return own
    said = io.BytesIO()
    torch.save(own, said)
    return [
        torch.frombuffer(bytearray(text), dtype=torch.uint8) for text in exchanged(said.getvalue(), device)
    ]


def own_part(
    parts: dict[str, Any] | list[Tensor], rank: int, ranks: int, device: torch.device
) -> dict[str, Any]:
    """A rank's part of that.

    Where another number of ranks wrote it, only how far the epoch is: what they had counted cannot be shared out anew,
    and the epoch's training figures are those of its rest.
    """
    if isinstance(parts, list):
        files = (io.BytesIO(part.cpu().numpy().tobytes()) for part in parts)
        found = [torch.load(file, map_location="cpu", weights_only=True) for file in files]
    else:
        found = [parts]
    if len(found) != ranks:
        return {name: found[0][name] for name in ("rows", "metrics", "lr")}
    part: dict[str, Any] = move_data_to_device(found[rank], device)
    return part


def random_state() -> dict[str, Any]:
    """torch's random states as tensors."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on drawing from there. Generators of devices that are gone are left out."""
    torch.set_rng_state(state["cpu"].cpu())
    for device, generator in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(generator.cpu(), device)
