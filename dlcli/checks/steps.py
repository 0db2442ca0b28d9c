"""Checks of the number of optimizer steps per epoch, which depends on the number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlcli.assembly.batch_rows import batch_rows, takes_all_rows
from dlcli.assembly.optimization import make_callbacks
from dlcli.config.build import TARGET, locate
from dlcli.config.pasted import override
from dlcli.errors import Problem
from dlcli.formatting import counted
from dlcli.splits.split import Split
from dlcli.training.finders import BatchSizeFinder
from dlcli.training.loader import BatchLoader
from dlcli.training.step_plan import StepPlan, plan_steps


def _plan(config: Mapping[str, Any], split: Split, *, limited: bool = True) -> StepPlan:
    fields: Any = {"y": split.train}
    loader = BatchLoader(fields, batch_rows(config, fields), shuffle=True)
    return plan_steps(loader, config["trainer"] if limited else {}, make_callbacks(config))


def find_empty_epochs(config: Mapping[str, Any], split: Split) -> Iterator[Problem]:
    """Yield a problem if an epoch has no batch, or if another setting determines the rows of batches of tokens."""
    limit, tokens = config["trainer"].get("limit_train_batches"), config["dataset"].get("batch_tokens")
    if tokens:
        yield from _instead_of_tokens(config)
    elif limit and not _plan(config, split).batches:
        batches = _plan(config, split, limited=False).batches
        yield Problem(
            f"{limit} of {counted(batches, 'batch', 'batches')} is less than one batch",
            "trainer.limit_train_batches",
            "Use a number of batches, such as trainer.limit_train_batches=1.",
        )


def _instead_of_tokens(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each setting that determines the rows of a batch itself."""
    if takes_all_rows(config):
        reason = f"{config['optimizer'][TARGET].rpartition('.')[2]} uses all rows in each step"
    elif config["dataset"]["batch_size"] == "full":
        reason = "dataset.batch_size=full makes all rows one batch"
    elif config.get("finder") and locate(config["finder"][TARGET]) is BatchSizeFinder:
        reason = "finder=batch_size determines the number of rows of a batch"
    else:
        return
    yield Problem(f"has no effect: {reason}", "dataset.batch_tokens", "Remove one of the two.")


def warn_of_steps(config: Mapping[str, Any], split: Split) -> Iterator[Problem]:
    """Yield a warning for each argument of the trainer that has no effect with these rows and other arguments."""
    if config["dataset"].get("batch_tokens"):
        return  # the number of steps follows from the tokens, which the preprocessing counts
    plan, trainer = _plan(config, split), config["trainer"]
    limit, batches = trainer.get("limit_train_batches"), counted(plan.batches, "batch", "batches")
    if isinstance(limit, int) and limit > plan.batches:
        yield Problem(
            f"{limit:,} is more than the {batches} of an epoch, so that each epoch has all of them",
            "trainer.limit_train_batches",
            "Remove it, or use fewer: it makes epochs shorter, not longer.",
        )
    if (most := max(plan.accumulated.values())) > plan.batches:
        yield Problem(
            f"{most} is more than the {batches} of an epoch, so that an epoch is a single step over all of its rows",
            "trainer.accumulate_grad_batches",
            f"Gradients are not accumulated across epochs: {plan.batches} has the same effect.",
        )
    yield from _unreached(trainer, plan)
    ends_early = trainer.get("max_time") is not None or any(config["callbacks"].values())
    for name in ("min_epochs", "min_steps"):
        if trainer.get(name) and not ends_early:
            yield Problem(
                "has no effect: nothing stops training before trainer.max_epochs or trainer.max_steps",
                f"trainer.{name}",
                "Remove it, or stop early: callbacks=default",
            )


def _unreached(trainer: Mapping[str, Any], plan: StepPlan) -> Iterator[Problem]:
    """Yield a warning for limits of steps that exceed the epochs, and for epochs that exceed the steps."""
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    epochs = None if epochs == -1 else epochs
    allowed = plan.length(epochs).steps  # None without a limit
    if allowed is not None and steps > allowed:
        yield Problem(
            f"{steps:,} is more than the {counted(allowed, 'step')} of {_max_epochs(epochs)}, which ends training "
            "first",
            "trainer.max_steps",
            "To train for that many steps: trainer.max_epochs=-1. To train for the epochs, remove trainer.max_steps.",
        )
    if allowed is not None and (trainer.get("min_steps") or 0) > allowed:
        yield Problem(
            f"{trainer['min_steps']:,} is more than the {counted(allowed, 'step')} of {_max_epochs(epochs)}",
            "trainer.min_steps",
            "Raise trainer.max_epochs, or lower it.",
        )
    reached = plan.length(epochs, steps).epochs
    if steps >= 0 and reached is not None and (trainer.get("min_epochs") or 0) > reached:
        yield Problem(
            f"{trainer['min_epochs']} is more than the {counted(reached, 'epoch')} of "
            f"{override('trainer.max_steps', steps)}, which has priority",
            "trainer.min_epochs",
            "Raise trainer.max_steps, or lower it.",
        )
    late = [start for start in plan.accumulated if reached is not None and start >= reached]
    if late:
        yield Problem(
            f"accumulates from epoch {min(late) + 1} on, but training ends after {counted(reached or 0, 'epoch')}",
            "callbacks",
            "GradientAccumulationScheduler counts epochs from 0. Raise trainer.max_epochs, or change its scheduling.",
        )


def _max_epochs(epochs: int | None) -> str:
    return override("trainer.max_epochs", epochs)
