"""Loss and metrics of several training runs, computed together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dlcli.stacking.row_losses import row_losses
from dlcli.tasks.binary import Binary
from dlcli.tasks.metric import keywords
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.task_metric import TaskMetric
from dlcli.training.row_noise import MOST_ROWS, group_sums_of
from dlcli.training.scores import VALUES, Scores

# The sums of losses of groups of rows, and the values by name.
Found = tuple[Tensor | None, dict[str, float]]


class JointScores:
    """Computes the scores of K training runs of equal loss and metrics, with the result of each `Scores.compute`.

    torch maps the computation of a metric over the runs. Where a metric does not allow that, for example because it
    sorts rows into as many as there are, each run computes it.

    Args:
        scores: of the training runs.
        in_groups: whether to compute the sums of losses of groups of rows as well.
    """

    def __init__(self, scores: Sequence[Scores], *, in_groups: bool = False) -> None:
        self._scores = scores
        self._in_groups = in_groups
        first = scores[0]
        names: dict[str, list[str]] = defaultdict(list)
        for name, collector in first.collector_of.items():
            names[collector].append(name)
        self._groups = [
            _JointMetrics([[one.metrics[n] for n in own] for one in scores], own) for own in names.values()
        ]

    @torch.no_grad()
    def compute(self, members: Sequence[int]) -> dict[int, Found]:
        """Return what has been collected for some runs, and release it; runs without rows are left out."""
        equal: dict[int, list[int]] = defaultdict(list)
        found: dict[int, Found] = {}
        rows: dict[int, tuple[Tensor, Tensor]] = {}
        for k in members:
            own = self._scores[k]
            if (uncounted := own.uncounted) is not None:
                rows[k] = uncounted
                equal[len(uncounted[1])].append(k)
            elif own.has_rows:
                found[k] = own.group_sums(MOST_ROWS), own.compute()
        for same in equal.values():
            portion = max(1, VALUES // max(1, rows[same[0]][0].numel()))
            for first in range(0, len(same), portion):
                some = same[first : first + portion]
                found |= self._joint([rows[k] for k in some], some)
        for k in rows:
            self._scores[k].forget()
        return found

    def _joint(self, rows: Sequence[tuple[Tensor, Tensor]], members: Sequence[int]) -> dict[int, Found]:
        outputs, y = (torch.stack(parts) for parts in zip(*rows, strict=True))
        outputs = outputs.float()
        task = self._scores[members[0]].task
        losses = row_losses(task, outputs.flatten(0, 1), y.flatten(0, 1)).view(len(members), -1)
        values = {"loss": losses.double().mean(dim=1)}
        if self._groups:
            taken = self._taken(members, outputs, y)
            for group in self._groups:
                values |= group.compute(members, *taken)
        order = ["loss", *self._scores[members[0]].metrics]
        table = torch.stack([values[name] for name in order], dim=1).tolist()
        counts = self._in_groups and losses.shape[1] <= MOST_ROWS
        groups = group_sums_of(losses) if counts else [None] * len(members)
        return {
            k: (own, dict(zip(order, numbers, strict=True)))
            for k, own, numbers in zip(members, groups, table, strict=True)
        }

    def _taken(
        self, members: Sequence[int], outputs: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return what the metrics of some runs take, `(M, N, ...)`."""
        tasks = [self._scores[k].task for k in members]
        if isinstance(tasks[0], Binary | Multiclass | Multilabel):  # which have no units of their own
            made = tasks[0].metric_inputs(outputs.flatten(0, 1), y.flatten(0, 1))
            predicted, true = (values.unflatten(0, y.shape[:2]) for values in made)
            return predicted, true, {}
        rows = list(zip(tasks, outputs, y, strict=True))
        predicted, true = map(
            torch.stack, zip(*(task.metric_inputs(*own) for task, *own in rows), strict=True)
        )
        named = [task.metric_kwargs(*own) for task, *own in rows]
        return predicted, true, {name: torch.stack([one[name] for one in named]) for name in named[0]}


class _JointMetrics:
    """Metrics that share their statistics, of K runs; the first one collects them.

    Args:
        metrics: of each run.
        names: of the metrics.
    """

    def __init__(self, metrics: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
        self._metrics = metrics
        self._names = names
        differing = [_differing(each) for each in zip(*metrics, strict=True)]
        self._is_mapped = all(one is not None for one in differing)
        self._differing: list[dict[str, Tensor]] = [one or {} for one in differing]

    def compute(
        self,
        members: Sequence[int],
        predicted: Tensor,
        y: Tensor,
        named: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the values of some runs `(M,)` by name, given what their metrics take."""
        if self._is_mapped:
            try:
                return self._mapped(members, predicted, y, named)
            except Exception:  # what torch cannot map; an error of the metric itself is raised again below
                self._is_mapped = False
            finally:
                self._reset(0)
        made = []
        for place, k in enumerate(members):
            more = {name: values[place] for name, values in named.items()}
            made.append(torch.stack(self._values(k, predicted[place], y[place], more)))
            self._reset(k)
        return dict(zip(self._names, torch.stack(made).unbind(dim=1), strict=True))

    def _reset(self, k: int) -> None:
        for metric in self._metrics[k]:
            metric.reset()

    def _values(self, k: int, predicted: Tensor, y: Tensor, named: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the values of one run, in double precision."""
        collector, *others = self._metrics[k]
        collector.update(predicted, y, **keywords(collector, named))
        for metric in others:
            metric.take_state(collector.metric_state)
        return [torch.as_tensor(metric.compute()).double().mean() for metric in self._metrics[k]]

    def _mapped(
        self,
        members: Sequence[int],
        predicted: Tensor,
        y: Tensor,
        named: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        own = [{name: of_all[list(members)] for name, of_all in one.items()} for one in self._differing]
        kept = [
            {name: getattr(metric, name) for name in one}
            for metric, one in zip(self._metrics[0], self._differing, strict=True)
        ]

        def values(
            predicted: Tensor, y: Tensor, named: dict[str, Tensor], facts: list[dict[str, Tensor]]
        ) -> tuple[Tensor, ...]:
            _set(self._metrics[0], facts)
            return tuple(self._values(0, predicted, y, named))

        try:
            found = torch.vmap(values)(predicted, y, dict(named), own)
        finally:
            _set(self._metrics[0], kept)
        return dict(zip(self._names, found, strict=True))


def _set(metrics: Sequence[Any], facts: Sequence[Mapping[str, Any]]) -> None:
    for metric, own in zip(metrics, facts, strict=True):
        for name, value in own.items():
            setattr(metric, name, value)


def _differing(metrics: Sequence[Any]) -> dict[str, Tensor] | None:
    """Return the tensors in which metrics of one name differ, `(K, ...)`; None if they differ in something else."""
    first = metrics[0]
    if isinstance(first, TaskMetric) or not type(first).__module__.startswith("dlcli."):
        return None
    if any(type(one) is not type(first) for one in metrics):
        return None
    found: dict[str, Tensor] = {}
    for name, value in vars(first).items():
        others = [vars(one)[name] for one in metrics]
        if name in first.metric_state or name == "_sums":
            continue
        if not isinstance(value, Tensor):
            if any(other != value for other in others):
                return None
        elif any(other.shape != value.shape for other in others):
            return None
        elif any(not torch.equal(other, value) for other in others):
            found[name] = torch.stack(others)
    return found
