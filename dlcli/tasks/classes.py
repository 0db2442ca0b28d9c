"""Functions of classification tasks: class names, misclassified rows, metrics per class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def names_of(classes: Sequence[str], codes: np.ndarray) -> np.ndarray:
    """Return the class names `(N,)` of codes `(N,)`."""
    return np.asarray(classes, dtype=object)[codes]


def codes_of(classes: Sequence[str], names: pd.Series) -> np.ndarray | None:
    """Return the codes `(N,)` of class names, the inverse of `names_of`; None if a name is not a class."""
    codes = pd.Index(classes, dtype=object).get_indexer(pd.Index(names, dtype=object))
    return None if (codes < 0).any() else codes.astype(np.int64)


def misclassified(
    y: np.ndarray, predicted: np.ndarray, confidence: np.ndarray, classes: Sequence[str]
) -> list[tuple[int, str]]:
    """Return the misclassified rows in order of descending confidence, each with a description of both classes."""
    wrong = np.flatnonzero(predicted != y)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return [
        (int(row), f"{classes[y[row]]}, predicted {classes[predicted[row]]} ({confidence[row]:.0%})")
        for row in wrong
    ]


def table_of_classes(y: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Return a table of `class`, `rows`, `precision`, `recall` and `f1` with one line per class and their means.

    The last two lines are the `macro` and the `weighted` mean. `y` and `predicted` are codes `(N,)`, or 0 and 1 for
    each label `(N, K)`. The metrics of a class that does not occur (precision: is never predicted) are 0, as in
    torchmetrics and scikit-learn.
    """
    from sklearn.metrics import precision_recall_fscore_support  # only the report of a run needs it

    labels = range(len(classes))
    precision, recall, f1, rows = precision_recall_fscore_support(
        y, predicted, labels=labels, zero_division=0
    )
    columns = {"class": list(classes), "rows": rows, "precision": precision, "recall": recall, "f1": f1}
    means = {"macro": None, "weighted": rows if rows.any() else None}
    lines = [
        (
            f"({name})",
            rows.sum(),
            *(np.average(values, weights=weights) for values in (precision, recall, f1)),
        )
        for name, weights in means.items()
    ]
    return pd.concat([pd.DataFrame(columns), pd.DataFrame(lines, columns=list(columns))], ignore_index=True)
