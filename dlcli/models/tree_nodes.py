"""Nodes of decision trees as arrays, in the order in which `Forest` traverses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Kind of the mean of the trees of a random forest, which determines the outputs.
VALUES, OF_LABELS, OF_CLASSES = 0, 1, 2


class GrownTree(NamedTuple):
    """A tree in the representation of scikit-learn; node 0 is the root.

    Attributes:
        left: index of each node's child for values up to the threshold, `(M,)`; the node itself, or -1, for a leaf.
        right: index of the other child.
        feature: the column that a node compares.
        threshold: thresholds in double precision.
        missing_left: whether missing values go to the left child.
        value: values of the leaves, `(M, W)`.
        is_leaf: whether a node is a leaf.
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    is_leaf: np.ndarray


@dataclass(frozen=True)
class Nodes:
    """The nodes of several trees: level by level, and the two children of a node side by side.

    Attributes:
        feature: the column that a node compares, `(M,)`; 0 for a leaf.
        threshold: values above it go to the right child; infinite for a leaf.
        left: index of the left child, which precedes the right one; of the node itself for a leaf.
        missing_right: whether missing values go to the right child.
        value: values of the leaves, `(M, W)`.
        roots: index of each tree's root.
        depth: depth of the deepest tree; 0 for a single leaf.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    missing_right: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    depth: int

    def tensors(self, first: int) -> dict[str, Tensor]:
        """Return the tensors of `Forest`, with nodes counted from `first`."""
        return {
            "feature": torch.from_numpy(self.feature.astype(np.int32)),
            "threshold": torch.from_numpy(self.threshold),
            "left": torch.from_numpy((self.left + first).astype(np.int32)),
            "missing_right": torch.from_numpy(self.missing_right),
            "value": torch.from_numpy(self.value),
            "roots": torch.from_numpy((self.roots + first).astype(np.int32)),
        }


def single_precision(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest numbers in single precision that are not above the thresholds.

    A value in single precision is above one exactly if it is above the other.
    """
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def nodes_of(trees: Sequence[GrownTree]) -> Nodes:
    """Return the nodes of trees that a row of numbers in single precision walks as scikit-learn's."""
    sizes = np.array([len(tree.left) for tree in trees])
    begins = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(tree, name) for tree in trees])

    offset = np.repeat(begins, sizes)
    is_leaf = joined("is_leaf").astype(bool)
    left, right = joined("left").astype(np.int64) + offset, joined("right").astype(np.int64) + offset
    order, children = [begins], []
    placed = len(begins)
    depth, level = 0, begins
    while len(level):
        inner = ~is_leaf[level]
        # Leaves lead to themselves: their numbers are those of this level.
        own = placed - len(level) + np.arange(len(level))
        own[inner] = placed + 2 * np.arange(inner.sum())
        children.append(own)
        level = np.stack([left[level[inner]], right[level[inner]]], axis=1).ravel()
        placed += len(level)
        order.append(level)
        depth += bool(len(level))
    where = np.concatenate(order)
    ends = is_leaf[where]
    thresholds = single_precision(joined("threshold")[where])
    return Nodes(
        feature=np.where(ends, 0, joined("feature")[where]),
        threshold=np.where(ends, np.float32(np.inf), thresholds).astype(np.float32),
        left=np.concatenate(children),
        missing_right=~joined("missing_left")[where].astype(bool) & ~ends,
        value=joined("value")[where].astype(np.float32),
        roots=np.arange(len(begins)),
        depth=depth,
    )
