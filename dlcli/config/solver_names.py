"""What solves a model or its head in a configuration, without a learning rate and batches."""

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
