"""Plan an experiment whose model follows from the kind of rows, if nobody has chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlcli.assembly.automatic import AutomaticChoice
from dlcli.config.build import TARGET
from dlcli.config.catalog import accepting
from dlcli.config.model_by_kind import MODELS, follows_from_rows
from dlcli.config.pasted import override
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError
from dlcli.experiment import Experiment, plan_experiment

# Stages of a convolutional network halve height and width three times.
_LEAST_PIXELS = 16

_NOUNS = {"table": "rows of a table", "tokens": "texts", "image": "images"}


def plan_for_rows(
    overrides: Sequence[str],
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    *,
    thorough: bool = False,
) -> Experiment:
    """Plan an experiment as `plan_experiment` does, with the model for its kind of rows if none is chosen.

    Raises:
        ConfigError: with all mistakes.
    """
    experiment = plan_experiment(overrides, conf_dirs, runs_dir, thorough=thorough)
    is_open = follows_from_rows(experiment.composed, overrides)
    model = _model(experiment.data) if is_open else None
    if model is None:
        return experiment
    why = f"for {_NOUNS[experiment.data.kind]}"
    try:
        planned = plan_experiment(
            [override("model", model), *overrides], conf_dirs, runs_dir, thorough=thorough
        )
    except ConfigError:  # such as a schedule for a model that is solved
        planned, why = experiment, f"as other settings do not fit {model}, the default {why}"
    choice = AutomaticChoice("model", planned.config["model"][TARGET].rpartition(".")[2], why)
    return replace(planned, choices=(choice, *planned.choices))


def _model(data: Data) -> str | None:
    """Return the default model for the rows; None for that of the configuration."""
    model = MODELS.get(data.kind)
    if model not in accepting("model", data.kind, data.target_kind):
        return None
    return None if data.kind == "image" and min(data.x.shape[1:3]) < _LEAST_PIXELS else model
