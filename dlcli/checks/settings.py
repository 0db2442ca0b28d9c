"""Warnings about legal but probably unintended settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytorch_lightning.callbacks import EarlyStopping

from dlcli.assembly.batch_rows import takes_all_rows
from dlcli.checks.forest_fit import warn_of_cut
from dlcli.checks.profile import find_warnings
from dlcli.checks.steps import warn_of_steps
from dlcli.config.build import build
from dlcli.config.plain_secrets import unrecorded_keys
from dlcli.datasets.lookback import FEW_WINDOWS
from dlcli.errors import Problem
from dlcli.formatting import counted
from dlcli.splits.split import Split

if TYPE_CHECKING:
    from dlcli.experiment import Experiment


def warn(
    experiment: Experiment, tell: Callable[[str], None], words: str = "the same arguments"
) -> list[Problem]:
    """Print one line per warning before training, and one line on where to find advice; return the warnings.

    Args:
        experiment: the experiment that is about to run.
        tell: called with each line.
        words: the arguments for `dlcli check`, which shows the hints.
    """
    warnings = [
        *experiment.composed.left_out,
        *find_config_warnings(experiment.config, experiment.splits),
        *find_warnings(experiment.data, experiment.splits),
    ]
    for warning in warnings:
        tell(f"warning: {warning.line}")
    if any(warning.hint for warning in warnings):
        tell(f"  hint: run dlcli check with {words} for the remedy")
    return warnings


def find_config_warnings(config: Mapping[str, Any], splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield warnings about a configuration, given its splits."""
    yield from _cut_cycle(config)
    yield from warn_of_steps(config, splits[0])
    yield from _idle_rate(config)
    yield from warn_of_cut(config)
    yield from _few_windows(config, splits)
    for key in unrecorded_keys(config):
        yield Problem(
            "is a secret in plain text: it is not recorded, so it must be given again when the run is resumed",
            key,
            f"Put it into an environment variable and write '{key}=${{oc.env:NAME}}', which is recorded as written.",
        )


def _few_windows(config: Mapping[str, Any], splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a warning if a forecast is trained on few windows of its series."""
    dataset = config["dataset"]
    if not {"lookback", "horizon"} <= dataset.keys():
        return
    fewest = min(len(split.train) for split in splits)
    if fewest < FEW_WINDOWS:
        yield Problem(
            f"{counted(fewest, 'training window')} for a horizon of {dataset['horizon']}: forecasts and their quantiles"
            " are uncertain",
            "dataset.lookback",
            f"Lower dataset.lookback or dataset.horizon, hold out less ({_holding_out(config)}), or add series.",
        )


def _holding_out(config: Mapping[str, Any]) -> str:
    """Return the keys of the strategy that decide how many windows are left for training."""
    keys = ("folds", "gap", "test_size", "val_size")
    return ", ".join(f"cv.{key}" for key in keys if config["cv"].get(key)) or "cv"


def _cut_cycle(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a warning if early stopping may end training within a one-cycle schedule.

    The loss rises in the middle of the cycle, where the learning rate is high, and is lowest at its end: early stopping
    can mistake the rise for the end of improvement. Schedules that only decay, such as cosine, are not affected.
    """
    target, epochs = config["scheduler"].get("_target_", ""), config["trainer"].get("max_epochs") or -1
    if not target.endswith(".OneCycleLR"):
        return
    for name, node in config["callbacks"].items():
        callback = build(node, where=f"callbacks.{name}") if node else None
        if isinstance(callback, EarlyStopping) and callback.patience < epochs:
            yield Problem(
                f"may stop training before the cycle of {epochs} epochs is complete; the loss is lowest at its end",
                f"callbacks.{name}",
                f"Use callbacks=none, or callbacks.{name}.patience={epochs}: the best epoch is kept in any case.",
            )


def _idle_rate(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a warning if a learning rate is set for an optimizer whose result does not depend on it."""
    if takes_all_rows(config) and config["optimizer"].get("lr", 1.0) != 1.0:
        yield Problem(
            "hardly changes the result: the model is solved on all rows, not trained by steps",
            "optimizer.lr",
            f"To train by steps: optimizer=adam optimizer.lr={config['optimizer']['lr']:g}",
        )
