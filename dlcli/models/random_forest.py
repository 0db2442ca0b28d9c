"""A random forest, grown by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from dlcli.models.forest import Forest
from dlcli.models.tree_nodes import OF_CLASSES, OF_LABELS, VALUES
from dlcli.models.tree_rows import Grower, Rows

Features = Literal["auto", "sqrt", "log2"] | Annotated[float, Gt(0), Le(1)]


class RandomForest(Forest):
    """`RandomForestClassifier` and `RandomForestRegressor` of scikit-learn as a network.

    The trees are grown by scikit-learn on all training rows (`optimizer=grow_trees`) and copied into this module
    (Breiman, "Random Forests", 2001). The probability of a class is its mean share of the training rows in the
    leaves that a row reaches; outputs are logits of these. Shares of 0 count as 1.2e-7, as in scikit-learn's log
    loss. Several targets or labels share their trees.

    Args:
        input_shape: shape of one row, `(F,)`.
        num_outputs: logits or values per row.
        n_estimators: number of trees.
        max_depth: maximum depth of a tree; None for no limit.
        min_samples_split: minimum number of training rows of a node that is split.
        min_samples_leaf: minimum number of training rows of a leaf.
        max_leaf_nodes: maximum number of leaves of a tree; None for no limit.
        max_features: columns considered at each split: a share, or the square root or logarithm of their number.
            `auto` is `sqrt` for classes, and all columns for numbers.
        bootstrap: whether each tree is grown on rows drawn with replacement.
        max_samples: share of the rows that are drawn for each tree; None draws as many as there are.
    """

    losses: ClassVar = ("BinaryCrossEntropy", "CrossEntropy", "MSE")
    shares_trees: ClassVar = True
    search_space: ClassVar = {
        "n_estimators": "100,300",
        "max_features": "auto,sqrt,0.3,0.6,1.0",
        "min_samples_leaf": "1,2,5,10",
    }

    link: Tensor

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        n_estimators: Annotated[int, Ge(1)] = 100,
        max_depth: Annotated[int, Ge(1)] | None = None,
        min_samples_split: Annotated[int, Ge(2)] = 2,
        min_samples_leaf: Annotated[int, Ge(1)] = 1,
        max_leaf_nodes: Annotated[int, Ge(2)] | None = None,
        max_features: Features = "auto",
        bootstrap: bool = True,
        max_samples: Annotated[float, Gt(0), Le(1)] | None = None,
    ) -> None:
        super().__init__(input_shape, num_outputs, width=num_outputs)
        self.n_estimators = n_estimators
        self.max_features = max_features
        self.settings = {
            "max_depth": max_depth, "min_samples_split": min_samples_split, "min_samples_leaf": min_samples_leaf,
            "max_leaf_nodes": max_leaf_nodes, "bootstrap": bootstrap,
            "max_samples": max_samples if bootstrap else None,
        }  # fmt: skip
        self.register_buffer("link", torch.zeros(1, dtype=torch.int64))
        self._link = VALUES

    def set_link(self, link: int) -> None:
        """Set the kind of the trees' values: `VALUES`, or shares `OF_LABELS` or `OF_CLASSES`."""
        self.link.fill_(link)
        self._link = link

    def grower(self, rows: Rows) -> Grower:
        """Return the algorithm that grows the trees."""
        from dlcli.models.tree_growth import Bagging

        return Bagging(self, rows)

    @property
    def total(self) -> int:
        """Number of trees of the complete forest."""
        return self.n_estimators

    @property
    def in_one_epoch(self) -> bool:
        """Return True: more trees do not overfit, so that their number need not be chosen on validation rows."""
        return True

    @property
    def iterations(self) -> int:
        """Number of trees grown so far."""
        return len(self.roots)

    def size_words(self) -> str:
        """Return the size of the model in words, for the panel."""
        return f"{self.n_estimators:,} trees"

    def outputs(self, sums: Tensor, iterations: int) -> Tensor:
        """Return the outputs `(N, num_outputs)`: means over trees, or for shares their logits."""
        means, least = sums / iterations, torch.finfo(torch.float32).eps
        if self._link == OF_LABELS:
            means = means.clamp(least, 1 - least).logit()
        elif self._link == OF_CLASSES:
            means = means.clamp_min(least).log()
        return means.to(self.start.dtype)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if not self.link.is_meta:
            self._link = int(self.link)
