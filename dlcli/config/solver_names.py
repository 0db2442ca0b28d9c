"""What solves a model or its head in a configuration, without a learning rate and batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Names of the classes, which are not imported to read a configuration.
SOLVERS = frozenset({"PenaltyPath", "GrowTrees"})

# The class of `finetune=auto`.
_PROBE_FIRST = "dlcli.training.finetuning.ProbeFirst"


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
