"""Check whether a resumed run can be trained for another number of epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dlcli.config.build import locate
from dlcli.config.pasted import pasted
from dlcli.config.signature import signature
from dlcli.config.solver_names import solves_only_head
from dlcli.errors import Problem
from dlcli.executors.time_limits import max_seconds
from dlcli.formatting import counted


def find_length_problems(
    config: Mapping[str, Any],
    changed: Mapping[str, Any],
    done: int = 0,
    *,
    is_open: bool = False,
    run: str = "",
) -> Iterator[Problem]:
    """Yield a problem for each reason why training cannot continue with another length.

    The resumed run has to equal a run that had this length from the beginning. That is the case if nothing in the
    completed epochs depends on the length. A run that has not ended can also be shortened, to no fewer than its
    completed epochs.

    Args:
        config: the run's recorded configuration.
        changed: the configuration with which it continues.
        done: number of completed epochs.
        is_open: whether the run has not ended, and has no child runs with different numbers of epochs.
        run: ID of the run, for messages.
    """
    before, after = (_epochs(c["trainer"]) for c in (config, changed))
    key = "trainer.max_epochs"
    if after != before and solves_only_head(config.get("finetune")):
        hint = f"{_weights(run)} finetune=fine_tuning trains all layers from this head, in a new run."
        yield Problem("the head was solved without epochs of steps, and cannot be trained longer", key, hint)
    elif after < done and (before == math.inf or (is_open and not planned_part(config))):
        hint = f"Give at least {done}: the completed epochs count."
        yield Problem(f"the run has completed {counted(done, 'epoch')} already", key, hint)
    elif after < before < math.inf and not is_open:
        hint = f"Leave it out to continue as planned, or start a new run with {_setting(after)}."
        yield Problem(f"the run was planned for {_planned(before)}, and cannot become shorter", key, hint)
    elif after != before and (name := planned_part(config)):
        hint = f"Start a new run with {_setting(after)}; {_weights(run)} starts from this run's weights."
        reason = f"{name} was planned for {_planned(before)}, and the results so far depend on this length"
        yield Problem(reason, key, hint)
    yield from _steps(config["trainer"], changed["trainer"], run)
    allowed, asked = (max_seconds(c["trainer"].get("max_time")) for c in (config, changed))
    if allowed is not None and asked is not None and asked < allowed:
        hint = "It counts the time before the interruption, too: give more, or leave it out."
        yield Problem("the run was planned for a longer time", "trainer.max_time", hint)


def planned_part(config: Mapping[str, Any]) -> str:
    """Return the name of a schedule or an average that depends on the length of training; empty if none does."""
    target = config["scheduler"].get("_target_")
    if target and "total_steps" in signature(locate(target)).arguments:
        return f"the schedule ({target.rpartition('.')[2]})"
    target = config["weight_averaging"].get("_target_")
    if target and getattr(locate(target), "depends_on_length", False):
        return f"the average ({target.rpartition('.')[2]})"
    return ""


def _steps(trainer: Mapping[str, Any], changed: Mapping[str, Any], run: str) -> Iterator[Problem]:
    before, after = (c.get("max_steps", -1) for c in (trainer, changed))
    if after != before:
        yield Problem(
            "cannot change: a limit of steps may end training within an epoch, which cannot be continued",
            "trainer.max_steps",
            f"Start a new run with trainer.max_steps={after}; {_weights(run)} starts from this run's weights.",
        )


def _weights(run: str) -> str:
    return pasted("model.weights", run[:8] or "RUN")


def _epochs(trainer: Mapping[str, Any]) -> float:
    most = trainer.get("max_epochs")
    return math.inf if most is None or most < 0 else most


def _planned(epochs: float) -> str:
    return "an unlimited number of epochs" if epochs == math.inf else counted(int(epochs), "epoch")


def _setting(epochs: float) -> str:
    return f"trainer.max_epochs={-1 if epochs == math.inf else int(epochs)}"
