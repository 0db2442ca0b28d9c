"""Likely label errors, by confident learning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """The rows whose labels are probably wrong.

    Attributes:
        rows: Positions of the rows, the most likely error first, `(M,)`.
        suggested: The probable class of these rows, `(M,)`.
        joint: Estimated number of rows by given and true class, `(C, C)`.
        thresholds: The mean probability of each class over the rows with this label, `(C,)`; NaN if there are none.
    """

    rows: np.ndarray
    suggested: np.ndarray
    joint: np.ndarray
    thresholds: np.ndarray

    @property
    def expected(self) -> float:
        """The estimated number of wrong labels."""
        return float(self.joint.sum() - np.trace(self.joint))


def find_label_errors(labels: np.ndarray, probabilities: np.ndarray) -> LabelErrors:
    """Find likely label errors: the rows off the diagonal of the confident joint.

    A row is counted in class j if its probability of j is at least the mean probability of j over the rows with label
    j; if that holds for several classes, in the most probable one. Rows that are counted in another class than their
    label are returned, ordered by the normalized margin: the probability of the label minus the largest probability of
    another class. The joint is calibrated, so its rows sum to the counts of the labels (Northcutt, Jiang and Chuang,
    "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70, 2021, equations 1 to 3 and section 3.2).

    Args:
        labels: Given class codes, `(N,)`.
        probabilities: Class probabilities, each row predicted by models that were not trained on it, `(N, C)`.
    """
    rows, classes = probabilities.shape
    counts = np.bincount(labels, minlength=classes)
    sums = np.zeros(classes)
    np.add.at(sums, labels, probabilities[np.arange(rows), labels])
    with np.errstate(invalid="ignore"):
        thresholds = sums / counts
    # Tolerance for rows whose probability equals the threshold up to rounding.
    reaches = probabilities >= np.where(np.isnan(thresholds), np.inf, thresholds) - 1e-6
    best = np.where(reaches, probabilities, -1.0).argmax(axis=1)
    counted = reaches.any(axis=1)
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[counted], best[counted]), 1)
    empty = joint.sum(axis=1) == 0
    joint[empty, empty] = 1
    joint = joint / joint.sum(axis=1, keepdims=True) * counts[:, None]
    wrong = np.flatnonzero(counted & (best != labels))
    own = probabilities[wrong, labels[wrong]]
    others = probabilities[wrong].copy()
    others[np.arange(len(wrong)), labels[wrong]] = -1.0
    order = np.argsort(own - others.max(axis=1, initial=-1.0), kind="stable")
    return LabelErrors(wrong[order], best[wrong][order], joint, thresholds)
