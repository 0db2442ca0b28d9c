"""Whether the rows are read although the configuration has mistakes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlcli.config.compose import Draft

# Maximum size in bytes of a file that is read within about a second.
_FAST = 1 << 24


def reads_fast(config: Mapping[str, Any]) -> bool:
    """Return whether the dataset is a file that is read within about a second."""
    path = config.get("dataset", {}).get("path")
    try:
        return isinstance(path, str) and Path(path).is_file() and Path(path).stat().st_size <= _FAST
    except OSError:
        return False


def are_unreadable(found: Draft) -> bool:
    """Return whether mistakes prevent reading and splitting the rows, unlike a wrong batch size."""
    sections = {"dataset", "cv"} & found.unsound
    keys = {problem.where for problem in found.problems if problem.where.split(".")[0] in sections}
    limits = any(problem.where.startswith("trainer.limit_") for problem in found.problems)
    return limits or (bool(sections) and not keys <= {"dataset.batch_size", "dataset.batch_tokens"})
