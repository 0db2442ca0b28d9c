"""Names that other tools give to metrics (Keras, scikit-learn, LightGBM), with or without the part: `val_acc`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dlcli.config.suggest import near

# The entry of `task.metrics` that stands for the task's default metrics.
DEFAULT = "default"

_NAMES = {
    "acc": "accuracy",
    "top1": "accuracy",
    "ap": "average_precision",
    "auc": "auroc",
    "auc_pr": "average_precision",
    "auprc": "average_precision",
    "bal_acc": "balanced_accuracy",
    "bce": "log_loss",
    "binary_accuracy": "accuracy",
    "binary_crossentropy": "log_loss",
    "binary_logloss": "log_loss",
    "brier_score_loss": "brier",
    "categorical_accuracy": "accuracy",
    "categorical_crossentropy": "log_loss",
    "ccc": "concordance",
    "cross_entropy": "log_loss",
    "crossentropy": "log_loss",
    "ece": "calibration_error",
    "f_score": "f1",
    "fmeasure": "f1",
    "iou": "miou",
    "jaccard": "miou",
    "kappa": "cohen_kappa",
    "l1": "mae",
    "l2": "mse",
    "logloss": "log_loss",
    "matthews_corrcoef": "mcc",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "mean_iou": "miou",
    "mean_squared_error": "mse",
    "mean_squared_log_error": "rmsle",
    "multi_logloss": "log_loss",
    "neg_log_likelihood": "log_loss",
    "nll": "log_loss",
    "pearsonr": "pearson",
    "pr_auc": "average_precision",
    "prec": "precision",
    "qwk": "quadratic_kappa",
    "r_squared": "r2",
    "rec": "recall",
    "roc_auc": "auroc",
    "root_mean_squared_error": "rmse",
    "sensitivity": "recall",
    "sparse_categorical_accuracy": "accuracy",
    "spearmanr": "spearman",
    "topk": "top_k_accuracy",
    "tnr": "specificity",
    "tpr": "recall",
}
# Metrics of tasks whose name has a prefix: `entity_f1` of tags, `answer_f1` of answers.
_OF_TASKS = ("accuracy", "f1", "precision", "recall", "exact_match")
_PARTS = {"train": "train", "training": "train", "test": "test"}
_PART = re.compile(r"(train|training|val|valid|validation|dev|eval|test)[/_. ]+(.+)")
_AVERAGES = re.compile(r"^(macro|micro|weighted)_|_(macro|micro|weighted|score)$|^neg_")


def metrics_meant(word: str, known: Iterable[str]) -> list[str]:
    """Return the known metrics that a word may mean, the likeliest first; at most three.

    `known` has names (`accuracy`), or names with parts (`val/accuracy`), of which `val` is meant if the word has none.
    """
    names = list(known)
    return list(filter(None, [metric_called(word, names)])) or near(word, names)


def metric_called(word: str, known: Iterable[str]) -> str:
    """Return the known metric for a name in other tools; empty if there is none."""
    names = frozenset(known)
    plain = word.strip().lower().replace("-", "_")
    found = _PART.fullmatch(plain)
    part, name = (_PARTS.get(found[1], "val"), found[2]) if found else ("val", plain)
    bare = _AVERAGES.sub("", _AVERAGES.sub("", name))
    for one in (name, _NAMES.get(name), bare, _NAMES.get(bare)):
        for full in (f"{part}/{one}", f"val/{one}", one):
            if one and full in names:
                return full
    meant = next((one for one in (name, _NAMES.get(name), bare, _NAMES.get(bare)) if one in _OF_TASKS), None)
    own = [one for one in names if one.endswith(f"_{meant}")]
    in_part = [one for one in own if one.startswith(f"{part}/")] or own
    return min(in_part, key=lambda one: (len(one), one), default="")
