"""Checks of the number of optimizer steps per epoch, which depends on the number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlcli.assembly.batch_rows import batch_rows
from dlcli.assembly.optimization import make_callbacks
from dlcli.errors import Problem
from dlcli.formatting import counted
from dlcli.splits.split import Split
from dlcli.training.loader import BatchLoader
from dlcli.training.step_plan import StepPlan, plan_steps


def _plan(config: Mapping[str, Any], split: Split, *, limited: bool = True) -> StepPlan:
    fields: Any = {"y": split.train}
    loader = BatchLoader(fields, batch_rows(config, fields), shuffle=True)
    return plan_steps(loader, config["trainer"] if limited else {}, make_callbacks(config))


def find_empty_epochs(config: Mapping[str, Any], split: Split) -> Iterator[Problem]:
    """Yield a problem if an epoch has no batch."""
    limit = config["trainer"].get("limit_train_batches")
    if limit and not _plan(config, split).batches:
        batches = _plan(config, split, limited=False).batches
        yield Problem(
            f"{limit} of {counted(batches, 'batch', 'batches')} is less than one batch",
            "trainer.limit_train_batches",
            "Use a number of batches, such as trainer.limit_train_batches=1.",
        )


def warn_of_steps(config: Mapping[str, Any], split: Split) -> Iterator[Problem]:
    """Yield a warning if more batches are accumulated than an epoch has."""
    plan = _plan(config, split)
    if (most := max(plan.accumulated.values())) > plan.batches:
        batches = counted(plan.batches, "batch", "batches")
        yield Problem(
            f"{most} is more than the {batches} of an epoch, so that an epoch is a single step over all of its rows",
            "trainer.accumulate_grad_batches",
            f"Gradients are not accumulated across epochs: {plan.batches} has the same effect.",
        )
