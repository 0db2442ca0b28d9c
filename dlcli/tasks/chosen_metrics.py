"""The metrics of a task: the choice, names, and direction of improvement."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

from torch import nn

from dlcli.config.target_kinds import TaskKind
from dlcli.tasks.metric import AnyMetric
from dlcli.tasks.metric_choice import MetricChoice, chosen_metrics
from dlcli.tasks.threshold import untuned


class ChosenMetrics(nn.Module):
    """The part of a task that chooses and makes its metrics.

    Attributes:
        kind: kind of the task, which for tasks of targets is a kind of target that the loss must accept.
        criterion: the loss.
        metric_choices: the chosen metrics, in report order.
        is_tuned: whether `tune` has changed the predictions.
        metric_names: names of all metrics, in report order.
        epoch_metrics: names of the metrics that are cheap enough to compute every epoch; the monitored metric is added.
        default_metrics: names of the metrics of tasks of this class, options of the group `metric`. A task of the
            user's own may instead define `metrics`, `metric_names` and `epoch_metrics`.
        quantile_metrics: metrics that are added if the loss has several quantiles.
    """

    kind: ClassVar[TaskKind]
    criterion: nn.Module
    metric_choices: tuple[MetricChoice, ...] = ()
    is_tuned: bool = False
    default_metrics: ClassVar[tuple[str, ...]] = ()
    quantile_metrics: ClassVar[tuple[str, ...]] = ()

    def choose(self, metrics: Sequence[str | MetricChoice], quantiles: Sequence[float] = ()) -> None:
        """Set the metrics; called by `__init__`. The word `default` denotes those of the class."""
        by_default = self.default_metrics + (self.quantile_metrics if quantiles else ())
        self.metric_choices = chosen_metrics(metrics, by_default)

    def metric_facts(self, *, tuned: bool = True) -> dict[str, Any]:
        """Return the arguments that metrics can take; each metric receives those that its signature names.

        `task` is the kind; `threshold` is the decision threshold, before tuning if `tuned` is false.
        """
        return {"task": self.kind}

    @cached_property
    def metric_names(self) -> tuple[str, ...]:
        """Names of all metrics; the variants without tuning follow the last metric that depends on a tuned
        threshold."""
        names, twins = [choice.name for choice in self.metric_choices], self._untuned
        last = max((names.index(choice.name) + 1 for choice in twins), default=0)
        return (*names[:last], *(untuned(choice.name) for choice in twins), *names[last:])

    @cached_property
    def epoch_metrics(self) -> tuple[str, ...]:
        """Names of the metrics of every epoch."""
        return tuple(choice.name for choice in self.metric_choices if choice.every_epoch)

    @cached_property
    def _untuned(self) -> tuple[MetricChoice, ...]:
        """The metrics that depend on the tuned threshold."""
        if not self.is_tuned:
            return ()
        facts = self.metric_facts()
        return tuple(choice for choice in self.metric_choices if choice.decides(facts))

    def metrics(self) -> dict[str, AnyMetric]:
        """Return new metrics on the result of `metric_inputs`, by their recorded names."""
        facts = self.metric_facts()
        found = {choice.name: choice.make(facts) for choice in self.metric_choices}
        if self._untuned:
            facts = self.metric_facts(tuned=False)
            found |= {untuned(choice.name): choice.make(facts) for choice in self._untuned}
        return {name: found[name] for name in self.metric_names}

    def scales(self) -> dict[str, dict[str, Any]]:
        """Return the direction of improvement and the bounds of each metric and the loss.

        `better` is `higher`, `lower`, or None if neither is better by itself. `low` and `high` are None without bounds.
        `unit` is the unit of a metric, if it differs between tasks of one kind.
        """
        found: dict[str, dict[str, Any]] = {
            "loss": {"better": "lower", "low": getattr(self.criterion, "lower_bound", None), "high": None}
        }
        words = {True: "higher", False: "lower", None: None}
        for name, metric in self.metrics().items():
            low, high = metric.plot_lower_bound, metric.plot_upper_bound
            found[name] = {"better": words[metric.higher_is_better], "low": low, "high": high}
        return found
