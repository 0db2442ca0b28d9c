"""Checks of the length of training that require neither the data nor torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlcli.config.timespan import seconds_of
from dlcli.errors import ConfigError, Problem


def find_endings(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the settings with which training would never end, or would end before the first epoch."""
    trainer = config["trainer"]
    most, least = trainer.get("max_epochs"), trainer.get("min_epochs")
    if most == 0:
        yield Problem("no epoch would be trained", "trainer.max_epochs", "Set it to at least 1.")
    if most is not None and least is not None and 0 < most < least:
        hint = f"Raise trainer.max_epochs (it is {most}), or lower trainer.min_epochs."
        yield Problem(
            f"the minimum of {least} epochs exceeds the maximum of {most}", "trainer.min_epochs", hint
        )
    steps, least_steps = trainer.get("max_steps", -1), trainer.get("min_steps")
    if steps == 0:
        yield Problem("no step would be trained", "trainer.max_steps", "Set it to at least 1.")
    if least_steps is not None and 0 < steps < least_steps:
        hint = f"Raise trainer.max_steps (it is {steps}), or lower trainer.min_steps."
        yield Problem(
            f"the minimum of {least_steps} steps exceeds the maximum of {steps}", "trainer.min_steps", hint
        )
    if trainer.get("limit_train_batches") == 0:
        yield Problem("no batch would be trained", "trainer.limit_train_batches", "Set it to at least 1.")
    ends = trainer.get("max_time") is not None or trainer.get("max_steps", -1) != -1
    if most == -1 and not ends and not any(config["callbacks"].values()):
        hint = "Set trainer.max_time or trainer.max_steps, or a callback that stops training (callbacks=default)."
        yield Problem("training would never end", "trainer.max_epochs", hint)
    for key in ("job_timeout", "silence"):
        try:
            seconds_of(config["executor"].get(key), f"executor.{key}")
        except ConfigError as error:
            yield from error.problems
