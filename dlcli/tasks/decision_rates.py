"""Rates of decisions, from the numbers of true and false ones of each class or label."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Rate = Literal["accuracy", "balanced_accuracy", "precision", "recall", "specificity", "g_mean", "f1"]


def rates(rate: Rate, tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
    """Return a rate from counts of any shape, in double precision; NaN where it is undefined.

    Recall is undefined for a class without rows. Precision and f1 are undefined for a class that occurs neither in the
    rows nor among the predictions. Precision is 0, as in scikit-learn, if a class that occurs is never predicted. The
    balanced accuracy, the mean recall of a class and of the rest, is undefined if one of them does not occur, since the
    recall of the other alone would be too optimistic. Other libraries return 0 in all these cases, so that a fold
    without positive rows lowers the mean over folds.
    """
    match rate:
        case "accuracy":
            return (tp + tn) / (tp + fp + tn + fn)
        case "balanced_accuracy":
            return (tp / (tp + fn) + tn / (tn + fp)) / 2
        case "recall":
            return tp / (tp + fn)
        case "specificity":
            return tn / (tn + fp)
        case "g_mean":
            return (tp / (tp + fn) * tn / (tn + fp)).sqrt()
        case "f1":
            return 2 * tp / (2 * tp + fp + fn)
        case "precision":
            return torch.where((tp + fp == 0) & (fn > 0), 0.0, tp / (tp + fp))
