"""Going on from a checkpoint: how far it is, and what an epoch holds that was stopped in its middle."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor

from dlcli.distributed.world import all_gather_bytes, is_group
from dlcli.errors import CorruptRun, Problem, first_line
from dlcli.files.paths import display
from dlcli.tracking.manifest import Manifest

LAST = "last.ckpt"

# The one before, while a training runs: for where the last one is damaged.
PREVIOUS = "previous.ckpt"

_START_OVER = (
    "Take it from a backup, or start over, to the same result: remove the folder {folder}, and resume."
)


@dataclass(frozen=True)
class Progress:
    """How far a checkpoint is.

    Attributes:
        file: where it is.
        finished_epochs: whole epochs behind it.
        stopped: a callback ended the training there; more epochs change nothing.
        checkpoints: state of `Checkpoints`.
        note: what is wrong with a later one, which is left out; empty where nothing is.
    """

    file: Path
    finished_epochs: int
    stopped: bool
    checkpoints: dict[str, Any]
    note: str = ""

    def reaches(self, max_epochs: int | None) -> bool:
        """Whether there is nothing left to train."""
        return self.stopped or (max_epochs is not None and 0 <= max_epochs <= self.finished_epochs)


def best_name(epoch: int) -> str:
    """The file with the weights of an epoch that was the best."""
    return f"best-{epoch:04d}.safetensors"


def find_progress(folder: Path, run_id: str, start_over: str = "", *, best: bool = True) -> Progress | None:
    """How far the last checkpoint is that is as it was written, with its best weights; None where there is none.

    Args:
        folder: of the checkpoints.
        run_id: whose they must be.
        start_over: what to do where none is whole.
        best: also look at its best weights; those of a finished run are in its model.

    Raises:
        CorruptRun: there are some, and all are damaged.
    """
    manifest = Manifest.load(folder)
    hint = start_over or _START_OVER.format(folder=display(folder))
    if manifest is not None and manifest.run_id != run_id:
        raise CorruptRun(f"the checkpoints are those of another run, {manifest.run_id}", str(folder), hint)
    damaged: list[Problem] = []
    for file in (folder / LAST, folder / PREVIOUS):
        if not os.path.lexists(file) and (file.name == PREVIOUS or not _is_recorded(manifest, file.name)):
            continue
        if file.is_dir():  # a file could not take its place later
            hint = "Remove it, and resume: the training goes on from the checkpoint before, or starts over."
            raise CorruptRun("is a folder, and should be a file", str(file), hint)
        try:
            progress = _read(file, manifest, hint, best)
        except CorruptRun as error:
            damaged += error.problems
            continue
        note = "".join(
            f"{display(Path(p.where))} {p.message}; it goes on from the one before" for p in damaged[:1]
        )
        return replace(progress, note=note)
    if damaged:
        raise CorruptRun(damaged)
    return None


def _is_recorded(manifest: Manifest | None, name: str) -> bool:
    return manifest is not None and name in manifest.accepted


def _read(file: Path, manifest: Manifest | None, hint: str, with_best: bool) -> Progress:
    """A checkpoint, compared with what was written; what a run had before there were digests is read as it is."""
    if manifest is not None:
        manifest.check(file.name, hint=hint)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)["callbacks"]["Checkpoints"]
        progress = Progress(file, state["finished_epochs"], state["stopped"], state)
        best = state["best_epoch"]
    except Exception as error:  # whatever a damaged file makes of the reader
        raise CorruptRun(f"the checkpoint cannot be read: {first_line(error)}", str(file), hint) from error
    if with_best and manifest is not None and best is not None:
        manifest.check(best_name(best), hint=hint)
    return progress


def all_parts(own: dict[str, Any], device: torch.device) -> dict[str, Any] | list[Tensor]:
    """What an epoch holds in its middle, for a checkpoint: this process's part, or as bytes that of each rank."""
    if not is_group():
        return own
    said = io.BytesIO()
    torch.save(own, said)
    return [
        torch.frombuffer(bytearray(text), dtype=torch.uint8)
        for text in all_gather_bytes(said.getvalue(), device)
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
