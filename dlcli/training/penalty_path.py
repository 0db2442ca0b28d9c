"""Solve a convex model, such as a linear one, on all rows: one penalty per epoch, from strong to weak."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from dlcli.distributed.collectives import summed
from dlcli.errors import ConfigError, Diverged
from dlcli.preprocessing.ragged import Ragged
from dlcli.tasks.base import Task
from dlcli.training.biases import is_weight
from dlcli.training.class_ratios import ScaledWeights, scaled_by_ratios
from dlcli.training.curvature import Curvature, curvature_of, row_weights, second_derivative
from dlcli.training.fields import Batch, Fields
from dlcli.training.network import Network
from dlcli.training.path_penalties import PENALTY_OF_A_ROW, first_penalty, path_penalties, predict_solution
from dlcli.training.restored_losses import loss_before_restoring

# Maximum number of input values of a piece of the rows, whose outputs and gradients are in memory at the same time.
_NUMBERS = 1 << 26

# The same for rows of unequal length, which are padded to the longest of their piece.
_RAGGED_ROWS = 512

# Maximum number of input or output values that are cached in memory; others are recomputed.
_HELD_NUMBERS = 1 << 27

# Advice on a non-finite loss.
SOLVER_ADVICE = "Scale very large inputs, or train by steps: optimizer=adam callbacks=default."

# Message of torch's L-BFGS if its line search finds no finite step, which is not an error of the model.
_LEFT_THE_NUMBERS = ("without overflow", "list index out of range")
_TOO_LARGE = "the solver found no finite step: its inputs are too large, or differ too much in scale"

# Ratio of each penalty to the previous one, and that for texts, whose validation loss varies more from one to the next.
FACTOR, FACTOR_OF_TEXTS = 0.1, 0.316
# Tolerance, and that for bags of n-grams, whose many weights make iterations slow.
TOLERANCE, TOLERANCE_OF_BAGS = 1e-5, 5e-4

# Minimum number of iterations before convergence is tested.
_FIRST_ITERATIONS = 5


class PenaltyPath(Optimizer):
    """L-BFGS for `loss + penalty / 2 * sum of squared weights`; each step finds the solution for a weaker penalty.

    Each call of `step` starts from the solution for the previous penalty, or, if the curvature of the rows is unknown,
    from a prediction by the last two solutions (`predict_solution`), and ends at the tolerance. An epoch of one step is
    a point of the regularization path (Friedman, Hastie and Tibshirani, "Regularization Paths for Generalized Linear
    Models via Coordinate Descent", 2010, section 2.5), and the best epoch is the penalty with the lowest loss of the
    validation rows. The penalty applies to weights, not to biases. For N rows it equals scikit-learn's
    `LogisticRegression(C=1 / (N * penalty))`, and `Ridge(alpha=N * penalty / 2)` on one standardized target.

    Args:
        params: the parameters, in one group.
        first: the penalty of the first step; None is the power of ten closest to 1000 / rows, at most 1: for many rows,
            stronger penalties only degrade the fit.
        factor: ratio of each penalty to the previous one; None is 0.1, and in runs on texts 0.316.
        last: the last penalty.
        max_iter: iterations per step.
        tolerance: a step ends when two consecutive iterations each lower the penalized loss by at most this share. If
            the curvature of the rows is unknown, steps are shorter and a tenth of it is used. None is 1e-5.
        history_size: number of past gradients that approximate the curvature.
        lr: length of the first trial step of a line search, which does not change the solution.
        class_ratios: share of the log-count ratios in the scales of weights of tokens, `scaled_by_ratios`, by which the
            penalty divides the weights; 0 and None for equal scales. For classes and labels of bags of tokens.
    """

    # Each step uses the loss and the gradient of all training rows.
    takes_all_rows: ClassVar = True
    # Attribute of supported models, and a description for messages.
    takes_models: ClassVar = ("is_linear", "solves linear models, whose outputs are linear in the weights")

    def __init__(
        self,
        params: Any,
        first: Annotated[float, Gt(0)] | None = None,
        factor: Annotated[float, Gt(0), Lt(1)] | None = None,
        last: Annotated[float, Ge(0)] = 1e-6,
        max_iter: Annotated[int, Ge(1)] = 1000,
        tolerance: Annotated[float, Gt(0)] | None = None,
        history_size: Annotated[int, Ge(1)] = 10,
        lr: Annotated[float, Gt(0)] = 1.0,
        class_ratios: Annotated[float, Ge(0), Lt(1)] | None = 0.0,
    ) -> None:
        # Stored in the group, which is part of the state in checkpoints.
        state = {
            "lr": lr, "max_iter": max_iter, "history_size": history_size,
            "first": first, "factor": factor or FACTOR, "last": last,
            "tolerance": tolerance or TOLERANCE,
            "steps": 0, "penalty": math.inf, "objective": 1.0, "iterations": 0,
        }  # fmt: skip
        super().__init__(params, state)
        self.class_ratios = class_ratios or 0.0
        # The prepared rows, which are the same in each step, their curvature, and the mean second derivative of a row's
        # loss with respect to an output, or the scaled weights of tokens; all set by the caller.
        self.pieces: Any = None
        self.scaled: ScaledWeights | None = None
        self.curvature: Curvature | None = None
        self.second_derivative = 1.0

    def start(self, rows: int) -> None:
        """Set the first penalty for a number of rows, unless it is configured."""
        (group,) = self.param_groups
        if group["first"] is None:
            group["first"] = first_penalty(rows)

    @property
    def is_done(self) -> bool:
        """Whether the solution for the last penalty has been found; another step would repeat it."""
        return bool(self.param_groups[0]["penalty"] <= self.param_groups[0]["last"] * (1 + 1e-9))

    @property
    def facts(self) -> dict[str, float]:
        """The penalty of the last step, and the number of its iterations."""
        return {name: float(self.param_groups[0][name]) for name in ("penalty", "iterations")}

    @torch.enable_grad()
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        """Solve for the next penalty. `closure` sets the gradients of the loss and returns it."""
        self.start(PENALTY_OF_A_ROW)
        (group,) = self.param_groups
        penalty = (penalties := path_penalties(group))[-1]
        if self.curvature is None:
            predict_solution(group["params"], self.state, penalties)
        weights = [parameter for parameter in group["params"] if is_weight(parameter)]
        change: Curvature | ScaledWeights | None = self.curvature or self.scaled
        variables = list(group["params"])
        if change is not None:
            changed = (
                change.variables()
                if isinstance(change, ScaledWeights)
                else change.set(self.second_derivative, penalty)
            ).requires_grad_()
            within = {id(parameter) for parameter in change.parameters}
            variables = [changed, *(one for one in variables if id(one) not in within)]
            if change is self.scaled:
                weights = [one for one in weights if id(one) not in within]

        latest: tuple[list[Tensor], Tensor] | None = None

        def penalized() -> Tensor:
            nonlocal latest
            # The solver evaluates its final point again, whose loss and gradients are still available.
            if latest is not None and all(map(torch.equal, latest[0], variables)):
                return latest[1]
            if change is not None:
                with torch.no_grad():
                    change.apply(changed)
            loss = closure()
            with torch.no_grad():
                for weight in weights:
                    if weight.grad is not None:
                        weight.grad.add_(weight, alpha=penalty)
                    loss = loss + penalty / 2 * weight.square().sum()
                if change is not None:
                    changed.grad = change.gradient()
                    if change is self.scaled:
                        changed.grad += penalty * changed
                        loss = loss + penalty / 2 * changed.square().sum()
            latest = [variable.detach().clone() for variable in variables], loss
            return loss

        most, first, share = group["max_iter"], 1.0, group["tolerance"] / 10
        # The first step, whose length is not yet that of the curvature, is taken even if it lowers the loss by little.
        tolerance = 0.0
        if self.curvature is not None:
            share = group["tolerance"]
            tolerance = share * group["objective"]
            # The solver divides its first step by this sum, because the curvature is unknown to it.
            penalized()
            first = max(1.0, sum(float(one.grad.abs().sum()) for one in variables if one.grad is not None))
        # Use a new solver for each penalty: the curvature estimate of another one would mislead the first iterations.
        solver = LBFGS(
            variables,
            lr=group["lr"] * first,
            max_iter=1,
            max_eval=2 * most,
            tolerance_grad=1e-7,
            tolerance_change=tolerance,
            history_size=group["history_size"],
            line_search_fn="strong_wolfe",
        )
        iterations = 0
        while iterations < most:
            try:
                solver.step(penalized)
            except (RuntimeError, IndexError) as error:
                if any(words in str(error) for words in _LEFT_THE_NUMBERS):
                    raise Diverged(_TOO_LARGE, where="optimizer", hint=SOLVER_ADVICE) from error
                raise
            before, iterations = iterations, solver.state[variables[0]]["n_iter"]
            asked, loss = solver.param_groups[0]["tolerance_change"], float(penalized())
            # The loss may have fallen to a fraction of that of the last solution, to which the tolerance is relative.
            exact = asked <= 2 * share * abs(loss)
            solver.param_groups[0] |= {
                "lr": group["lr"], "max_iter": most - iterations, "tolerance_change": share * abs(loss),
            }  # fmt: skip
            # The first iterations lack curvature information and may be short, so that several have to agree.
            if iterations == before or (
                exact and iterations == before + 1 and iterations >= _FIRST_ITERATIONS
            ):
                break
        solution = penalized()
        group |= {
            "steps": group["steps"] + 1, "penalty": penalty, "objective": float(solution), "iterations": iterations,
        }  # fmt: skip
        return solution


def solve_pieces(
    optimizer: Optimizer,
    pieces: Any,
    network: Network,
    task: Task,
    backward: Callable[[Tensor], None],
    rows: int,
    ranks: int = 1,
) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """Perform the step of an optimizer that uses all rows; loss and gradient are sums over the pieces.

    Args:
        optimizer: the optimizer.
        pieces: batches that together contain all rows (of this process, if there are several).
        network: network that maps a batch to outputs.
        task: task that computes the loss.
        backward: function that computes the gradients of a loss, averaged over the processes.
        rows: number of all rows.
        ranks: number of processes.

    Returns:
        Outputs, targets and loss of each piece at the solution; re-evaluated piece by piece if there are many.

    Raises:
        Diverged: the loss or its gradient is not finite.
    """
    path = optimizer if isinstance(optimizer, PenaltyPath) else None
    if path is not None and path.pieces is not None:
        pieces, held = path.pieces, True
    elif held := _numbers_of(pieces, next(iter(pieces))) <= _HELD_NUMBERS:
        pieces = [network.prepare(piece) for piece in pieces]
        solving: Any = getattr(network.model, "for_solving", None)
        pieces = solving(pieces) if solving is not None else pieces
    first = next(iter(pieces))
    if path is not None:
        path.pieces = pieces if held else None
        path.start(rows)
        with torch.no_grad(), torch.autocast(first["y"].device.type, enabled=False):
            measure(path, pieces, network, task, held)
    latest: list[tuple[Tensor, Tensor, Tensor]] = []
    keeps, is_first, value = True, True, 0.0

    def closure() -> Tensor:
        nonlocal keeps, is_first, value
        optimizer.zero_grad()
        latest.clear()
        total = torch.zeros((), device=first["y"].device)
        for piece in pieces:
            outputs = network(piece, prepared=held)
            loss = task.loss(outputs, piece["y"])
            share = len(piece["y"]) * ranks / rows
            backward(loss * share)
            total += loss.detach() * share
            keeps = keeps and len(pieces) * outputs.numel() <= _HELD_NUMBERS
            if keeps:
                latest.append((outputs.detach(), piece["y"], loss.detach()))
        total = summed(total) / ranks  # the line searches of all processes use the same values
        value = float(total)
        if is_first and not math.isfinite(value):
            raise _diverged(value)
        is_first = False
        return total

    # A line search compares losses that differ by less than reduced precision resolves.
    with torch.autocast(first["y"].device.type, enabled=False):
        try:
            optimizer.step(closure)  # type: ignore[arg-type]
        except RuntimeError as error:  # raised by torch for a step with non-finite numbers
            gradients = [
                p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
            ]
            if math.isfinite(value) and all(bool(gradient.isfinite().all()) for gradient in gradients):
                raise
            raise _diverged(value) from error
    return latest if keeps else _evaluations(pieces, network, task, held)


def _evaluations(
    pieces: Any, network: Network, task: Task, held: bool
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield outputs, targets and loss of each piece, because those of all pieces may not fit into memory."""
    for piece in pieces:
        with torch.no_grad(), torch.autocast(piece["y"].device.type, enabled=False):
            outputs = network(piece, prepared=held)
            evaluation = outputs, piece["y"], task.loss(outputs, piece["y"])
        yield evaluation


def measure(optimizer: PenaltyPath, pieces: Any, network: Network, task: Task, held: bool) -> None:
    """Set scales or curvature of the rows (once for all penalties), and the second derivative at these weights."""
    if optimizer.class_ratios and optimizer.scaled is None:
        optimizer.scaled = scaled_by_ratios(network.model, pieces, optimizer.class_ratios)
        if optimizer.scaled is None:
            raise ConfigError(
                "only bags of tokens with classes or labels have ratios of classes",
                where="optimizer.class_ratios",
                hint="Use optimizer.class_ratios=0.",
            )
    if optimizer.scaled is not None:
        return
    if optimizer.curvature is None:
        found = (loss_before_restoring(network, task, piece, held) for piece in pieces)
        # Only the losses of windows, in units of their own, have very different curvatures.
        weigh = row_weights if hasattr(network.on_device, "restore") else lambda *_: None
        optimizer.curvature = curvature_of(network.model, (weigh(*one) for one in found))
    if optimizer.curvature is not None:
        one = loss_before_restoring(network, task, next(iter(pieces)), held)
        optimizer.second_derivative = second_derivative(*one)


def _diverged(loss: float) -> Diverged:
    reason = f"loss became {loss}" if not math.isfinite(loss) else "loss has a gradient that is not finite"
    return Diverged(f"the training {reason}, of all rows", where="train/loss", hint=SOLVER_ADVICE)


def _numbers_of(pieces: Any, first: Batch) -> int:
    """Return the total number of values of all pieces, including padding to the longest row of each piece."""
    if "lengths" not in first:
        return len(pieces) * sum(values.numel() for values in first.values())
    return sum(values.numel() for piece in pieces for values in piece.values())


def rows_of_a_piece(fields: Fields) -> int:
    """Return the number of rows per piece; the losses of all pieces are summed."""
    shapes = [field.shape[1:] for field in fields.values()]
    ragged = [field for field in fields.values() if isinstance(field, Ragged)]
    longest = max((int(field.lengths.max()) for field in ragged), default=1)
    numbers = sum(math.prod(size or longest for size in shape) for shape in shapes)
    rows = max(1, _NUMBERS // numbers)
    return min(rows, _RAGGED_ROWS if ragged else rows, len(next(iter(fields.values()))))
