"""Forward passes of a trained network over many rows; the task reduces the outputs batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dlcli.tasks.base import Task
from dlcli.training.fields import Fields
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network

_NO_TARGETS = torch.empty(0)


def joined(parts: Sequence[Tensor], padding: float = 0) -> Tensor:
    """Return the rows of parts `(N_i, ...)` as one tensor; where other dimensions differ, shorter ones are padded."""
    longest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    if all(list(part.shape[1:]) == longest for part in parts):
        return torch.cat(list(parts))
    whole = parts[0].new_full((sum(map(len, parts)), *longest), padding)
    first = 0
    for part in parts:
        whole[(slice(first, first + len(part)), *(slice(0, size) for size in part.shape[1:]))] = part
        first += len(part)
    return whole


@torch.inference_mode()
def through(
    network: Network,
    task: Task,
    fields: Fields,
    device: torch.device | str,
    keep: Callable[[Any, Tensor], tuple[Tensor, ...]],
) -> list[Tensor]:
    """Return the results of `keep` for the outputs and targets of each batch, on the CPU, in the order of the rows.

    Args:
        network: the network; it is moved to the device and set to evaluation mode.
        task: the task, which is on the device during the passes.
        fields: preprocessed rows, or the backbone's `features`, with or without their targets `y`.
        device: device of the forward passes.
        keep: `Task.kept` or `Task.predicted`.

    Returns:
        One item per batch; an empty list if there are no rows.
    """
    network = network.to(device).eval()
    task.to(device)
    loader = BatchLoader(fields, network.evaluation_rows(), bounded=True)
    parts = []
    for batch in loader:
        on_device = {name: values.to(device) for name, values in batch.items()}
        y = on_device.get("y")
        if not task.needs_targets:  # a model that receives targets in training must not receive them here
            on_device.pop("y", None)
        outputs = task.evaluated(network, on_device, y)
        outputs = outputs.float() if isinstance(outputs, Tensor) else outputs
        parts.append([values.cpu() for values in keep(outputs, _NO_TARGETS if y is None else y)])
    task.cpu()  # the device of the metrics of an evaluation
    order = loader.order()
    found = [joined(several, task.padding) for several in zip(*parts, strict=True)]
    return found if order is None else [values[order.argsort()] for values in found]
