"""Defaults of a forecast of several series, which are too different for the linear forecast of a single one.

They follow from `dataset.id` and the optimizer alone, so that they apply before any row is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET
from dlcli.config.folders import options
from dlcli.config.group_choices import Picks
from dlcli.config.overrides import Setting, parse
from dlcli.config.pasted import pasted
from dlcli.config.solver_names import SOLVERS
from dlcli.config.yaml_file import lines
from dlcli.files.paths import display

# Group or key to its option or value. On the M3 and tourism series, the network has 0.96 and 0.95 of the validation
# MASE of linear_forecast, and segrnn, nhits, patchtst and gru have 0.94 to 1.00 of their own with mse and batches of 32
# (docs/time-series.md).
_MODEL = {"model": "mlp"}
OF_STEPS = {"task/loss": "mae", "dataset.batch_size": "auto"}


@dataclass(frozen=True)
class SeriesDefaults:
    """The defaults by which several series differ from one.

    Attributes:
        words: the overrides that are added to the user's.
        kept_for: the user's keys that the default model of several series lacks, for which that of one series is kept.
    """

    words: tuple[str, ...] = ()
    kept_for: tuple[str, ...] = ()

    def told(self, config: Mapping[str, Any]) -> tuple[str, str, str] | None:
        """Return the group or key to show, its value and the reason; None if nothing was decided.

        Args:
            config: the composed configuration.
        """
        why = f"for several series ({', '.join(self.words)})" if self.words else ""
        model = config["model"][TARGET].rpartition(".")[2]
        if self.kept_for:
            what = f"for {', '.join(self.kept_for)}, which {pasted('model', _MODEL['model'])} does not have"
            return "model", model, f"{what}; {why[4:]}" if why else what
        if not self.words:
            return None
        if self.words[0].startswith("model="):
            return "model", model, why
        if "loss" in self.words[0]:
            return "task.loss", config["task"]["loss"][TARGET].rpartition(".")[2], why
        return None  # the batch size has a line of its own

    def settings(self, folders: Sequence[Path]) -> list[Setting]:
        """Return the added overrides as settings, whose origin is the key `id` of the dataset's file."""
        file = options("dataset", folders)["series"]
        source = f"{display(file)}:{lines(file).get('id', 1)}"
        return [replace(setting, source=source) for setting in parse(self.words)[0]]


NONE_ADDED = SeriesDefaults()


def of_several_series(
    config: Mapping[str, Any], choices: Mapping[str, str], settings: Sequence[Picks], keep_model: bool = False
) -> tuple[str, ...]:
    """Return the overrides by which several series differ from one; none if an experiment is chosen.

    Args:
        config: the merged configuration.
        choices: group to chosen option.
        settings: the settings of dlcli.yaml files and of the command line.
        keep_model: whether the model of one series is kept.
    """
    if not are_several(config, choices):
        return ()
    set_by_user = {key for picks in settings for key in (*picks.options, *(one.key for one in picks.values))}
    target = str((config.get("optimizer") or {}).get(TARGET, ""))
    solves = target.rpartition(".")[2] in SOLVERS  # squared errors suit them
    # A solver that the user names is for the model of one series.
    new_model = not keep_model and "model" not in set_by_user and not (solves and "optimizer" in set_by_user)
    is_solved = not new_model and solves
    wanted = {**(_MODEL if new_model else {}), **({} if is_solved else OF_STEPS)}
    return tuple(f"{key}={value}" for key, value in wanted.items() if key not in set_by_user)


def lacks_typed_keys(
    wrong: Iterable[str], known_before: Collection[str], typed: Iterable[str]
) -> tuple[str, ...]:
    """Return the typed keys that are mistakes with the new default model, and none with the former one.

    Args:
        wrong: keys that are mistakes with the new one.
        known_before: keys that are mistakes with the former one.
        typed: keys that the user sets.
    """
    new = set(wrong) - set(known_before)
    return tuple(key for key in typed if key in new)


def are_several(config: Mapping[str, Any], choices: Mapping[str, str]) -> bool:
    """Return whether there are several series to forecast whose settings no experiment chooses."""
    is_other_task = choices.get("task") not in ("auto", "forecast")
    has_id = choices.get("dataset") == "series" and config.get("dataset", {}).get("id") is not None
    return has_id and not is_other_task and choices.get("experiment") is None
