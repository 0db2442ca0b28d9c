"""Checks of what a user's model, loss and augmentation return for a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from dlcli.errors import ConfigError
from dlcli.process.own_frame import own_place
from dlcli.tasks.base import Task
from dlcli.tasks.task_metric import TaskMetric
from dlcli.training.fields import Batch
from dlcli.training.network import Network
from dlcli.training.scores import counting_device
from dlcli.training.user_errors import blamed_on


def check_outputs(outputs: Any, shape: tuple[int, ...], network: Network, hint: str) -> None:
    """Raise a ConfigError if a model returns no tensor, or one of another size than `shape`, or without gradients."""
    found = type(outputs).__name__ if outputs is not None else "nothing"
    if isinstance(outputs, Tensor):
        if outputs.shape[:1] != shape[:1] or outputs.numel() != math.prod(shape) * network.members:
            found = f"outputs of shape {tuple(outputs.shape)}"
        elif outputs.requires_grad or not torch.is_grad_enabled():
            return
        else:
            found = "outputs without gradients"
    place = own_place(network.model, "forward")
    raise ConfigError(f"{type(network.model).__name__}.forward returns {found}{place}", "model", hint)


def check_not_nan(loss: Tensor, outputs: Any, task: Task, network: Network) -> None:
    """Raise a ConfigError if the loss of the first batch is NaN because of the user's model or loss.

    Later batches may become NaN because of the learning rate.
    """
    of_model = isinstance(outputs, Tensor) and bool(outputs.isnan().any())
    what, where = (network.model, "model") if of_model else (task.criterion, "task.loss")
    if bool(loss.isnan()) and (place := own_place(what, "forward")):
        message = f"{type(what).__name__}.forward returns nan for the first batch{place}"
        raise ConfigError(
            message, where, "Look for a division by 0, or a logarithm or root of a negative number."
        )


def check_loss(loss: Any, task: Task) -> None:
    """Raise a ConfigError if a loss is not a scalar tensor with gradients."""
    found = f"a {type(loss).__name__}"
    if isinstance(loss, Tensor):
        if loss.ndim == 0 and loss.requires_grad:
            return
        found = f"a tensor of shape {tuple(loss.shape)}" if loss.ndim else "a scalar without gradients"
    raise ConfigError(
        f"{type(task.criterion).__name__}.forward returns {found}{own_place(task.criterion, 'forward')}",
        "task.loss",
        "Return the mean over the rows: a tensor without dimensions that is computed from the outputs.",
    )


def check_size(name: str, metric: TaskMetric, task: Task) -> None:
    """Raise a ConfigError if a user's metric returns neither a number nor one for each class or target."""
    place, found = own_place(metric.inner, "compute"), metric.each().numel()
    sizes = {1, task.num_outputs, len(getattr(task, "classes", ()))}
    if place and found not in sizes:
        message = f"{type(metric.inner).__name__}.compute returns {found} values{place}"
        raise ConfigError(message, f"metric.{name}", "Return a number, or one for each class or target.")


def check_augmentation(augment: Any, network: Network, batch: Batch) -> None:
    """Raise a ConfigError if an augmentation fails on a batch, or returns other fields or another number of rows."""
    inputs = {name: values for name, values in batch.items() if name != "y"}
    with blamed_on("augmentation", augment, inputs), torch.no_grad():
        given = network.prepare(batch) if getattr(augment, "of_prepared", False) else batch
        found = augment(dict(given))
    hint = "__call__ returns the fields of its batch, with as many rows."
    name, place = type(augment).__name__, own_place(augment, "__call__")
    if not isinstance(found, Mapping) or not found.keys() >= batch.keys():
        raise ConfigError(
            f"{name} returns no dictionary with {', '.join(batch)}{place}", "augmentation", hint
        )
    for field, values in batch.items():
        if len(found[field]) != len(values):
            message = f"{name} returns {len(found[field])} rows of {field} for {len(values)}{place}"
            raise ConfigError(message, "augmentation", hint)
    if place and (wrong := _unusable(found, given)):
        raise ConfigError(f"{name} returns {wrong}{place}", "augmentation", hint)


def _unusable(found: Batch, given: Batch) -> str:
    """Return what a user's augmentation has made of a field that the model cannot take; empty if nothing."""
    for field, values in given.items():
        if found[field].shape[1:] != values.shape[1:] and values.ndim < 4:  # images may be of other sizes
            return f"{field} of shape {tuple(found[field].shape)} for {tuple(values.shape)}"
        if found[field].is_floating_point() and found[field].isnan().any() and not values.isnan().any():
            return f"{field} with nan"
    return ""


def check_groups(optimizer: Optimizer) -> None:
    """Raise a ConfigError if the groups of an optimizer's parameters have no learning rate, which is recorded."""
    if any("lr" not in group for group in optimizer.param_groups):
        name, place = type(optimizer).__name__, own_place(optimizer, "__init__")
        hint = 'Pass it to the base class: super().__init__(params, {"lr": lr}).'
        raise ConfigError(f"{name} has no learning rate lr in its parameter groups{place}", "optimizer", hint)


@torch.no_grad()
def rehearse_metrics(network: Network, task: Task, batch: Batch) -> None:
    """Compute metrics from other packages on a batch, to detect their errors before training.

    Raises:
        ConfigError: one of them fails, or its value is not a number.
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
        check_size(name, metric, task)
