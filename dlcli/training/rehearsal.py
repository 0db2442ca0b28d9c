"""Train a few batches before the run, to find errors and to estimate time, memory and disk space."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from pytorch_lightning.plugins.precision import Precision
from torch import Tensor
from torch.optim import Optimizer

from dlcli.datasets.notices import Notice
from dlcli.errors import ConfigError
from dlcli.models.forest import Forest
from dlcli.tasks.base import Task
from dlcli.training import out_of_memory
from dlcli.training.fields import Batch, Field, Fields, judged_rows
from dlcli.training.frozen import frozen_names
from dlcli.training.grow_trees import GrowTrees
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network
from dlcli.training.penalty_path import PenaltyPath, measure
from dlcli.training.recipe import Recipe
from dlcli.training.returned_values import (
    check_augmentation,
    check_groups,
    check_loss,
    check_not_nan,
    check_outputs,
    rehearse_metrics,
)
from dlcli.training.step_plan import plan_steps
from dlcli.training.turns import Turns
from dlcli.training.user_errors import blamed_on, left_unchanged

# Maximum number of timed steps, and seconds after which no further one is started.
_STEPS, _SECONDS = 50, 1.0


@dataclass(frozen=True)
class Rehearsal:
    """Estimates for a training run from a few batches.

    Attributes:
        device: device on which the batches were trained.
        parameters: number of the model's parameters.
        trainable: number of trained parameters.
        steps_per_epoch: number of optimizer steps per epoch.
        seconds_per_epoch: seconds per epoch including validation, estimated from a few steps.
        memory: bytes in use at the same time: `weights`, `gradients`, the `optimizer`'s state, `data`, and for a
            `batch` the activations kept for the backward pass (on a GPU the measured peak).
        disk: bytes that a single run leaves on disk: the best weights and the last full state.
        disk_peak: bytes required while each of them is written next to its predecessor.
        runs: number of runs whose checkpoints are on the disk at the end: folds, and a refitted model.
        features_seconds: seconds to compute a frozen backbone's features before the first epoch, if they are cached.
        features_bytes: size of these features on disk in bytes.
        model: maximum size of a model of trees in words; empty for others.
        seconds_per_row: seconds to evaluate a validation row, from at least one batch.
        images: number of images generated after training, one per validation and test row; 0 for tasks that predict
            rows.
        judge_seconds: seconds to train the classifier that evaluates these images.
        batches: description of the batches, if they have a number of tokens.
        notices: reports of what is left out, cut or converted in reading and preprocessing.
        automatic: key to the value that was chosen for `auto`, with the reason.
    """

    device: str
    parameters: int
    trainable: int
    steps_per_epoch: int
    seconds_per_epoch: float
    memory: dict[str, int]
    disk: int
    disk_peak: int
    features_seconds: float = 0.0
    features_bytes: int = 0
    notices: tuple[Notice, ...] = ()
    automatic: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    seconds_per_row: float = 0.0
    images: int = 0
    judge_seconds: float = 0.0
    runs: int = 1
    batches: str = ""

    def room_for(self, runs: int) -> int:
        """Return the bytes that a number of runs needs, whose checkpoints are kept until all have ended."""
        return (runs - 1) * self.disk + self.disk_peak


def rehearse(
    network: Network,
    task: Task,
    train: Fields,
    val: Fields | None,
    recipe: Recipe,
    *,
    timed: bool = True,
) -> Rehearsal:
    """Train the network for a few batches, in place, on the recipe's device and with its precision.

    Args:
        network: the network.
        task: its task.
        train: the training rows.
        val: the validation rows, if there are any.
        recipe: settings of the training.
        timed: whether to repeat a step to measure its time, which takes up to a second.

    Raises:
        ConfigError: the model, the loss or the optimizer fails, or a batch does not fit into memory.
    """
    trainer, batch_size = recipe.make_trainer(logger=False, enable_checkpointing=False), recipe.batch_size
    device, precision = trainer.strategy.root_device, trainer.precision_plugin
    loader = BatchLoader(train, batch_size, join_single=True, tokens=recipe.batch_tokens)
    plan = plan_steps(loader, recipe.trainer_arguments, recipe.callbacks)
    with _enough_memory(network, task, train, recipe, device):
        task.to(device)
        precision.convert_module(network.to(device)).train()
        optimizer = recipe.make_optimizer(network.trained_parameters())
        check_groups(optimizer)
        step = partial(rehearse_step, network, task, optimizer, precision)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        forest, grown = isinstance(optimizer, GrowTrees), (0.0, 1.0)
        with _kept_for_backward(network) as kept:
            first = _batch(loader, 0, device)  # the longest rows, if rows differ in length
            if isinstance(optimizer, GrowTrees):
                grown = optimizer.time_a_part(first, network, task)
            else:
                if isinstance(
                    optimizer, PenaltyPath
                ):  # as in training: without it, the search fails for large inputs
                    with torch.no_grad():
                        measure(optimizer, [first], network, task, held=False)
                step(first, is_first=True)
        sizes = {
            "weights": _bytes((*network.parameters(), *network.buffers())),
            "gradients": _bytes(p.grad for p in network.parameters() if p.grad is not None),
            "optimizer": _bytes(_tensors(optimizer.state_dict())),
        }
        batches = sum(kept.values())
        if device.type == "cuda":
            batches = max(0, torch.cuda.max_memory_allocated(device) - sum(sizes.values()))
        sizes |= {"batch": batches, "data": sum(map(_held, (*train.values(), *(val or {}).values())))}
        typical = _batch(loader, loader.batches // 2, device)
        # A step of a solver takes as long as many ordinary steps.
        steps = _STEPS if timed and not recipe.takes_all_rows else 1
        seconds = grown[0] if forest else _seconds(partial(step, typical), device, steps) * plan.batches
        if recipe.augment is not None:
            check_augmentation(recipe.augment, network, first)
        if not forest:
            rehearse_metrics(network, task, first)
        judging, judged = 0.0, 1
        if val is not None:
            val = judged_rows(task, val)
            judged = len(val["y"])
            judging = _validation(
                network,
                task,
                BatchLoader(val, network.evaluation_rows(batch_size), bounded=True),
                precision,
                device,
            )
        seconds += judging
    saved = network.model.state_dict()
    if isinstance(network.model, Forest):
        # scikit-learn allocates a copy of the rows in double precision, their bins and gradients.
        sizes["optimizer"] = 9 * len(train["y"]) * math.prod(train["x"].shape[1:])
        sizes["optimizer"] += 40 * len(train["y"]) * network.model.num_outputs
        sizes["weights"] = int(sizes["weights"] * grown[1])
    weights = int(_bytes(saved.values()) * grown[1])
    changing = weights - _bytes(saved[name] for name in frozen_names(network))
    # The best weights are stored in the model's folder; the last state contains the trained weights and the optimizer's
    # state.
    state = changing + (0 if forest else sizes["optimizer"])
    return Rehearsal(
        device=str(device),
        parameters=sum(p.numel() for p in network.parameters()),
        model=network.model.size_words() if isinstance(network.model, Forest) else "",
        trainable=sum(p.numel() for p in network.parameters() if p.requires_grad),
        steps_per_epoch=plan.steps(0),
        seconds_per_epoch=seconds,
        seconds_per_row=judging / judged,
        batches=loader.by_tokens.described() if loader.by_tokens else "",
        memory=sizes,
        disk=weights + state,
        disk_peak=max(2 * (changing + state), weights + changing + state),
    )


def _batch(loader: BatchLoader, number: int, device: torch.device) -> Batch:
    # Copy, because slices of the rows would keep the memory of all rows.
    return {name: values.to(device, copy=True) for name, values in loader.batch(number).items()}


def rehearse_step(
    network: Network,
    task: Task,
    optimizer: Optimizer,
    precision: Precision,
    batch: Batch,
    is_first: bool = False,
) -> None:
    """Perform one optimizer step; the first is checked for NaN, and errors name the section that causes them."""
    inputs = {name: values for name, values in batch.items() if name != "y"}
    with precision.train_step_context(), blamed_on("model", network.model, inputs):
        if (turns := task.turns(network, batch)) is not None:
            Turns().take(network.model, turns, optimizer, batch)
            return

    def closure() -> Tensor:
        optimizer.zero_grad()
        with precision.train_step_context():
            loss, outputs = task.step(_Watched(network, task.output_shape(batch["y"])), batch)
        if task.keeps_outputs:
            check_loss(loss, task)
            if is_first:
                check_not_nan(loss, outputs, task, network)
        with blamed_on("model", network.model, inputs):
            loss.backward()
        return loss.detach()

    with blamed_on("optimizer", optimizer, {}):
        optimizer.step(closure)  # type: ignore[arg-type]


class _Watched:
    """Network for `Task.step` with errors that attribute a failure to the model or the loss, with its inputs."""

    def __init__(self, network: Network, wanted: tuple[int, ...]) -> None:
        self.model = network.model
        self._network = network
        self._wanted = f"Outputs should be of shape {wanted}."

    def __call__(self, batch: Batch) -> Any:
        inputs = {name: values for name, values in batch.items() if name != "y"}
        model = self._network.model
        with blamed_on("model", model, inputs, self._wanted), left_unchanged("model", model, inputs):
            return self._network(batch)

    def loss(self, task: Task, outputs: Any, y: Tensor) -> Tensor:
        where, what = "model", cast("object", task)
        if task.keeps_outputs:
            check_outputs(outputs, task.output_shape(y), self._network, self._wanted)
            where, what = "task.loss", task.criterion
        given = {"outputs": outputs, "y": y}
        with blamed_on(where, what, given, self._wanted), left_unchanged(where, what, {"y": y}):
            return self._network.loss(task, outputs, y)


def _seconds(step: Callable[[], None], device: torch.device, steps: int) -> float:
    """Return the median time of a few steps, after one step of warm-up."""
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < steps and time.perf_counter() - started < _SECONDS:
        before = time.perf_counter()
        step()
        _wait(device)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def _validation(
    network: Network, task: Task, loader: BatchLoader, precision: Precision, device: torch.device
) -> float:
    """Estimate the seconds of validation, from one batch."""
    batch = _batch(loader, loader.batches // 2, device)
    network.eval()
    with torch.no_grad(), precision.val_step_context(), blamed_on("model", network.model, batch):
        before = time.perf_counter()
        task.evaluated(network, batch, batch["y"], task.epoch_metrics)
        _wait(device)
    return (time.perf_counter() - before) * loader.rows / len(batch["y"])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _kept_for_backward(network: Network) -> Iterator[dict[int, int]]:
    """Yield the bytes of the storages saved by autograd, without the weights."""
    known = {t.untyped_storage().data_ptr() for t in (*network.parameters(), *network.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


@contextmanager
def _enough_memory(
    network: Network, task: Task, train: Fields, recipe: Recipe, device: torch.device
) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not out_of_memory.is_out_of_memory(error):
            raise
        sizes = recipe.batch_size, device, recipe.batch_tokens
        found = out_of_memory.out_of_memory_error(network, task, train, *sizes)
        raise ConfigError(found.problems) from error


def _tensors(state: Any) -> Iterator[Tensor]:
    """Yield all tensors of an optimizer's state, at any depth."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _tensors(value)


def _held(field: Field) -> int:
    """Return the bytes of a field in memory: 0 if its rows are read on demand."""
    return getattr(field, "nbytes", 0)


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, Tensor))
