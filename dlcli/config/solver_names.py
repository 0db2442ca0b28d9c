"""What solves a model or its head in a configuration, without a learning rate and batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.config.folders import options
from dlcli.config.yaml_file import read

# Names of the classes, which are not imported to read a configuration.
SOLVERS = frozenset({"PenaltyPath", "GrowTrees"})

# Groups that change the steps of an optimizer, and have no effect on a solver, each with the reason.
WITHOUT_STEPS = {
    "scheduler": "has no learning rate to schedule",
    "weight_averaging": "has no steps whose weights could be averaged",
    "augmentation": "needs the same rows in each evaluation of the loss",
    "finder": "has neither a learning rate nor a batch size to find",
}

# Trainer arguments that change the gradient of a step, each with the values that leave it unchanged.
GRADIENT_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "accumulate_grad_batches": (1,),
    "gradient_clip_val": (None, 0),
    "limit_train_batches": (None, 1.0),
    "overfit_batches": (0, 0.0),
    "precision": (None, 32, "32", "32-true", "bf16-mixed"),
}

# The class of `finetune=auto`.
_PROBE_FIRST = "dlcli.training.finetuning.ProbeFirst"


def is_solver(optimizer: str, folders: Sequence[Path]) -> bool:
    """Return whether an option of the group optimizer is a solver."""
    file = options("optimizer", folders).get(optimizer)
    return file is not None and str(read(file).get("_target_")).rpartition(".")[2] in SOLVERS


def why_without_steps(key: str, value: Any) -> str:
    """Return why a solver does not support a group's option or a key of the trainer; empty if it does."""
    section, _, argument = key.partition(".")
    if section in WITHOUT_STEPS:
        return WITHOUT_STEPS[section] if argument or value not in (None, "none", "auto") else ""
    idle = GRADIENT_ARGUMENTS.get(argument) if section == "trainer" else None
    return "" if idle is None or value in idle else "uses the gradient as it is"


def solves_only_head(finetune: Mapping[str, Any] | None) -> bool:
    """Return whether a section `finetune` solves a linear head on a frozen backbone, and takes no steps."""
    section = finetune or {}
    is_probe = section.get("_target_") == _PROBE_FIRST
    return section.get("head") == "solved" or (is_probe and section.get("tune") is False)


def memory_hint(config: Mapping[str, Any], *, at_once: bool = False) -> str:
    """Return what to do if the system kills the process of a job.

    Args:
        config: the job's configuration; batches matter only if it trains by steps.
        at_once: whether several jobs may run at a time.
    """
    optimizer = str((config.get("optimizer") or {}).get("_target_", "")).rpartition(".")[2]
    if solves_only_head(config.get("finetune")):
        remedy = (
            "use a smaller model or smaller inputs, or train the head by steps (finetune.head=steps): it is solved on "
            "all rows at once, whatever dataset.batch_size is"
        )
    elif optimizer in SOLVERS:
        remedy = (
            "use fewer rows or columns: the model is fitted to all at once, whatever dataset.batch_size is"
        )
    else:
        remedy = "use smaller batches (dataset.batch_size)"
    fewer = "run fewer jobs at a time (--jobs), or " if at_once else ""
    return f"The system kills processes when memory runs out: {fewer}{remedy}."
