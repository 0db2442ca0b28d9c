"""Layers of K networks of one shape, computed together.

A stacked layer maps `(M, N, ...)` to `(M, N, ...)`: N rows of each of M of the K networks. `shape_of` says which
networks have one shape, and `stacked` builds their common layers, whose parameters have a leading axis of K.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dlcli.models.layers import CategoryVectors, Residual
from dlcli.models.linear import Linear
from dlcli.models.mlp import MLP

# Activations, with the attributes that change their result.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.ReLU: (),
    nn.LeakyReLU: ("negative_slope",),
    nn.ELU: ("alpha",),
    nn.GELU: ("approximate",),
    nn.SiLU: (),
    nn.Tanh: (),
    nn.Sigmoid: (),
    nn.Identity: (),
}


# Multiplications below which torch computes batched products by its own loop (`bmm` in LinearAlgebra.cpp).
_SMALL = 400


# Activations that do not round.
_EXACT = (nn.ReLU, nn.LeakyReLU, nn.Identity)

# A multiple of the numbers that torch's kernels compute at once.
_VECTORS = 64


class Unstackable(Exception):
    """A network or its training has a part, named by the message, that has no form for several networks at once."""


@dataclass(frozen=True)
class Members:
    """The M networks that a step computes.

    Attributes:
        index: their numbers `(M,)`; None for all networks.
        generators: of each of them, for dropout; None for an evaluation, without dropout.
    """

    index: Tensor | None
    generators: Sequence[torch.Generator] | None

    def of(self, stacked: Tensor) -> Tensor:
        """Return their part of a stacked parameter `(K, ...)`."""
        return stacked if self.index is None else stacked.index_select(0, self.index)


# Maps the inputs of the networks of a step to their outputs.
Layer = Callable[[Tensor, Members], Tensor]
# Returns the stacked parameter `(K, ...)` of a parameter of the first network.
Leaf = Callable[[nn.Parameter], Tensor]


def shape_of(module: nn.Module) -> Hashable:
    """Return what networks must have in common to be stacked; their dropout rates may differ.

    Raises:
        Unstackable: the module, or a part of it, has no stacked form.
    """
    kind = type(module)
    if any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)):
        raise Unstackable(f"hooks of {kind.__name__}")
    if any(not parameter.requires_grad for parameter in module.parameters(recurse=False)):
        raise Unstackable(f"frozen weights of {kind.__name__}")
    if isinstance(module, MLP) and kind is MLP and module.numbers is None:
        return "MLP", _shape_if_any(module.categories), shape_of(module.layers)
    if isinstance(module, Linear) and kind is Linear and isinstance(module.layers, nn.Sequential):
        return "Linear model", tuple(map(shape_of, module.categories)), shape_of(module.layers)
    if kind in (nn.Sequential, nn.ModuleList):
        return kind.__name__, tuple(map(shape_of, module.children()))
    if isinstance(module, Residual) and kind is Residual:
        return "Residual", shape_of(module.block), _shape_if_any(module.shortcut)
    if isinstance(module, CategoryVectors) and kind is CategoryVectors:
        return "CategoryVectors", tuple(map(shape_of, module.columns))
    return kind.__name__, _settings_of(module)


def _shape_if_any(module: nn.Module | None) -> Hashable:
    return None if module is None else shape_of(module)


def _settings_of(module: nn.Module) -> Hashable:
    """Return the settings of a layer without parts."""
    kind = type(module)
    if kind in _ACTIVATIONS:
        return tuple(getattr(module, name) for name in _ACTIVATIONS[kind])
    if kind is nn.Linear:
        return module.in_features, module.out_features, module.bias is not None
    if kind is nn.Dropout:
        return ()
    if kind is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return ()
    if kind is nn.LayerNorm and len(module.normalized_shape) == 1:  # type: ignore[arg-type]
        return module.normalized_shape, module.eps, module.weight is not None, module.bias is not None
    if (
        kind is nn.Embedding
        and module.max_norm is None
        and not module.sparse
        and not module.scale_grad_by_freq
    ):
        return module.num_embeddings, module.embedding_dim, module.padding_idx
    raise Unstackable(f"the layer {kind.__name__}")


def stacked(networks: Sequence[nn.Module], leaf: Leaf) -> Callable[[Mapping[str, Tensor], Members], Tensor]:
    """Return the function of K networks of one shape, from the fields of a batch to outputs `(M, N, ...)`."""
    every: list[Any] = list(networks)
    first = every[0]
    layers = _layer([network.layers for network in every], leaf)
    if type(first) is MLP:
        categories = None if first.categories is None else _columns(first.categories.columns, leaf)

        def mlp(batch: Mapping[str, Tensor], members: Members) -> Tensor:
            x = batch["x"]
            if categories is not None:
                x = torch.cat([x, *(column(batch["x_cat"], members) for column in categories)], dim=2)
            return layers(x, members)

        return mlp
    columns = _columns(first.categories, leaf)

    def linear(batch: Mapping[str, Tensor], members: Members) -> Tensor:
        outputs = layers(batch["x"], members)
        for column in columns:
            outputs = outputs + column(batch["x_cat"], members)
        return outputs

    return linear


def _columns(embeddings: nn.ModuleList, leaf: Leaf) -> list[Layer]:
    """Return the embeddings of each column of codes `(M, N, columns)`."""
    return [_embedding(one, leaf, number) for number, one in enumerate(embeddings)]


def _embedding(embedding: nn.Module, leaf: Leaf, column: int) -> Layer:
    assert isinstance(embedding, nn.Embedding)
    weight, codes, size = (
        leaf(embedding.get_parameter("weight")),
        embedding.num_embeddings,
        embedding.embedding_dim,
    )
    padding = embedding.padding_idx

    def embed(x_cat: Tensor, members: Members) -> Tensor:
        table = members.of(weight)
        if padding is not None:  # the row of unseen categories gets no gradient
            table = table.index_fill(1, torch.tensor([padding], device=table.device), 0.0)
        first = torch.arange(len(table), device=table.device)[:, None] * codes
        return functional.embedding(x_cat[:, :, column] + first, table.reshape(-1, size))

    return embed


def _layer(modules: Sequence[nn.Module], leaf: Leaf) -> Layer:
    """Return the layer of K modules of one shape."""
    module: Any = modules[0]
    kind = type(module)
    if kind is nn.Sequential:
        return _chain([_layer(parts, leaf) for parts in zip(*modules, strict=True)])
    if kind is Residual:
        block = _layer([one.block for one in modules], leaf)  # type: ignore[misc]
        shortcut = module.shortcut and _layer([one.shortcut for one in modules], leaf)  # type: ignore[misc]
        return lambda x, members: block(x, members) + (shortcut(x, members) if shortcut else x)
    if kind is nn.Linear:
        return _linear(leaf(module.weight), None if module.bias is None else leaf(module.bias))
    if kind is nn.Dropout:
        return _dropout([float(one.p) for one in modules])  # type: ignore[arg-type]
    if kind is nn.LayerNorm:
        return _layer_norm(module, leaf)
    if kind is nn.Flatten:
        return lambda x, members: x.flatten(2)
    return _activation(module)


def _chain(layers: Sequence[Layer]) -> Layer:
    def chain(x: Tensor, members: Members) -> Tensor:
        for layer in layers:
            x = layer(x, members)
        return x

    return chain


def _linear(weight: Tensor, bias: Tensor | None) -> Layer:
    """Return linear layers with weights `(K, outputs, inputs)` and biases `(K, outputs)`."""

    def linear(x: Tensor, members: Members) -> Tensor:
        made: Tensor = _Products.apply(x, members.of(weight), None if bias is None else members.of(bias))
        return made

    return linear


class _Products(torch.autograd.Function):
    """`x W^T + b` of M networks, by the products that each of them would compute.

    The gradient of `baddbmm` transposes the product for `W`, which is then summed in another order. With the
    orientation of `nn.Linear`, oneMKL's batched products have the bits of single ones; see `_are_separate`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        if weight.shape[1] == 1 or _are_separate(x, weight):
            biases = [None] * len(x) if bias is None else bias
            return torch.stack([functional.linear(*own) for own in zip(x, weight, biases, strict=True)])
        if bias is None:
            return torch.bmm(x, weight.transpose(1, 2))
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, _, of_bias = ctx.needs_input_grad
        product = _each if _are_separate(x, weight) else torch.bmm
        return (
            product(gradient, weight) if of_x else None,
            product(gradient.transpose(1, 2), x),
            gradient.sum(dim=1) if of_bias else None,
        )


def _are_separate(x: Tensor, weight: Tensor) -> bool:
    """Return whether products are so small that torch's batched ones would not be computed by oneMKL."""
    return x.shape[1] * weight.shape[1] * weight.shape[2] < _SMALL


def _each(one: Tensor, other: Tensor) -> Tensor:
    return torch.stack([a @ b for a, b in zip(one, other, strict=True)])


def _dropout(rates: Sequence[float]) -> Layer:
    """Return dropout at the rate of each network, with the masks that its own layer would draw."""

    def drop(x: Tensor, members: Members) -> Tensor:
        if members.generators is None:
            return x
        chosen = range(len(rates)) if members.index is None else members.index.tolist()
        mask = torch.empty_like(x, memory_format=torch.contiguous_format)
        for own, number, generator in zip(mask, chosen, members.generators, strict=True):
            if rates[number]:
                own.bernoulli_(1 - rates[number], generator=generator).div_(1 - rates[number])
            else:
                own.fill_(1.0)
        return x * mask

    return drop


def _layer_norm(module: nn.LayerNorm, leaf: Leaf) -> Layer:
    weight = None if module.weight is None else leaf(module.weight)
    bias = None if module.bias is None else leaf(module.bias)
    shape, eps = list(module.normalized_shape), module.eps

    def normalize(x: Tensor, members: Members) -> Tensor:
        scales = [None] * len(x) if weight is None else members.of(weight)
        shifts = [None] * len(x) if bias is None else members.of(bias)
        own = zip(x, scales, shifts, strict=True)
        return torch.stack([functional.layer_norm(each, shape, w, b, eps) for each, w, b in own])

    return normalize


def _activation(module: nn.Module) -> Layer:
    def activate(x: Tensor, members: Members) -> Tensor:
        made: Tensor = module(x)
        return made

    def activate_whole(x: Tensor, members: Members) -> Tensor:
        return module(x) if _are_whole_vectors(x) else torch.stack([module(one) for one in x])

    return activate if type(module) in _EXACT else activate_whole


def _are_whole_vectors(x: Tensor) -> bool:
    """Return whether an elementwise function of `(M, ...)` has the bits of that of each of the M parts.

    torch's kernels compute the numbers at the end of a tensor one by one, which may round in another way than vectors.
    """
    return x[0].numel() % _VECTORS == 0
