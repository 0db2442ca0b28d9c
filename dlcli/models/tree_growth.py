"""Grow decision trees with scikit-learn, iteration by iteration, as nodes of a `Forest`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from threadpoolctl import threadpool_limits

from dlcli.models.tree_nodes import OF_CLASSES, OF_LABELS, VALUES, GrownTree, Nodes, nodes_of
from dlcli.models.tree_rows import Rows

# Share of a class without training rows, as in the outputs of a random forest.
_NONE = float(torch.finfo(torch.float32).eps)

_LOSSES = {"MSE": "squared_error", "MAE": "absolute_error"}


class _Boosted:
    """Trees that are boosted together, and their outputs.

    Args:
        estimator: scikit-learn's estimator; None if the targets are constant.
        y: its targets.
        weights: weights of the rows.
        columns: the outputs of its trees.
        start: outputs without trees, if the estimator does not compute them.
    """

    def __init__(
        self,
        estimator: Any,
        y: np.ndarray,
        weights: np.ndarray | None,
        columns: Sequence[int],
        start: Sequence[float] = (),
    ) -> None:
        self.estimator = estimator
        self.columns = columns
        self.start = start
        self._y = y
        self._weights = weights

    def grow(self, x: np.ndarray, iterations: int) -> list[dict[int, GrownTree]]:
        """Return the new trees of each iteration by their output."""
        if self.estimator is None:
            return []
        first = len(getattr(self.estimator, "_predictors", ()))
        self.estimator.set_params(max_iter=iterations)
        self.estimator.fit(x, self._y, sample_weight=self._weights)
        self.start = self.estimator._baseline_prediction.ravel().tolist()
        return [
            {column: _boosted_tree(one.nodes) for column, one in zip(self.columns, predictors, strict=True)}
            for predictors in self.estimator._predictors[first:]
        ]

    def add_to(self, sums: np.ndarray, x: np.ndarray, first: int, last: int) -> None:
        """Add the values of some iterations for rows `x` `(N, F)` to the columns of `sums`."""
        if self.estimator is None:
            return
        own = np.asfortranarray(sums[:, self.columns])
        self.estimator._predict_iterations(
            x, self.estimator._predictors[first:last], own, is_binned=False, n_threads=torch.get_num_threads()
        )
        sums[:, self.columns] = own


class Boosting:
    """`Grower` of a `HistGradientBoosting`.

    Args:
        model: the forest.
        rows: the training rows.
    """

    def __init__(self, model: Any, rows: Rows) -> None:
        self._model = model
        self._rows = rows
        self._parts = list(self._all_parts())
        self._grown = 0

    def _all_parts(self) -> Iterator[_Boosted]:
        rows, model = self._rows, self._model
        if rows.y.ndim == 1:
            yield self._of_classes(rows.y)
            return
        levels = tuple(getattr(rows.loss, "quantiles", ())) or (None,)
        for column in range(rows.y.shape[1]):
            y = rows.y[:, column]
            if rows.has_labels:
                yield self._of_labels(y.astype(np.int64), column)
                continue
            for number, level in enumerate(levels):
                name = "quantile" if level is not None else _LOSSES[type(rows.loss).__name__]
                estimator = self._made(HistGradientBoostingRegressor, loss=name, quantile=level)
                yield _Boosted(estimator, y, None, [column * len(levels) + number])
        assert model.num_outputs % rows.y.shape[1] == 0

    def _of_classes(self, codes: np.ndarray) -> _Boosted:
        present = np.unique(codes)
        start = np.full(self._model.num_outputs, np.log(_NONE))
        start[present] = 0.0
        estimator = self._made(HistGradientBoostingClassifier) if len(present) > 1 else None
        # Two classes have one tree per iteration, whose output is the logit of the second class.
        columns = present[1:] if len(present) == 2 else present
        self._absent = start
        return _Boosted(estimator, codes, self._rows.weights(codes), columns.tolist(), [0.0] * len(columns))

    def _of_labels(self, labels: np.ndarray, column: int) -> _Boosted:
        if labels.min() != labels.max():
            estimator = self._made(HistGradientBoostingClassifier)
            return _Boosted(estimator, labels, self._rows.weights(labels, column), [column])
        share = float(np.clip(labels[0], _NONE, 1 - _NONE))
        return _Boosted(None, labels, None, [column], [float(np.log(share / (1 - share)))])

    def _made(self, kind: Any, **more: Any) -> Any:
        return kind(
            **self._model.settings,
            **more,
            warm_start=True,
            early_stopping=False,
            categorical_features=None,
            random_state=int(self._model.seed),
        )

    def grow(self, iterations: int) -> Nodes:
        """Grow trees up to a number of iterations, and return the new ones in order of iterations."""
        outputs = self._model.num_outputs
        with threadpool_limits(torch.get_num_threads(), user_api="openmp"):
            found = [part.grow(self._rows.x, iterations) for part in self._parts]
        new, self._grown = iterations - self._grown, iterations
        trees = []
        for number in range(new):
            by_output = {k: tree for part in found if part for k, tree in part[number].items()}
            trees += [by_output.get(output, _NOTHING) for output in range(outputs)]
        return nodes_of(trees)

    def add_to(self, sums: np.ndarray, x: np.ndarray, first: int, last: int) -> None:
        """Add the values of some iterations for rows `x` `(N, F)` to `sums`."""
        for part in self._parts:
            part.add_to(sums, x, first, last)

    def begin(self) -> None:
        """Set the outputs without trees."""
        start = torch.from_numpy(getattr(self, "_absent", np.zeros(self._model.num_outputs)))
        for part in self._parts:
            start[list(part.columns)] = torch.tensor(list(part.start), dtype=start.dtype)
        with torch.no_grad():
            self._model.start.copy_(start)


class Bagging:
    """`Grower` of a `RandomForest`.

    Args:
        model: the forest.
        rows: the training rows.
    """

    def __init__(self, model: Any, rows: Rows) -> None:
        self._model = model
        self._rows = rows
        self._is_of_classes = rows.y.ndim == 1
        classified = self._is_of_classes or rows.has_labels
        self._link = OF_CLASSES if self._is_of_classes else OF_LABELS if rows.has_labels else VALUES
        self._y = rows.y.astype(np.int64) if classified else rows.y
        if self._y.ndim == 2 and self._y.shape[1] == 1:
            self._y = self._y[:, 0]
        features = model.max_features
        if features == "auto":
            features = "sqrt" if classified else 1.0
        kind = RandomForestClassifier if classified else RandomForestRegressor
        self._estimator: Any = kind(
            **model.settings,
            max_features=features,
            warm_start=True,
            n_jobs=torch.get_num_threads(),
            random_state=int(model.seed),
        )

    def grow(self, iterations: int) -> Nodes:
        """Grow trees up to a number of iterations, and return the new ones."""
        estimator, y = self._estimator, self._y
        first = len(getattr(estimator, "estimators_", ()))
        weights = self._rows.weights(y) if y.ndim == 1 and self._link != VALUES else None
        estimator.set_params(n_estimators=iterations).fit(self._rows.x, y, sample_weight=weights)
        return nodes_of([_bagged_tree(one.tree_, self._values(one)) for one in estimator.estimators_[first:]])

    def _values(self, one: Any) -> np.ndarray:
        """Return the values of a tree's nodes `(M, num_outputs)`: shares of classes, shares of labels, or means."""
        values = one.tree_.value  # (M, outputs of the tree, classes)
        if self._link == VALUES:
            return values[:, :, 0]
        # The trees of a forest encode its classes as codes from 0.
        classes = self._estimator.classes_
        if self._link == OF_CLASSES:
            shares = np.zeros((len(values), self._model.num_outputs))
            shares[:, classes] = values[:, 0, :]
            return shares
        of_each = classes if isinstance(classes, list) else [classes]
        of_labels = [
            values[:, column, list(found).index(1)] if 1 in found else np.zeros(len(values))
            for column, found in enumerate(of_each)
        ]
        return np.stack(of_labels, axis=1)

    def add_to(self, sums: np.ndarray, x: np.ndarray, first: int, last: int) -> None:
        """Add the values of some trees for rows `x` `(N, F)` to `sums`."""
        x = x.astype(np.float32)
        for one in self._estimator.estimators_[first:last]:
            sums += self._values(one)[one.tree_.apply(x)]

    def begin(self) -> None:
        """Set the kind of the values."""
        self._model.set_link(self._link)


# A tree with value 0, for an output with constant targets.
_ZERO, _ONE = np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool)
_NOTHING = GrownTree(_ZERO, _ZERO, _ZERO, np.zeros(1), _ONE, np.zeros((1, 1)), _ONE)


def _boosted_tree(nodes: np.ndarray) -> GrownTree:
    return GrownTree(
        nodes["left"], nodes["right"], nodes["feature_idx"], nodes["num_threshold"], nodes["missing_go_to_left"],
        nodes["value"][:, None], nodes["is_leaf"],
    )  # fmt: skip


def _bagged_tree(tree: Any, values: np.ndarray) -> GrownTree:
    left, right = tree.children_left, tree.children_right
    return GrownTree(left, right, tree.feature, tree.threshold, tree.missing_go_to_left, values, left == -1)
