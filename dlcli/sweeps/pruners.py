"""The group `sweep/pruner`: what ends hopeless trials early; Optuna's, imported only where one is made.

A trial reports after each epoch, the best value so far; with several folds after each fold, the mean so far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Lt

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


def none() -> BasePruner:
    """Every trial runs to its end."""
    from optuna.pruners import NopPruner

    return NopPruner()


def median(startup_trials: Annotated[int, Ge(0)] = 5, warmup_steps: Annotated[int, Ge(0)] = 0) -> BasePruner:
    """Ends a trial that is worse than the median of the others at the same step.

    Args:
        startup_trials: that run to their end before any is ended early.
        warmup_steps: epochs (or folds) in which no trial is ended.
    """
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=startup_trials, n_warmup_steps=warmup_steps)


def asha(min_resource: Annotated[int, Ge(1)] = 1, reduction_factor: Annotated[int, Ge(2)] = 3) -> BasePruner:
    """Asynchronous successive halving (Li et al., 2020).

    Args:
        min_resource: epochs (or folds) that every trial gets.
        reduction_factor: one of so many goes on at each rung, for so many times as long.
    """
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=min_resource, reduction_factor=reduction_factor)


def hyperband(
    max_resource: int, min_resource: Annotated[int, Ge(1)] = 1, reduction_factor: Annotated[int, Ge(2)] = 3
) -> BasePruner:
    """Successive halving with several first rungs side by side (Li et al., 2018).

    Args:
        max_resource: epochs (or folds) of a whole trial.
        min_resource: epochs (or folds) that every trial gets.
        reduction_factor: one of so many goes on at each rung, for so many times as long.
    """
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(
        min_resource=min_resource, max_resource=max_resource, reduction_factor=reduction_factor
    )


def wilcoxon(
    p_threshold: Annotated[float, Gt(0), Lt(1)] = 0.1, startup_folds: Annotated[int, Ge(2)] = 2
) -> BasePruner:
    """Ends a trial whose folds are worse than the same folds of the best trial (Wilcoxon's signed-rank test).

    Args:
        p_threshold: how sure it has to be; with 0.1 it takes four folds at least.
        startup_folds: that every trial gets.
    """
    from optuna.pruners import WilcoxonPruner

    return WilcoxonPruner(p_threshold=p_threshold, n_startup_steps=startup_folds)
