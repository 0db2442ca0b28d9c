"""The choice of a task's metrics: their names, and their construction from the task's facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from dlcli.config.build import TARGET, build, locate
from dlcli.config.folders import options
from dlcli.config.metric_section import GROUP
from dlcli.config.metric_words import DEFAULT
from dlcli.config.own_keys import MetricKeys
from dlcli.config.signature import signature
from dlcli.config.suggest import did_you_mean
from dlcli.config.yaml_file import read
from dlcli.errors import ConfigError
from dlcli.process.own_frame import own_place
from dlcli.tasks.metric import AnyMetric, Metric
from dlcli.tasks.task_metric import Input, TaskMetric, without_warnings


@dataclass(frozen=True)
class MetricChoice:
    """A metric: its name and its section of the configuration with `_target_`, its arguments, and `MetricKeys`."""

    name: str
    node: Mapping[str, Any]

    @property
    def every_epoch(self) -> bool:
        """Whether the metric is computed in every epoch, rather than only at the end or if monitored."""
        return bool(self._stated("every_epoch", True))

    @property
    def has_baseline(self) -> bool:
        """Whether the metric of a constant prediction is meaningful."""
        return bool(self._stated("baseline", True))

    @property
    def undefined(self) -> tuple[Any, ...]:
        """When the metric is NaN."""
        return tuple(self._stated("undefined", ()))

    def decides(self, facts: Mapping[str, Any]) -> bool:
        """Return whether the metric depends on the decision threshold."""
        if facts.get("threshold") is None:
            return False
        return self._takes(facts) == "labels" or "threshold" in signature(self._target).arguments

    def make(self, facts: Mapping[str, Any]) -> AnyMetric:
        """Return a new metric.

        Args:
            facts: facts of the task; the metric receives those that its arguments name.

        Raises:
            ConfigError: it cannot be built, or is not a metric.
        """
        takes, where = self._takes(facts), f"{GROUP}.{self.name}"
        # A metric of labels does not receive the threshold by which they were decided.
        given = {name: fact for name, fact in facts.items() if takes != "labels" or name != "threshold"}
        with without_warnings():
            metric = build({key: v for key, v in self.node.items() if v is not None}, where=where, **given)
        if not is_metric(metric):
            raise ConfigError(
                f"{self.node[TARGET]} creates a {type(metric).__name__}, not a metric",
                f"{where}.{TARGET}",
                "Name a class that is derived from torchmetrics.Metric or dlcli.tasks.metric.Metric.",
            )
        stated = {key for key in _KEYS if self.node.get(key) is not None}
        native = takes == ("centered" if facts["task"] == "regression" else "probabilities")
        if native and isinstance(metric, Metric) and not stated & _OF_VALUES:
            return metric
        higher = self.node.get("higher_is_better")
        bounds = (self.node.get("lowest"), self.node.get("highest"))
        if bounds == (None, None):
            bounds = (metric.plot_lower_bound, metric.plot_upper_bound)
        return TaskMetric(
            metric,
            takes=takes,
            threshold=facts.get("threshold"),
            offset=facts.get("offset"),
            deviation=facts.get("deviation"),
            undefined=self.undefined,
            higher_is_better=metric.higher_is_better if higher is None else higher,
            bounds=bounds,
        )

    @property
    def _target(self) -> Any:
        return locate(self.node[TARGET], f"{GROUP}.{self.name}")

    def _stated(self, key: str, default: Any) -> Any:
        """Return the value of a key, or else of the class attribute of this name."""
        value = self.node.get(key)
        return getattr(self._target, key, default) if value is None else value

    def _takes(self, facts: Mapping[str, Any]) -> Input:
        takes: Input | None = self._stated("takes", None)
        if takes is not None:
            if takes not in get_args(Input):
                place = own_place(self._target)
                raise ConfigError(
                    f"should be {', '.join(get_args(Input))}, not {takes!r}{place}",
                    f"{GROUP}.{self.name}.takes",
                    did_you_mean(str(takes), get_args(Input)),
                )
            return takes
        if facts["task"] == "regression":
            return "values"
        # torchmetrics classes with their own threshold would ignore that of the task.
        ours = not str(self.node[TARGET]).startswith("torchmetrics.")
        return "labels" if not ours and "threshold" in signature(self._target).arguments else "probabilities"


_KEYS = frozenset(signature(MetricKeys).arguments)
_OF_VALUES = frozenset({"higher_is_better", "lowest", "highest", "undefined"})


def is_metric(made: Any) -> bool:
    """Return whether an object is a metric, without importing torchmetrics."""
    ancestors = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(made).__mro__}
    return isinstance(made, Metric) or "torchmetrics.metric.Metric" in ancestors


@cache
def shipped_metric(name: str) -> MetricChoice:
    """Return a metric of the shipped group.

    Raises:
        ConfigError: there is none of this name.
    """
    files = options(GROUP)
    if name not in files:
        raise ConfigError(f"there is no metric {name}", "task.metrics", f"Choices: {', '.join(files)}.")
    return MetricChoice(name, read(files[name]))


def chosen_metrics(
    metrics: Sequence[str | MetricChoice], by_default: Collection[str]
) -> tuple[MetricChoice, ...]:
    """Return the metrics in order, with `default` replaced by the default ones, without duplicates."""
    found: dict[str, MetricChoice] = {}
    for metric in metrics:
        several: Sequence[str | MetricChoice] = tuple(by_default) if metric == DEFAULT else (metric,)
        for one in several:
            choice = one if isinstance(one, MetricChoice) else shipped_metric(one)
            found.setdefault(choice.name, choice)
    return tuple(found.values())


def with_metrics(task: Mapping[str, Any], section: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the configuration's section `task` with names of metrics replaced by `MetricChoice` from the
    section `metric`."""
    if not isinstance(task.get("metrics"), list | tuple):  # a task of the user's own, or an earlier dlcli
        return dict(task)
    nodes = section or {}
    names = [MetricChoice(name, nodes[name]) if name in nodes else name for name in task["metrics"]]
    return {**task, "metrics": names}
