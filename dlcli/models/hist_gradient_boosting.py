"""Gradient boosting of decision trees on binned numbers, grown by scikit-learn."""

from __future__ import annotations

from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le
from torch import Tensor

from dlcli.models.forest import Forest
from dlcli.models.tree_rows import Grower, Rows


class HistGradientBoosting(Forest):
    """`HistGradientBoostingClassifier` and `HistGradientBoostingRegressor` of scikit-learn as a network.

    The trees are grown by scikit-learn on all training rows (`optimizer=grow_trees`), a part of them in each epoch, and
    copied into this module. Each iteration adds a tree per output: one for a binary target, one per class for several
    classes (Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", 2001). Labels, targets and
    quantiles are boosted separately.

    Args:
        input_shape: shape of one row, `(F,)`.
        num_outputs: logits or values per row.
        max_iter: maximum number of iterations, before early stopping on validation rows.
        learning_rate: factor of the leaves' values.
        max_leaf_nodes: maximum number of leaves of a tree; None for no limit.
        max_depth: maximum depth of a tree; None for no limit.
        min_samples_leaf: minimum number of training rows of a leaf.
        l2_regularization: penalty of the leaves' values.
        max_features: share of the columns considered at each split.
        max_bins: maximum number of bins of a column.
    """

    losses: ClassVar = ("BinaryCrossEntropy", "CrossEntropy", "MSE", "MAE", "Quantile")
    search_space: ClassVar = {
        "learning_rate": "tag(log,interval(0.02,0.3))",
        "max_iter": "100,200,500",
        "max_leaf_nodes": "tag(log,int(interval(7,127)))",
        "min_samples_leaf": "tag(log,int(interval(5,100)))",
        "l2_regularization": "0.0,0.1,1.0,10.0",
        "max_features": "interval(0.3,1.0)",
    }

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_outputs: int,
        max_iter: Annotated[int, Ge(1)] = 200,
        learning_rate: Annotated[float, Gt(0)] = 0.1,
        max_leaf_nodes: Annotated[int, Ge(2)] | None = 31,
        max_depth: Annotated[int, Ge(1)] | None = None,
        min_samples_leaf: Annotated[int, Ge(1)] = 20,
        l2_regularization: Annotated[float, Ge(0)] = 0.0,
        max_features: Annotated[float, Gt(0), Le(1)] = 1.0,
        max_bins: Annotated[int, Ge(2), Le(255)] = 255,
    ) -> None:
        super().__init__(input_shape, num_outputs, width=1)
        self.max_iter = max_iter
        self.settings = {
            "learning_rate": learning_rate, "max_leaf_nodes": max_leaf_nodes, "max_depth": max_depth,
            "min_samples_leaf": min_samples_leaf, "l2_regularization": l2_regularization,
            "max_features": max_features, "max_bins": max_bins,
        }  # fmt: skip

    def grower(self, rows: Rows) -> Grower:
        """Return the algorithm that grows the trees."""
        from dlcli.models.tree_growth import Boosting

        return Boosting(self, rows)

    @property
    def total(self) -> int:
        """Number of iterations of the complete forest."""
        return self.max_iter

    @property
    def in_one_epoch(self) -> bool:
        """Return False: boosting overfits with too many iterations, so that the number is chosen on validation rows."""
        return False

    @property
    def iterations(self) -> int:
        """Number of iterations grown so far."""
        return len(self.roots) // self.num_outputs

    def size_words(self) -> str:
        """Return the maximum size of the model in words, for the panel."""
        each = "a tree" if self.num_outputs == 1 else f"{self.num_outputs} trees"
        leaves = self.settings["max_leaf_nodes"]
        return f"up to {self.max_iter:,} iterations of {each}" + (
            f" of up to {leaves} leaves" if leaves else ""
        )

    def outputs(self, sums: Tensor, iterations: int) -> Tensor:
        """Return the outputs `(N, num_outputs)`: the start plus the sums."""
        return (self.start + sums).to(self.start.dtype)
