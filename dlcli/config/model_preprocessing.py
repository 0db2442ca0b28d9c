"""The preprocessing for tables that a model's file chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dlcli.config.folders import options
from dlcli.config.yaml_file import read

# The group, and the entry of a model's file that chooses its option.
PREPROCESSING, _ASKS = "preprocessing", "override /preprocessing"


def preprocessing_of_model(choices: Mapping[str, str], folders: Sequence[Path]) -> str:
    """Return the preprocessing that the model's file chooses for tables; empty if it chooses none.

    This is needed because Hydra gives precedence to the dataset's file, which comes later in the defaults list. The
    choice of an experiment's file takes precedence over both.
    """
    if choices.get(PREPROCESSING) != "table" or _asked_in("experiment", choices, folders):
        return ""
    return _asked_in("model", choices, folders)


def _asked_in(group: str, choices: Mapping[str, str], folders: Sequence[Path]) -> str:
    """Return the preprocessing that the file of a group's option chooses; empty if it chooses none."""
    file = options(group, folders).get(choices.get(group) or "")
    if file is None:
        return ""
    entries = [entry for entry in read(file).get("defaults") or () if isinstance(entry, dict)]
    asked = [o for entry in entries for key, o in entry.items() if key.partition("@")[0] == _ASKS]
    return str(asked[-1]) if asked else ""
