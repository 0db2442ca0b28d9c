"""Sweep settings on the command line of `dlcli train`, where they would have no effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from dlcli.config.compose import draft
from dlcli.config.folders import user_folders
from dlcli.config.overrides import named_by
from dlcli.config.pasted import dlcli_line
from dlcli.errors import Problem

_IN_FOLDS = "sweep.trial_timeout"
_EFFORT = "effort"


def asks_for_search(overrides: Sequence[str]) -> bool:
    """Return whether the overrides turn `dlcli train` into a search (`effort=best`)."""
    chosen = [word.partition("=")[2] for word in overrides if named_by(word) == _EFFORT]
    return bool(chosen) and chosen[-1] not in ("null", "")  # `~effort` has no value


def effort_of_files(overrides: Sequence[str], conf_dirs: Sequence[Path] = ()) -> str | None:
    """Return the option of the group `effort` that a dlcli.yaml or an experiment file chooses; None if none does.

    Raises:
        ConfigError: nothing can be composed.
    """
    if any(named_by(word) == _EFFORT for word in overrides):
        return None
    folders = user_folders(conf_dirs)
    if not folders and not any(named_by(word) == "experiment" for word in overrides):
        return None  # saves composing
    option = draft(overrides, folders).composed.choices.get(_EFFORT)
    return option or None


def find_sweep_settings(
    overrides: Sequence[str], *, in_folds: bool, command: Sequence[str] = ("train",)
) -> Iterator[Problem]:
    """Yield a problem for each override in the section `sweep` that has no effect on a training run.

    Such settings are accepted in dlcli.yaml and experiment files, since they apply if the experiment is searched.

    Args:
        overrides: overrides of the command.
        in_folds: whether each fold searches (`cv=nested`).
        command: words of the command before the overrides: its name and options.
    """
    of_sweeps = {word: key for word in overrides if _is_of_sweeps(key := named_by(word))}
    if not of_sweeps or asks_for_search(overrides):
        return
    if in_folds:
        hint = f"The section cv has the settings of the searches, and {_IN_FOLDS} limits their trials."
        for key in of_sweeps.values():
            if key != _IN_FOLDS:
                yield Problem("has no effect on the searches of cv=nested", key, hint)
        return
    rest = dlcli_line(*command, *(word for word in overrides if word not in of_sweeps))
    search = dlcli_line("sweep", *overrides, "optimizer.lr=0.001,0.01")
    hint = f"Leave it out: {rest}\nTo search, give dlcli sweep values to choose from, such as: {search}"
    for key in of_sweeps.values():
        yield Problem("has no effect: only dlcli sweep searches", key, hint)


def _is_of_sweeps(key: str) -> bool:
    return key == "sweep" or key.startswith(("sweep.", "sweep/"))
