"""Compute metrics of others on one batch before the training, to find errors that would otherwise end it."""

from __future__ import annotations

import torch

from dlcli.tasks.base import Task
from dlcli.tasks.task_metric import TaskMetric
from dlcli.training.fields import Batch
from dlcli.training.network import Network
from dlcli.training.scores import counting_device
from dlcli.training.user_errors import blamed_on


@torch.no_grad()
def rehearse_metrics(network: Network, task: Task, batch: Batch) -> None:
    """Compute the metrics that are not dlcli's own on a batch.

    Raises:
        ConfigError: one of them fails, or its value is no number.
    """
    metrics = {name: metric for name, metric in task.metrics().items() if isinstance(metric, TaskMetric)}
    if not metrics:
        return
    training = network.training
    found = task.evaluated(network.eval(), batch, batch["y"], tuple(metrics))
    outputs, encoded = task.kept(found, batch["y"])
    network.train(training)
    outputs, device = outputs.float(), counting_device(outputs.device)
    predicted, y = (values.to(device) for values in task.metric_inputs(outputs, encoded))
    named = {name: values.to(device) for name, values in task.metric_kwargs(outputs, encoded).items()}
    for name, metric in metrics.items():
        metric.to(device)
        given = metric.prepared(predicted, y, named)
        with blamed_on(
            f"metric.{name}", metric.inner, {"predictions": given[0], "targets": given[1], **given[2]}
        ):
            metric.add(*given)
            float(metric.compute())
