"""`Forest`: decision trees as tensors, the base class of models with trees grown by scikit-learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.models.tree_nodes import Nodes
from dlcli.models.tree_rows import Grower, Rows

# Tensors of the nodes, each with one entry per node.
_OF_NODES = ("feature", "threshold", "left", "missing_right", "value")

# Maximum number of values per row in memory at a time: trees times values of a leaf.
_WALKED = 1024

# Maximum depth of a tree. Trees of scikit-learn have some tens of levels; each level is a step for all rows.
_DEEPEST = 10_000


class Forest(nn.Module, ABC):
    """Decision trees; the outputs for a row are computed from the values of the leaves that it reaches.

    All trees are traversed together, level by level. The two children of a node have consecutive indices, so that one
    index determines both, and a leaf points to itself. Trees are added by `add`; a loaded state may have any number of
    trees.

    Args:
        input_shape: shape of one row, `(F,)`.
        num_outputs: logits or values per row.
    """

    accepts: ClassVar = {"table"}
    preprocessing: ClassVar = "trees"  # numbers are not scaled, missing values are kept
    is_forest: ClassVar = True  # required by optimizers that grow trees
    takes_missing: ClassVar = True
    losses: ClassVar[Sequence[str]] = ()  # names of supported losses
    shares_trees: ClassVar = False  # whether all outputs share the trees

    feature: Tensor
    threshold: Tensor
    left: Tensor
    missing_right: Tensor
    value: Tensor
    roots: Tensor
    seed: Tensor

    def __init__(self, input_shape: tuple[int, ...], num_outputs: int, width: int) -> None:
        super().__init__()
        (self.features,) = input_shape
        self.num_outputs = num_outputs
        self.depth = 0
        # The outputs without trees; the only values before training.
        self.start = nn.Parameter(torch.zeros(num_outputs))
        self.register_buffer("feature", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(0))
        self.register_buffer("left", torch.zeros(0, dtype=torch.int32))
        self.register_buffer("missing_right", torch.zeros(0, dtype=torch.bool))
        self.register_buffer("value", torch.zeros(0, width))
        self.register_buffer("roots", torch.zeros(0, dtype=torch.int32))
        # Seed of scikit-learn's random choices, derived from the seed of the initial weights.
        self.register_buffer("seed", torch.randint(0, 2**31 - 1, (1,)))

    @abstractmethod
    def grower(self, rows: Rows) -> Grower:
        """Return the algorithm that grows the trees."""

    @property
    @abstractmethod
    def total(self) -> int:
        """Number of iterations of the complete forest; each grows one tree, or for boosting one tree per output."""

    @property
    @abstractmethod
    def in_one_epoch(self) -> bool:
        """Whether the complete forest is grown in one epoch by default, without validation of parts of it."""

    @property
    @abstractmethod
    def iterations(self) -> int:
        """Number of iterations grown so far."""

    @property
    def leaves(self) -> int:
        """Number of leaves of all trees."""
        return int((self.left == torch.arange(len(self.left), device=self.left.device)).sum())

    @abstractmethod
    def size_words(self) -> str:
        """Return the maximum size of the model in words, for the panel."""

    def add(self, nodes: Nodes) -> None:
        """Append trees with nodes numbered from 0."""
        first, device = len(self.left), self.left.device
        for name, values in nodes.tensors(first).items():
            setattr(self, name, torch.cat([getattr(self, name), values.to(device)]))
        self.depth = max(self.depth, nodes.depth)

    def sums(self, x: Tensor) -> Tensor:
        """Return the sums of the reached leaves' values `(N, num_outputs)`, in double precision if the device supports
        it.

        Args:
            x: rows `(N, F)`; missing values are NaN.
        """
        roots, width = self.roots.long(), self.value.shape[1]
        each = self.num_outputs // width  # trees of an iteration
        # Use the same parts for any number of rows, so that a row's sum does not depend on others. An exported program
        # has one part.
        at_once = max(1, _WALKED // self.num_outputs) * each
        if torch.compiler.is_exporting() or len(roots) <= at_once:
            return self._sums_of(roots, x)
        found = self._sums_of(roots[:at_once], x)
        for first in range(at_once, len(roots), at_once):
            found = found + self._sums_of(roots[first : first + at_once], x)
        return found

    def _sums_of(self, roots: Tensor, x: Tensor) -> Tensor:
        """Return the sums over the trees of complete iterations."""
        precise = torch.float32 if x.device.type == "mps" else torch.float64
        node = roots.unsqueeze(0).expand(x.shape[0], -1)
        for _ in range(self.depth):
            values = x.gather(1, self.feature[node].long())
            is_right = (values > self.threshold[node]) | (values.isnan() & self.missing_right[node])
            node = self.left[node].long() + is_right
        reached = self.value[node].to(precise)  # (N, trees, width)
        iterations = len(roots) * self.value.shape[1] // self.num_outputs
        return reached.reshape(-1, iterations, self.num_outputs).sum(dim=1)

    @abstractmethod
    def outputs(self, sums: Tensor, iterations: int) -> Tensor:
        """Return the outputs `(N, num_outputs)` for the sums over the first `iterations`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, F)` to `(N, num_outputs)`."""
        if not len(self.roots):
            return self.start.expand(x.shape[0], -1)
        return self.outputs(self.sums(x), self.iterations)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Load a state with any number of trees."""
        names = (*_OF_NODES, "roots")
        given = {name: state_dict[prefix + name] for name in names if prefix + name in state_dict}
        if len(given) == len(names):
            self.depth = self._checked_depth(given)
            for name, values in given.items():
                own = getattr(self, name)
                setattr(self, name, torch.empty(values.shape, dtype=own.dtype, device=own.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _checked_depth(self, given: Mapping[str, Any]) -> int:
        """Return the depth of the deepest tree of a state.

        Raises:
            ValueError: its tensors do not describe valid trees.
        """
        arrays = {name: values.cpu().numpy() for name, values in given.items()}
        left, roots = arrays["left"].astype(np.int64), arrays["roots"].astype(np.int64)
        numbers = np.arange(len(left))
        is_leaf = left == numbers
        shapes = {name: arrays[name].shape for name in _OF_NODES}
        expected = {name: (len(left),) for name in _OF_NODES} | {"value": (len(left), self.value.shape[1])}
        if shapes != expected:
            raise ValueError("the tensors of the trees are inconsistent")
        inside = (arrays["feature"] >= 0).all() and (arrays["feature"] < self.features).all()
        # Children come after their parent, so that a traversal never returns to a node.
        ordered = (is_leaf | ((left > numbers) & (left + 1 < len(left)))).all()
        # A leaf points to itself, so that a traversal takes as many steps as the deepest tree has levels.
        stays = (arrays["threshold"][is_leaf] == np.inf).all() and not arrays["missing_right"][is_leaf].any()
        if not (inside and ordered and stays):
            raise ValueError("the tensors of the trees are inconsistent")
        if roots.ndim != 1 or (len(roots) and not ((roots >= 0) & (roots < len(left))).all()):
            raise ValueError("the roots of the trees are not nodes")
        if len(roots) * self.value.shape[1] % self.num_outputs:
            raise ValueError("the numbers of trees per output differ")
        depth, level = 0, roots[~is_leaf[roots]]
        while len(level):
            depth += 1
            if depth > _DEEPEST:
                raise ValueError(f"the trees have more than {_DEEPEST:,} levels")
            level = np.unique(np.concatenate([left[level], left[level] + 1]))
            level = level[~is_leaf[level]]
        return depth
