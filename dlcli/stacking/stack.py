"""The steps of several training runs, taken together."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.stacking.joint_scores import JointScores
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
from dlcli.training.scores import EpochScores

# Tasks whose loss is that of outputs and targets of rows, and losses that are means over rows.
_TASKS = (Binary, Multiclass, Multilabel, Regression)
_LOSSES = (BinaryCrossEntropy, CrossEntropy, Focal, Huber, MAE, MSE, Quantile)

# The fields of a batch that the stackable models take, and the targets.
_FIELDS = {"x", "x_cat", "y"}

# Packages whose schedules and metrics draw from torch's random numbers only, if at all.
_KNOWN = {"dlcli", "torch", "torchmetrics"}


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
        tuple(tuple(scores.collector_of.items()) for scores in module.scores),
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


def _settle(module: TrainingModule, *_: Any) -> None:
    """Give the network of a training run its weights, which are about to be saved."""
    module.stacked.settle()


def draws_only_torch(module: TrainingModule) -> bool:
    """Return whether nothing in the epochs of a training run can draw from the random numbers of Python or numpy."""
    scheduler: Any = module.schedule and module.schedule.scheduler
    metrics = [metric for scores in module.scores for metric in scores.metrics.values()]
    parts = [*metrics, *(getattr(one, "inner", one) for one in metrics)]
    parts += [scheduler, *getattr(scheduler, "lr_lambdas", [])] if scheduler else []
    return module.stacked.is_read_late and all(_module_of(part).partition(".")[0] in _KNOWN for part in parts)


def _module_of(part: Any) -> str:
    return str(part.__module__)  # of an object, that of its class


def _plain(value: Any) -> Hashable:
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


class Stack:
    """Training runs of one shape, whose steps are taken together.

    Where nothing reads the weights between chunks of steps, a run's own network gets them when it is saved, and the
    stack evaluates the rows at the end of an epoch for all runs together (`StackedPart.is_read_late`).

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
        self._hooks = [module.register_state_dict_pre_hook(_settle) for module in modules]
        train, val = zip(*(module.scores for module in modules), strict=True)
        self._scores = JointScores(train), JointScores(val, in_groups=True)

    @property
    def size(self) -> int:
        """The number of training runs."""
        return len(self.modules)

    def release(self) -> None:
        """Hand the states of the optimizer to the runs, which can then be trained alone, or in another stack."""
        for module, hook in zip(self.modules, self._hooks, strict=True):
            module.stacked.settle()
            hook.remove()
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
            self._hand_weights(k)
            own = [(one, one.members.index(k)) for one in made if k in one.members]
            outputs, y = (
                torch.cat([one.outputs[i] for one, i in own]),
                torch.cat([one.y[i] for one, i in own]),
            )
            losses = [one.loss if are_finite else self._task.loss(one.outputs[i], one.y[i]) for one, i in own]
            try:
                self.modules[k].count(outputs, y, losses, are_finite=are_finite)
            except Exception as error:  # such as a loss that is not finite
                failures[k] = error
        return failures

    def _hand_weights(self, k: int) -> None:
        """Copy the weights of a run into its network, or leave that to the one who reads them."""
        module = self.modules[k]
        module.stacked.late_weights = partial(self._optimizer.write_weights, k)
        if not module.stacked.is_read_late:
            module.stacked.settle()

    @torch.no_grad()
    def score(self, members: Sequence[int]) -> None:
        """Compute the scores of the epoch that has ended for some runs, if nothing reads their outputs by itself."""
        chosen = [k for k in sorted(members) if self.modules[k].stacked.is_read_late]
        if not chosen:
            return
        started = time.perf_counter()
        self._evaluate(chosen)
        train, val = (scores.compute(chosen) for scores in self._scores)
        seconds = (time.perf_counter() - started) / len(chosen)
        for k in chosen:
            groups, found = val.get(k, (None, None))
            self.modules[k].stacked.scored = EpochScores(train[k][1], found, groups, seconds)

    def _evaluate(self, members: Sequence[int]) -> None:
        """Collect the outputs of the validation rows, of runs with equal numbers of rows together."""
        equal: dict[tuple[int, int], list[int]] = defaultdict(list)
        loaders: dict[int, Any] = {k: self.modules[k].val_dataloader() for k in members}
        for k, loader in loaders.items():
            if loader:
                equal[loader.rows, loader.batch_size].append(k)
        for (rows, size), some in equal.items():
            is_whole = some == list(range(self.size))
            index = None if is_whole else torch.tensor(some, device=loaders[some[0]].fields["y"].device)
            for first in range(0, rows, size):
                names = loaders[some[0]].fields
                batch = {
                    n: torch.stack([loaders[k].fields[n][first : first + size] for k in some]) for n in names
                }
                outputs = self._network(batch, Members(index, None))
                for k, own, y in zip(some, outputs, batch["y"], strict=True):
                    self.modules[k].scores[1].update(own, y)

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
