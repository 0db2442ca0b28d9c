"""The steps of several training runs, taken together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.stacking.stacked_layers import Members, Unstackable, shape_of, stacked
from dlcli.stacking.stacked_optimizer import StackedOptimizer, optimizer_shape
from dlcli.tasks.base import Task
from dlcli.tasks.batch_steps import BatchSteps
from dlcli.tasks.binary import Binary
from dlcli.tasks.losses import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Focal, Huber, Quantile
from dlcli.tasks.multiclass import Multiclass
from dlcli.tasks.multilabel import Multilabel
from dlcli.tasks.regression import Regression
from dlcli.training.due_steps import DueSteps
from dlcli.training.module import TrainingModule
from dlcli.training.network import Network

# Tasks whose loss is that of outputs and targets of rows, and losses that are means over rows.
_TASKS = (Binary, Multiclass, Multilabel, Regression)
_LOSSES = (BinaryCrossEntropy, CrossEntropy, Focal, Huber, MAE, MSE, Quantile)

# The fields of a batch that the stackable models take, and the targets.
_FIELDS = {"x", "x_cat", "y"}


def stack_shape(module: TrainingModule) -> Hashable:
    """Return what training runs must have in common for their steps to be taken together.

    Numbers of rows, seeds, learning rates, weight decays and dropout rates may differ.

    Raises:
        Unstackable: the training run has a part that cannot be computed for several networks at once.
    """
    network, task, recipe = module.network, module.task, module.recipe
    if any((recipe.augment, recipe.averaging, recipe.takes_all_rows)):
        raise Unstackable("augmentation, averaged weights, or an optimizer of all rows")
    if network.finetuning is not None or network.on_device is not None or network.members > 1:
        raise Unstackable("a network with parts besides its layers")
    fields: Mapping[str, Any] = module.train_dataloader().fields
    if not set(fields) <= _FIELDS or not all(type(values) is Tensor for values in fields.values()):
        raise Unstackable(f"batches with {', '.join(sorted(fields))}")
    kinds = {name: (values.dtype, values.device, values.shape[1:]) for name, values in fields.items()}
    optimizer: Any = module.optimizers(use_pl_optimizer=False)
    return (
        shape_of(network.model),
        tuple(sorted(kinds.items())),
        optimizer_shape(optimizer, list(network.model.parameters())),
        _loss_shape(task, network),
    )


def _loss_shape(task: Task, network: Network) -> Hashable:
    criterion: Any = task.criterion
    has_own_step = type(task).step is not BatchSteps.step or not task.judges_training_rows
    if type(task) not in _TASKS or type(criterion) not in _LOSSES or has_own_step:
        raise Unstackable(f"the loss {type(criterion).__name__} of {type(task).__name__}")
    settings = {k: v for k, v in vars(criterion).items() if not k.startswith("_") and k != "training"}
    weights = getattr(criterion, "weights", None)  # of classes, which may follow from the training rows
    return (
        type(task).__name__,
        type(criterion).__name__,
        tuple(sorted((name, _plain(value)) for name, value in settings.items())),
        None if weights is None else tuple(weights.flatten().tolist()),
        task.num_outputs,
    )


def _plain(value: Any) -> Hashable:
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


class Stack:
    """Training runs of one shape, whose steps are taken together.

    Between chunks of steps, each run's own network has its weights, so that it is validated and saved by itself.

    Args:
        modules: the training runs, of equal `stack_shape`, whose optimizers have been created.
    """

    def __init__(self, modules: Sequence[TrainingModule]) -> None:
        self.modules = list(modules)
        optimizers: list[Any] = [module.optimizers(use_pl_optimizer=False) for module in modules]
        self._optimizer = StackedOptimizer(optimizers)
        models = [module.network.model for module in modules]
        self._network = stacked(models, self._optimizer.leaf)
        self._task = modules[0].task
        self._drops = any(isinstance(part, nn.Dropout) for part in models[0].modules())

    @property
    def size(self) -> int:
        """The number of training runs."""
        return len(self.modules)

    def release(self) -> None:
        """Hand the states of the optimizer to the runs, which can then be trained alone, or in another stack."""
        self._optimizer.release()

    def take(
        self, due: Mapping[int, DueSteps], random: Mapping[int, torch.Generator]
    ) -> dict[int, Exception]:
        """Take a chunk of steps of some runs, and return the error of each run that failed by itself.

        Args:
            due: their steps, by the numbers of the runs in this stack.
            random: their random numbers for dropout.
        """
        # In the order of the stacked weights, which differs from that in which runs became due.
        chunk = _Batches({k: _rows_of(due[k]) for k in sorted(due)})
        failures: dict[int, Exception] = {}
        made: list[_Made] = []
        for step in range(chunk.steps):
            taking: list[int] = []
            for members, batch in chunk.of(step):
                made.append(self._differentiate(members, batch, random, adds=bool(taking)))
                taking += members
            self._optimizer.step(taking)
            for k in taking:
                self.modules[k].end_step()
        are_finite = bool(torch.isfinite(torch.stack([one.loss for one in made])).all())
        for k in due:
            self._optimizer.write_weights(k)
            own = [(one, one.members.index(k)) for one in made if k in one.members]
            outputs, y = (
                torch.cat([one.outputs[i] for one, i in own]),
                torch.cat([one.y[i] for one, i in own]),
            )
            losses = [one.loss if are_finite else self._task.loss(one.outputs[i], one.y[i]) for one, i in own]
            try:
                self.modules[k].count(outputs, y, losses)
            except Exception as error:  # such as a loss that is not finite
                failures[k] = error
        return failures

    def _differentiate(
        self,
        members: list[int],
        batch: dict[str, Tensor],
        random: Mapping[int, torch.Generator],
        *,
        adds: bool,
    ) -> _Made:
        """Compute the gradients of some networks; with `adds`, those of others stay."""
        is_whole = members == list(range(self.size))
        index = None if is_whole else torch.tensor(members, device=batch["y"].device)
        generators = [random[k] for k in members] if self._drops else []
        outputs = self._network(batch, Members(index, generators))
        y = batch["y"]
        if isinstance(
            self._task.criterion, CrossEntropy
        ):  # divides by the rows, others multiply by their inverse
            loss = self._task.loss(outputs.flatten(0, 1), y.flatten(0, 1)) * len(members)
        else:
            loss = torch.stack([self._task.loss(*own) for own in zip(outputs, y, strict=True)]).sum()
        self._optimizer.differentiate(loss, adds=adds)
        return _Made(members, outputs.detach(), y, loss.detach())


@dataclass(frozen=True)
class _Made:
    """What M networks made of a step's batches: outputs and targets `(M, N, ...)`, and the sum of their losses."""

    members: list[int]
    outputs: Tensor
    y: Tensor
    loss: Tensor


@dataclass(frozen=True)
class _Rows:
    """The rows of a run's chunk in the order of its steps, and where the rows of each step begin and end."""

    fields: dict[str, Tensor]
    bounds: list[tuple[int, int]]


def _rows_of(steps: DueSteps) -> _Rows:
    rows, bounds = steps.chunk.rows()
    fields: Mapping[str, Any] = steps.module.train_dataloader().fields
    return _Rows({name: values.index_select(0, rows) for name, values in fields.items()}, bounds)


class _Batches:
    """The batches of a chunk of each of some networks."""

    def __init__(self, rows: Mapping[int, _Rows]) -> None:
        self._rows = rows
        self.steps = max(len(one.bounds) for one in rows.values())
        # In most steps all batches have one size; their rows are joined at once.
        every = [one.bounds for one in rows.values()]
        equal = [len(set(bounds)) == 1 for bounds in zip(*every, strict=False)]
        self._equal = equal.index(False) if False in equal else len(equal)
        self._end = every[0][self._equal - 1][1] if self._equal else 0
        self._joined = self._join(list(rows), 0, self._end) if self._equal else {}

    def _join(self, members: Sequence[int], first: int, end: int) -> dict[str, Tensor]:
        names = self._rows[members[0]].fields
        return {name: torch.stack([self._rows[k].fields[name][first:end] for k in members]) for name in names}

    def of(self, step: int) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Yield the networks with batches of equal size in a step, and their rows `(M, N, ...)`."""
        equal: dict[tuple[int, int], list[int]] = defaultdict(list)
        for k, one in self._rows.items():
            if step < len(one.bounds):
                equal[one.bounds[step]].append(k)
        for (first, end), members in equal.items():
            if step < self._equal:
                yield members, {name: values[:, first:end] for name, values in self._joined.items()}
            else:
                yield members, self._join(members, first, end)
