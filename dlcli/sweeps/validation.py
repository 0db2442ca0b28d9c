"""Check a search space, and attribute mistakes to its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dlcli.config.build import TARGET, locate
from dlcli.config.pasted import pasted
from dlcli.datasets.raw_rows import FEEDING
from dlcli.errors import ConfigError, Problem
from dlcli.sweeps.dimension import Choice, Range, as_override
from dlcli.sweeps.objective import Objective
from dlcli.sweeps.space import Space

# Sections and keys that cannot be searched: trials are compared on the same rows, by the same metric.
_FIXED = ("dataset", "cv", "monitor", "mode", "executor", "tracking", "sweep", "experiment")
_BATCHES = tuple(f"dataset.{key}" for key in FEEDING)
_FIXED_KEYS = ("runs_dir", "run_name", "experiment_name")


def check_space(space: Space, objectives: Sequence[Objective], hint: str, where: str = "sweep.space") -> None:
    """Check that a space is not empty (else the error has `hint`), and has no keys that make trials incomparable.

    Raises:
        ConfigError: with all mistakes.
    """
    if not space.dimensions:
        raise ConfigError("there is nothing to search", where, hint)
    problems = [
        Problem(
            "cannot be varied: trials are compared on the same rows, by the same metric",
            dimension.key,
            "Run a separate sweep for each value.",
        )
        for dimension in space.dimensions
        if dimension.key in _FIXED_KEYS
        or (dimension.key not in _BATCHES and dimension.key.replace("/", ".").split(".")[0] in _FIXED)
    ]
    if any(objective.metric == "val/loss" for objective in objectives):
        problems += [
            Problem(
                "changes the meaning of val/loss, so that its values cannot be compared",
                dimension.key,
                "Choose by another metric, such as monitor=val/accuracy, or for numbers monitor=val/mae.",
            )
            for dimension in space.dimensions
            if dimension.key.replace("/", ".").split(".")[0] == "task"
        ]
    if problems:
        raise ConfigError(problems)


def check_losses(space: Space, objectives: Sequence[Objective], config: Mapping[str, Any]) -> None:
    """Check that trials are not compared by a loss that the model computes, where the space changes that loss.

    Args:
        space: the space.
        objectives: what trials are compared by.
        config: the configuration of one trial.

    Raises:
        ConfigError: with all keys that change the loss: another model, or the `loss_arguments` of a model.
    """
    task: Any = locate(config["task"][TARGET])
    if not getattr(task, "loss_of_model", False) or all(one.metric != "val/loss" for one in objectives):
        return
    arguments = getattr(locate(config["model"][TARGET]), "loss_arguments", ())
    keys = [
        dimension.key
        for dimension in space.dimensions
        if dimension.key == "model" or dimension.key.removeprefix("model.") in arguments
    ]
    if keys:
        shown = pasted("monitor", f"val/{task.default_metrics[0]}")
        hint = f"Choose by another metric: {shown}."
        raise ConfigError(
            [
                Problem(
                    "changes the loss, which the model computes: its values cannot be compared", key, hint
                )
                for key in keys
            ]
        )


@contextmanager
def naming_values(domains: Mapping[str, Choice | Range], params: Mapping[str, Any]) -> Iterator[None]:
    """Convert errors that a value of a point has caused to errors that name its override."""
    try:
        yield
    except ConfigError as error:
        named = [
            of_value(problem.where, domains[problem.where], params, problem)
            if problem.where in domains
            else problem
            for problem in error.problems
        ]
        raise ConfigError(named) from error


def of_value(key: str, domain: Choice | Range, params: Mapping[str, Any], problem: Problem) -> Problem:
    """Return a problem of a point as a problem of the override that caused it."""
    override, hint = as_override(key, params[key]), problem.hint
    if problem.where == override:  # such as an unknown option
        return problem
    if problem.where != key:
        return replace(problem, message=f"with {override}: {problem.message}")
    if isinstance(domain, Range) and domain.step is None and "integer" in problem.message:
        low, high = round(domain.low), round(domain.high)  # the end of a range is excluded
        hint = f"For whole numbers write {key}=int(interval({low},{high})) or {key}=range({low},{high + 1})."
    return replace(problem, where=override, hint=hint)
