"""Grow the trees of a forest in parts, one per epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torch.optim import Optimizer

from dlcli.errors import ConfigError
from dlcli.models.forest import Forest
from dlcli.models.tree_rows import Grower, Rows
from dlcli.tasks.base import Task
from dlcli.training.fields import Batch
from dlcli.training.network import Network

# Number of parts of a boosted forest, each followed by validation, and number of iterations that take as long as
# starting one part.
_PARTS, _PART_COSTS = 10, 5


class GrowTrees(Optimizer):
    """Optimizer that grows trees on all training rows with scikit-learn and adds them to a `Forest`; each step adds
    iterations.

    Args:
        params: the parameters, in one group; the forest's trees are not parameters.
        iterations_per_epoch: boosting iterations, or trees of a random forest, per epoch; None is a tenth of the
            boosting iterations, or the complete random forest.
    """

    # A step uses all training rows.
    takes_all_rows: ClassVar = True
    grows_trees: ClassVar = True
    takes_models: ClassVar = ("is_forest", "grows decision trees")

    def __init__(self, params: Any, iterations_per_epoch: Annotated[int, Ge(1)] | None = None) -> None:
        # Stored in the group, which is part of the state in checkpoints.
        state = {
            "lr": 1.0, "per_epoch": iterations_per_epoch, "steps": 0, "iterations": 0, "leaves": 0, "done": False,
        }  # fmt: skip
        super().__init__(params, state)
        self._grower: Grower | None = None
        # For each piece of rows: the number of evaluated iterations, and the sums of their values.
        self._sums: dict[Hashable, tuple[int, np.ndarray]] = {}

    @property
    def is_done(self) -> bool:
        """Whether all iterations are grown."""
        return bool(self.param_groups[0]["done"])

    def epochs(self, model: Forest) -> int:
        """Return the number of epochs in which the complete forest is grown."""
        return -(-model.total // self._per_epoch(model))

    @property
    def facts(self) -> dict[str, float]:
        """The numbers of iterations and of leaves so far."""
        return {name: float(self.param_groups[0][name]) for name in ("iterations", "leaves")}

    def step(self, closure: Callable[[], Tensor] | None = None) -> Any:  # type: ignore[override]
        """Raise an error: trees are grown from rows (`solve`), not from the gradient of a loss."""
        raise NotImplementedError("trees are grown by `solve`")

    @torch.no_grad()
    def solve(
        self,
        pieces: Iterable[Batch],
        network: Network,
        task: Task,
        ranks: int = 1,
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Grow the next trees, and return outputs, targets and loss of each piece.

        Args:
            pieces: batches that together contain all rows.
            network: network whose model is a forest.
            task: task that computes the loss.
            ranks: number of processes.

        Raises:
            ConfigError: there are several processes, each with a part of the rows.
        """
        if ranks > 1:
            raise ConfigError("trees are grown in one process", "trainer.devices", "Use trainer.devices=1.")
        model = _forest(network)
        (group,) = self.param_groups
        batches = [network.prepare(piece) for piece in pieces]
        if self._grower is None:
            x, y = (torch.cat([batch[name] for batch in batches]) for name in ("x", "y"))
            self._grower = model.grower(Rows(as_double(x), y.cpu().numpy(), task.criterion))
            for step in range(group["steps"]):  # steps of a checkpoint, whose trees the model has
                self._grower.grow(self.iterations_after(model, step + 1))
        end = self.iterations_after(model, group["steps"] + 1)
        model.add(self._grower.grow(end))
        if not group["steps"]:
            self._grower.begin()
        done = end >= model.total
        group |= {"steps": group["steps"] + 1, "iterations": end, "leaves": model.leaves, "done": done}
        solved = []
        for number, batch in enumerate(batches):
            outputs = self._outputs(("train", number), model, batch["x"])
            solved.append((outputs, batch["y"], task.loss(outputs, batch["y"])))
        return solved

    @torch.no_grad()
    def outputs(self, network: Network, batch: Batch, number: int) -> Tensor:
        """Return the outputs for a batch of validation rows; only new trees are evaluated."""
        model = _forest(network)
        return self._outputs(("val", number), model, network.prepare(batch)["x"])

    def _outputs(self, key: Hashable, model: Forest, x: Tensor) -> Tensor:
        assert self._grower is not None
        walked, sums = self._sums.get(key, (0, np.zeros((len(x), model.num_outputs))))
        self._grower.add_to(sums, as_double(x), walked, model.iterations)
        self._sums[key] = model.iterations, sums
        # Apple's devices have no double precision.
        found = torch.from_numpy(sums).to(torch.float32 if x.device.type == "mps" else torch.float64)
        return model.outputs(found.to(x.device), model.iterations)

    def time_a_part(self, batch: Batch, network: Network, task: Task) -> tuple[float, float]:
        """Grow three iterations, and return two estimates: seconds per epoch, and the ratio of the complete forest's
        size to theirs.

        Args:
            batch: all training rows.
            network: network whose model is a forest.
            task: task that computes the loss.
        """
        model = _forest(network)
        (group,) = self.param_groups
        given, group["per_epoch"] = group["per_epoch"], 1
        self.solve([batch], network, task)
        group["per_epoch"] = 3
        group["steps"] = 0
        before = time.perf_counter()
        self.solve([batch], network, task)
        seconds = time.perf_counter() - before
        group["per_epoch"] = given
        own = 0 if model.in_one_epoch else _PART_COSTS
        each = seconds / (2 + own)
        return each * (self._per_epoch(model) + own), model.total / model.iterations

    def _per_epoch(self, model: Forest) -> int:
        given = self.param_groups[0]["per_epoch"]
        return int(given) if given else model.total if model.in_one_epoch else -(-model.total // _PARTS)

    def iterations_after(self, model: Forest, steps: int) -> int:
        """Return the number of iterations after a number of steps."""
        return min(steps * self._per_epoch(model), model.total)


def _forest(network: Network) -> Forest:
    """Return the forest of a network.

    Raises:
        ConfigError: its model is not a forest.
    """
    if not isinstance(network.model, Forest):
        name = type(network.model).__name__
        raise ConfigError(
            f"{name} is not a dlcli.models.forest.Forest",
            "model",
            "Derive it from Forest.",
        )
    return network.model


def as_double(x: Tensor) -> np.ndarray:
    """Return rows in double precision, as required by scikit-learn."""
    return x.detach().cpu().double().numpy()
