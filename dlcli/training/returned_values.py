"""Checks of what a user's model, loss and augmentation return for a batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dlcli.errors import ConfigError
from dlcli.tasks.base import Task
from dlcli.training.fields import Batch
from dlcli.training.network import Network
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
    raise ConfigError(f"{type(network.model).__name__}.forward returns {found}", "model", hint)


def check_loss(loss: Any, task: Task) -> None:
    """Raise a ConfigError if a loss is not a scalar tensor with gradients."""
    found = f"a {type(loss).__name__}"
    if isinstance(loss, Tensor):
        if loss.ndim == 0 and loss.requires_grad:
            return
        found = f"a tensor of shape {tuple(loss.shape)}" if loss.ndim else "a scalar without gradients"
    raise ConfigError(
        f"{type(task.criterion).__name__}.forward returns {found}",
        "task.loss",
        "Return the mean over the rows: a tensor without dimensions that is computed from the outputs.",
    )


def check_augmentation(augment: Any, network: Network, batch: Batch) -> None:
    """Raise a ConfigError if an augmentation fails on a batch, or returns other fields or another number of rows."""
    inputs = {name: values for name, values in batch.items() if name != "y"}
    with blamed_on("augmentation", augment, inputs), torch.no_grad():
        found = augment(network.prepare(batch) if getattr(augment, "of_prepared", False) else batch)
    hint = "__call__ returns the fields of its batch, with as many rows."
    name = type(augment).__name__
    if not isinstance(found, Mapping) or not found.keys() >= batch.keys():
        raise ConfigError(f"{name} returns no dictionary with {', '.join(batch)}", "augmentation", hint)
    for field, values in batch.items():
        if len(found[field]) != len(values):
            message = f"{name} returns {len(found[field])} rows of {field} for {len(values)}"
            raise ConfigError(message, "augmentation", hint)
