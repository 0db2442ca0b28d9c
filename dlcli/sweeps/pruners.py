"""The group `sweep/pruner`: Optuna's pruners, which end unpromising trials early.

A trial reports its best value after each epoch; with several folds, the mean over its finished folds after each fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Lt
from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner, WilcoxonPruner

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


def none() -> BasePruner:
    """Never end a trial early."""
    return NopPruner()


def median(startup_trials: Annotated[int, Ge(0)] = 5, warmup_steps: Annotated[int, Ge(0)] = 0) -> BasePruner:
    """End a trial that is worse than the median of the other trials at the same step.

    Args:
        startup_trials: number of trials before any is pruned.
        warmup_steps: number of epochs (or folds) before a trial can be pruned.
    """
    return MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=warmup_steps)


def asha(min_resource: Annotated[int, Ge(1)] = 1, reduction_factor: Annotated[int, Ge(2)] = 3) -> BasePruner:
    """Asynchronous successive halving (Li et al., 2020).

    Args:
        min_resource: number of epochs (or folds) that every trial gets.
        reduction_factor: keep 1/reduction_factor of the trials per rung, with reduction_factor times the budget.
    """
    return SuccessiveHalvingPruner(min_resource=min_resource, reduction_factor=reduction_factor)


def hyperband(
    max_resource: int, min_resource: Annotated[int, Ge(1)] = 1, reduction_factor: Annotated[int, Ge(2)] = 3
) -> BasePruner:
    """Hyperband: successive halving in several brackets with different first rungs (Li et al., 2018).

    Args:
        max_resource: number of epochs (or folds) of a complete trial.
        min_resource: number of epochs (or folds) that every trial gets.
        reduction_factor: keep 1/reduction_factor of the trials per rung, with reduction_factor times the budget.
    """
    return HyperbandPruner(
        min_resource=min_resource, max_resource=max_resource, reduction_factor=reduction_factor
    )


def wilcoxon(
    p_threshold: Annotated[float, Gt(0), Lt(1)] = 0.1, startup_folds: Annotated[int, Ge(2)] = 2
) -> BasePruner:
    """End a trial whose folds are worse than the same folds of the best trial (Wilcoxon's signed-rank test).

    Args:
        p_threshold: prune below this p-value; 0.1 can be reached with four folds or more.
        startup_folds: number of folds that every trial gets.
    """
    return WilcoxonPruner(p_threshold=p_threshold, n_startup_steps=startup_folds)
