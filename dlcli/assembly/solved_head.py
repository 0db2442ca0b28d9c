"""Solve a linear head on the features of a frozen backbone, from which `finetune=auto` starts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.assembly.feature_cache import report_progress
from dlcli.assembly.head_choice import solves_head
from dlcli.assembly.parts import Parts
from dlcli.datasets.data import Data
from dlcli.events import Listener
from dlcli.formatting import counted
from dlcli.inference.evaluation import choose_device
from dlcli.splits.split import Split
from dlcli.tasks.base import Task
from dlcli.tracking.places import FEATURES_DIR
from dlcli.training.features import Features
from dlcli.training.fields import Field
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network
from dlcli.training.path_penalties import first_penalty
from dlcli.training.penalty_path import PenaltyPath, rows_of_a_piece, solve_pieces

# The path of penalties ends when the loss of the judged rows is above the lowest one by this share of it.
_RISE = 0.05

# Without validation rows, the penalty is chosen on every fifth training row, and the head solved again on all of them.
_EVERY = 5


class _StandardizedLinear(nn.Module):
    """Linear layer of standardized features, whose penalty does not depend on their scale."""

    is_linear: ClassVar = True

    def __init__(self, mean: Tensor, std: Tensor, outputs: int) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.layer = nn.Linear(len(mean), outputs)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map features `(N, F)` to `(N, outputs)`."""
        return self.layer((features - self.mean) / self.std)

    @torch.no_grad()
    def copy_to(self, layer: nn.Linear) -> None:
        """Set the weights of a layer of features that are not standardized, with the same outputs."""
        weight = self.layer.weight / self.std
        layer.weight.copy_(weight)
        layer.bias.copy_(self.layer.bias - weight @ self.mean)


@dataclass(frozen=True)
class HeadPath:
    """The solutions for one penalty after another on some rows."""

    task: Task
    fields: Mapping[str, Field]
    mean: Tensor
    std: Tensor
    outputs: int
    first: float  # the first penalty, which must not depend on which rows are judged

    def solutions(self) -> Iterator[tuple[float, _StandardizedLinear]]:
        """Yield each penalty and its solution; the object is the same, and changes."""
        head = _StandardizedLinear(self.mean, self.std, self.outputs)
        path, rows = PenaltyPath(head.parameters(), self.first), len(self.fields["y"])
        while not path.is_done:
            (pieces,) = BatchLoader(self.fields, rows_of_a_piece(self.fields), chunk=rows)
            for _ in solve_pieces(path, pieces, Network(head), self.task, torch.Tensor.backward, rows):
                pass
            yield path.facts["penalty"], head

    def best(self, judged: Mapping[str, Field]) -> tuple[float, _StandardizedLinear, float]:
        """Return the best penalty, its solution and loss of other rows."""
        lowest = math.inf
        found: tuple[float, dict[str, Tensor]] = (0.0, {})
        for penalty, head in self.solutions():
            loss = _loss(self.task, head, judged)
            if loss < lowest:
                lowest, found = (
                    loss,
                    (penalty, {name: value.clone() for name, value in head.state_dict().items()}),
                )
            elif loss > lowest * (1 + _RISE):
                break
        head.load_state_dict(found[1])
        return found[0], head, lowest

    def solution(self, penalty: float) -> _StandardizedLinear:
        """Return the solution for a penalty, from those for stronger ones."""
        steps = self.solutions()
        return next(head for found, head in steps if found <= penalty * (1 + 1e-9))


def solve_head(
    config: Mapping[str, Any], parts: Parts, data: Data, split: Split, runs_dir: Path, listen: Listener
) -> dict[str, str]:
    """Solve the head of the network, in place, if its fine-tuning starts so, and return a line for the panel.

    Args:
        config: the run's configuration.
        parts: the parts of the run.
        data: rows of the dataset.
        split: row numbers of the split.
        runs_dir: folder of all runs, where the features are cached.
        listen: receives the progress of the features.
    """
    network = parts.network
    if not getattr(network.finetuning, "solves_head", False):
        return {}
    model: Any = network.model
    device = choose_device(config["trainer"]["accelerator"])
    features = Features(network, parts.preprocessing, data, runs_dir / FEATURES_DIR, device)
    rows = np.concatenate([parts.fitted.rows, split.val])
    features.compute(rows, report_progress(listen, len(features.store.missing(rows))))
    network.to("cpu")
    train: dict[str, Field] = {"features": features.read(parts.fitted.rows), "y": parts.train["y"]}
    mean, std = _moments(train["features"])
    outputs, first = model.head[-1].out_features, first_penalty(len(train["y"]))
    path = partial(HeadPath, parts.task, mean=mean, std=std, outputs=outputs, first=first)
    if parts.val is not None:
        val: dict[str, Field] = {"features": features.read(split.val), "y": parts.val["y"]}
        penalty, head, loss = path(train).best(val)
        told = f"loss {loss:.4g} of the validation rows"
    else:
        every = torch.arange(len(train["y"]))
        inner = {name: _some(values, every[every % _EVERY != 0]) for name, values in train.items()}
        judged = {name: _some(values, every[every % _EVERY == 0]) for name, values in train.items()}
        penalty, _, loss = path(inner).best(judged)
        head = path(train).solution(penalty)
        told = f"loss {loss:.4g} of a fifth of the training rows, before all were used"
    head.copy_to(model.head[-1])
    return {
        "solved": f"head on {counted(features.width, 'feature')} of {counted(len(train['y']), 'row')}, "
        f"penalty {penalty:.4g}: {told}"
    }


def told_of_head(
    config: Mapping[str, Any], history: Sequence[Mapping[str, float]], best_epoch: int
) -> list[str]:
    """Return a sentence on whether fine-tuning was better than the solved head, which is the first epoch."""
    monitor = config["monitor"]
    if not solves_head(config) or not history:
        return []
    first = history[0].get(monitor)
    if first is None:  # there are no validation rows
        return []
    if len(history) == 1:
        return [f"The head was solved on the features of the frozen backbone: {monitor} {first:.4g}."]
    others = [epoch[monitor] for epoch in history[1:] if monitor in epoch]
    if best_epoch == 0:
        best = (max if config["mode"] == "max" else min)(others)
        return [
            f"Fine-tuning did not improve the solved head: {monitor} {first:.4g}, then {best:.4g} at best. "
            "The solved head is kept."
        ]
    return [
        f"Fine-tuning improved the solved head: {monitor} {first:.4g}, then {history[best_epoch][monitor]:.4g} in "
        f"epoch {best_epoch + 1}."
    ]


def _loss(task: Task, head: nn.Module, fields: Mapping[str, Field]) -> float:
    total, network = 0.0, Network(head)
    with torch.no_grad():
        for batch in BatchLoader(fields, rows_of_a_piece(fields)):
            total += float(task.loss(network(batch), batch["y"])) * len(batch["y"])
    return total / len(fields["y"])


def _moments(features: Field) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each feature; 1 where it is constant."""
    sums = torch.zeros(2, features.shape[1], dtype=torch.float64)
    for start in range(0, len(features), 1 << 12):
        some = features[start : start + (1 << 12)].double()
        sums += torch.stack([some.sum(0), some.square().sum(0)])
    mean, squares = sums / len(features)
    std = (squares - mean.square()).clamp_min(0).sqrt()
    return mean.float(), torch.where(std > 1e-6, std, 1.0).float()


def _some(values: Field, rows: Tensor) -> Field:
    return values.index_select(0, rows)
