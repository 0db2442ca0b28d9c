"""Preconditioning of linear models: a change of variables that makes the curvature of the loss about equal in all
directions.

L-BFGS needs many iterations if the inputs are correlated or differ in scale. The Hessian of the loss with respect to
the weights is about `c * G` with `G = mean(x x')`, the same for each output (Boehning, "Multinomial logistic regression
algorithm", 1992, section 2). Losses of windows in units of their own series weight their rows by many orders of
magnitude: their `G` is the mean by these weights. In variables A with `W = (c * G + penalty)**-1/2 A` it is about the
identity. This changes the path to the solution, not the solution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dlcli.distributed.collectives import summed

# Maximum number of inputs: computing their products takes N * inputs**2 operations, like a few evaluations of the loss.
_INPUTS = 1024

# Number of rows per input; more rows would hardly change the mean products.
_ROWS_PER_INPUT = 20

# Bounds of `c`: the first is used for losses without second derivatives; the second bounds saturated outputs from
# below.
_USUAL, _LEAST = 0.1, 0.001


@runtime_checkable
class HasLinearInputs(Protocol):
    """Layer with a weight `(1, inputs, outputs)` and a bias `(1, 1, outputs)`."""

    weight: Tensor
    bias: Tensor

    def linear_inputs(self, x: Tensor) -> Tensor:
        """Return the inputs `(R, inputs)` of a batch; the shape differs if there are several sets of weights."""


@dataclass(frozen=True)
class _Part:
    """Parameter whose rows (columns if `across`) correspond to inputs of the model."""

    parameter: Tensor
    across: bool

    def rows(self, values: Tensor) -> Tensor:
        """Return values of the parameter's shape as `(inputs, outputs)`."""
        if values.ndim == 3:  # one set of weights, `(1, inputs, outputs)`
            return values[0]
        return values.reshape(1, -1) if values.ndim == 1 else values.T if self.across else values

    def values(self, rows: Tensor) -> Tensor:
        """Return `(inputs, outputs)` in the parameter's shape."""
        if self.parameter.ndim == 3:
            return rows.unsqueeze(0)
        return rows.reshape(-1) if self.parameter.ndim == 1 else rows.T if self.across else rows


class Curvature:
    """Mean products of the inputs of a linear model, and the change of variables for a penalty.

    Args:
        parts: the parameters, in the order of the inputs.
        products: `mean(x x')`, `(inputs, inputs)`.
    """

    def __init__(self, parts: Sequence[_Part], products: Tensor) -> None:
        self.parameters = [part.parameter for part in parts]
        self._parts = list(parts)
        self._sizes = [len(part.rows(part.parameter)) for part in parts]
        self._values, self._vectors = torch.linalg.eigh(products)
        self._values.clamp_(min=0)
        self._change = self._back = products

    def set(self, scale: float, penalty: float) -> Tensor:
        """Set the penalty, and return the variables `(inputs, outputs)` of the current weights.

        Args:
            scale: mean second derivative of a row's loss with respect to an output.
            penalty: `penalty / 2` times the sum of squared weights is added to the loss.
        """
        roots = (max(scale, _LEAST) * self._values + penalty).sqrt()
        dtype = self.parameters[0].dtype
        self._change = ((self._vectors / roots) @ self._vectors.T).to(dtype)
        self._back = ((self._vectors * roots) @ self._vectors.T).to(dtype)
        return self._back @ self._stacked(one.detach() for one in self.parameters)

    def apply(self, variables: Tensor) -> None:
        """Set the weights to those of the variables."""
        rows = (self._change @ variables).split(self._sizes)
        for part, values in zip(self._parts, rows, strict=True):
            part.parameter.copy_(part.values(values))

    def gradient(self) -> Tensor:
        """Return the gradient with respect to the variables, from that of the weights."""
        return self._change @ self._stacked(
            [torch.zeros_like(one) if one.grad is None else one.grad for one in self.parameters]
        )

    def _stacked(self, tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([part.rows(values) for part, values in zip(self._parts, tensors, strict=True)])


def curvature_of(model: nn.Module, evaluations: Iterable[Any]) -> Curvature | None:
    """Return the curvature of a model of linear layers or embeddings; None for other models, or with too many inputs.

    Args:
        model: the model; hooks collect the inputs of its layers during `evaluations`.
        evaluations: iterator that evaluates the model on all rows, piece by piece, and returns the weights of a piece's
            rows `(N,)`, by which `products` are means, or None for equal weights.
    """
    layers = [
        layer
        for layer in model.modules()
        if isinstance(layer, nn.Linear | nn.Embedding | HasLinearInputs)
        and layer.weight.requires_grad  # not of a frozen backbone
    ]
    inputs = sum(len(layer.weight) if _is_table(layer) else layer.weight.shape[1] for layer in layers)
    biases = [layer for layer in layers if getattr(layer, "bias", None) is not None]
    parts = [_Part(layer.weight, not _is_table(layer)) for layer in layers]
    parts += [_Part(layer.bias, False) for layer in biases]  # type: ignore[arg-type]
    outputs = {part.rows(part.parameter).shape[1] for part in parts}
    if not 0 < inputs + len(biases) <= _INPUTS or len(outputs) != 1:
        return None
    seen: dict[nn.Module, Tensor] = {}

    def see(layer: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen[layer] = [*given, *named.values()][0]

    hooks = [layer.register_forward_pre_hook(see, with_kwargs=True) for layer in layers]
    products, rows = torch.zeros((), dtype=torch.float64), 0.0
    try:
        for weights in evaluations:
            columns = [_columns(layer, seen[layer]) for layer in layers if layer in seen]
            if len(columns) < len(layers) or any(one.ndim != 2 for one in columns):
                return None
            seen_rows = len(columns[0])
            every = max(1, seen_rows // (_ROWS_PER_INPUT * (inputs + len(biases))))
            columns = [one[::every] for one in columns]
            x = torch.cat([*columns, columns[0].new_ones(len(columns[0]), len(biases))], dim=1)
            if weights is None:
                products, rows = products.to(x.device) + (x.T @ x).double(), rows + len(x)
            else:
                # Rows of several targets are those of one batch row, next to each other.
                own = weights.repeat_interleave(seen_rows // len(weights))[::every].to(x)
                products = products.to(x.device) + (x.T @ (own.unsqueeze(1) * x)).double()
                rows += float(own.sum())
            seen.clear()
    finally:
        for hook in hooks:
            hook.remove()
    count = float(summed(torch.tensor(rows, device=products.device)))
    products = summed(products) / max(count, 1.0)
    return Curvature(parts, products) if bool(products.isfinite().all()) else None


def second_derivative(loss: Any, outputs: Tensor) -> float:
    """Return the mean second derivative of a row's loss with respect to an output, estimated from one random direction.

    Args:
        loss: function of outputs `(N, K)` that returns the mean loss.
        outputs: the outputs, `(N, K)`.
    """
    found = _second_derivatives(loss, outputs)
    if found is None:
        return _USUAL
    value = float(summed(found.sum() * len(outputs) / outputs.numel()))
    return value if 0 < value < float("inf") else _USUAL


def row_weights(loss: Any, outputs: Tensor) -> Tensor | None:
    """Return the second derivative of each row's loss with respect to an output `(N,)`; see `second_derivative`.

    None if the loss has no such derivatives, as an absolute error.
    """
    found = _second_derivatives(loss, outputs)
    weights = None if found is None else found.flatten(1).mean(dim=1) * len(outputs)
    usable = weights is not None and bool(weights.isfinite().all()) and bool((weights > 0).any())
    return weights.clamp(min=0) if weights is not None and usable else None


def _second_derivatives(loss: Any, outputs: Tensor) -> Tensor | None:
    """Return the diagonal of the Hessian `(N, K)`, exact if the loss is a sum over the outputs."""
    outputs = outputs.detach().requires_grad_()
    signs = torch.randint(0, 2, outputs.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    direction = signs.to(outputs)
    try:
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(loss(outputs), outputs, create_graph=True)
            (second,) = torch.autograd.grad((slope * direction).sum(), outputs)
    except RuntimeError:  # the loss is linear, or has no second derivatives
        return None
    return second * direction


def _is_table(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Embedding)


def _columns(layer: nn.Module, given: Tensor) -> Tensor:
    if isinstance(layer, HasLinearInputs):
        return layer.linear_inputs(given.detach())
    if not isinstance(layer, nn.Embedding):
        return given.detach()
    columns = nn.functional.one_hot(given, layer.num_embeddings).to(layer.weight.dtype)
    if layer.padding_idx is not None and columns.ndim == 2:
        columns[:, layer.padding_idx] = 0
    return columns
