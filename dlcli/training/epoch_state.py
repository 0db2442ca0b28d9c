"""Resume from a checkpoint: its progress, and the state of an unfinished epoch."""

from __future__ import annotations

import io
import os
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, optim

from dlcli.distributed.collectives import all_gather_bytes, is_group
from dlcli.distributed.world import is_lost
from dlcli.errors import CorruptRun, DlcliError, Problem, first_line
from dlcli.files.paths import display
from dlcli.files.regular import os_reason
from dlcli.gate.arrays import check_stored
from dlcli.tracking.manifest import MANIFEST_FILE, Manifest

LAST = "last.ckpt"

# The previous checkpoint, kept during training in case the last one is damaged.
PREVIOUS = "previous.ckpt"

_START_OVER = (
    "Restore it from a backup, or start over with the same result: remove the folder {folder}, and resume."
)


@dataclass(frozen=True)
class ResumePoint:
    """The progress of a checkpoint.

    Attributes:
        file: the checkpoint.
        finished_epochs: number of complete epochs.
        stopped: whether a callback ended the training, so that more epochs have no effect.
        checkpoints: state of `Checkpoints`.
        note: description of a damaged later checkpoint that is ignored, or "".
    """

    file: Path
    finished_epochs: int
    stopped: bool
    checkpoints: dict[str, Any]
    note: str = ""

    def reaches(self, max_epochs: int | None) -> bool:
        """Return whether no epochs are left to train."""
        return self.stopped or (max_epochs is not None and 0 <= max_epochs <= self.finished_epochs)

    def content(self) -> dict[str, Any]:
        """Return the whole checkpoint."""
        found: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        return found


def best_name(epoch: int) -> str:
    """Return the name of the file with the weights of the best epoch."""
    return f"best-{epoch:04d}.safetensors"


def find_progress(
    folder: Path, run_id: str, start_over: str = "", *, best: bool = True
) -> ResumePoint | None:
    """Return the progress of the last undamaged checkpoint, or None if there is no checkpoint.

    Args:
        folder: folder of the checkpoints.
        run_id: ID of the run that they must belong to.
        start_over: the hint for a run all of whose checkpoints are damaged.
        best: whether to check the best weights named by the checkpoint as well. Those of a finished run are in its
            model.

    Raises:
        CorruptRun: all checkpoints are damaged, or they belong to another run.
    """
    manifest = Manifest.load(folder)
    hint = start_over or _START_OVER.format(folder=display(folder))
    if manifest is not None and manifest.run_id != run_id:
        message = f"the checkpoints belong to another run, {manifest.run_id}, according to {MANIFEST_FILE}"
        raise CorruptRun(message, str(folder), hint)
    damaged: list[Problem] = []
    for file in (folder / LAST, folder / PREVIOUS):
        if not os.path.lexists(file) and (file.name == PREVIOUS or not _is_recorded(manifest, file.name)):
            continue
        if file.is_dir():  # a file could not replace it later
            hint = "Remove it, and resume: training continues from the previous checkpoint, or starts over."
            raise CorruptRun("is a folder, and should be a file", str(file), hint)
        try:
            progress = _read(file, manifest, hint, best)
        except CorruptRun as error:
            damaged += error.problems
            continue
        note = "".join(
            f"{display(Path(p.where))} {p.message}; training continues from the previous one"
            for p in damaged[:1]
        )
        return replace(progress, note=note)
    if damaged:
        raise CorruptRun(damaged)
    return None


def raise_if_damaged(error: Exception, file: Path, start_over: str, *, restored: bool) -> None:
    """Raise a CorruptRun for an error of Lightning or torch that is caused by a part of the checkpoint.

    While a checkpoint is restored, these are all of their errors, except file errors and those of lost ranks. In the
    first step afterwards, these are errors of the optimizer or the schedule, which use the restored state unchecked.
    Other errors, and those of the user's code, are not changed.

    Args:
        error: the error.
        file: the checkpoint.
        start_over: the hint for a run all of whose checkpoints are damaged.
        restored: whether the error is one of the first step.

    Raises:
        CorruptRun: training cannot continue from the checkpoint.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, DlcliError | OSError | MemoryError) or is_lost(error):
        return
    if any(_is_of_user(frame.filename) for frame in frames):
        return
    if restored and not (frames and Path(frames[-1].filename).is_relative_to(Path(optim.__file__).parent)):
        return
    hint = start_over or _START_OVER.format(folder=display(file.parent))
    reason = f"{type(error).__name__}: {first_line(error)}"
    raise CorruptRun(f"training cannot continue from the checkpoint: {reason}", str(file), hint) from error


def _is_of_user(file: str) -> bool:
    libraries = (Path(torch.__file__).parents[1], Path(__file__).parents[1], Path(os.__file__).parent)
    return not file.startswith("<") and not any(Path(file).is_relative_to(folder) for folder in libraries)


def _is_recorded(manifest: Manifest | None, name: str) -> bool:
    return manifest is not None and name in manifest.accepted


def _read(file: Path, manifest: Manifest | None, hint: str, with_best: bool) -> ResumePoint:
    """Read a checkpoint and check its digest; checkpoints of runs without digests are read unchecked."""
    if manifest is not None:
        manifest.check(file.name, hint=hint)
    try:
        check_stored(file)
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        state = _checked_state(checkpoint)
        progress = ResumePoint(file, state["finished_epochs"], state["stopped"], state)
        best = state["best_epoch"]
    except OSError as error:
        raise CorruptRun(os_reason(error), str(file), hint) from error
    except Exception as error:  # a damaged file may raise anything
        raise CorruptRun(f"the checkpoint cannot be read: {first_line(error)}", str(file), hint) from error
    if with_best and manifest is not None and best is not None:
        manifest.check(best_name(best), hint=hint)
    return progress


def _checked_state(checkpoint: Any) -> dict[str, Any]:
    """Return the state of `Checkpoints`; raise ValueError if a part of the checkpoint is not as Lightning writes it."""
    for name, kind in {
        "state_dict": dict,
        "loops": dict,
        "optimizer_states": list,
        "lr_schedulers": list,
    }.items():
        if not isinstance(checkpoint[name], kind):
            raise ValueError(f"{name} is invalid")
    if not isinstance(checkpoint["loops"].get("fit_loop"), dict):
        raise ValueError("loops.fit_loop is invalid")
    state: dict[str, Any] = checkpoint["callbacks"]["Checkpoints"]
    best, finished = state["best_epoch"], state["finished_epochs"]
    if type(finished) is not int or finished < 0:
        raise ValueError("finished_epochs is invalid")
    if best is not None and (type(best) is not int or best < 0):
        raise ValueError("best_epoch is invalid")
    if type(state["stopped"]) is not bool or not isinstance(state["best_value"], int | float):
        raise ValueError("stopped or best_value is invalid")
    return state


def all_parts(own: dict[str, Any], device: torch.device) -> dict[str, Any] | list[Tensor]:
    """Return the state of an unfinished epoch for a checkpoint: that of this process, or of each rank as bytes."""
    if not is_group():
        return own
    stream = io.BytesIO()
    torch.save(own, stream)
    return [
        torch.frombuffer(bytearray(text), dtype=torch.uint8)
        for text in all_gather_bytes(stream.getvalue(), device)
    ]


def own_part(
    parts: dict[str, Any] | list[Tensor], rank: int, ranks: int, device: torch.device
) -> dict[str, Any]:
    """Return a rank's part of the state of an unfinished epoch.

    If the number of ranks differs, only the progress within the epoch is restored: counts cannot be redistributed, so
    that the epoch's training metrics cover only the rest of it.
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


def seed_device(device: torch.device, seed: int) -> None:
    """Seed torch's random numbers; if training takes place on the CPU, only there.

    `torch.manual_seed` also registers the seed for missing accelerators, which takes a millisecond.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return torch's random states as tensors."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}


def set_random_state(state: dict[str, Any]) -> None:
    """Restore torch's random states, except those of devices that no longer exist."""
    torch.set_rng_state(state["cpu"].cpu())
    for device, generator in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(generator.cpu(), device)
