"""The models that `sweep.models=auto` compares, by kind of rows, and the folds on which they are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcli.config.pasted import override
from dlcli.datasets.data import Data
from dlcli.formatting import counted

# Kind of data, or of targets, to the models that are compared with the chosen one, in this order.
_MODELS: Mapping[str, Sequence[str]] = {
    "table": ("tabm", "hist_gradient_boosting", "random_forest", "linear"),
    "tokens": ("linear", "textcnn"),
    "image": ("vgg", "resnet", "cnn", "linear"),
    "sequence": ("gru", "tcn", "transformer", "linear"),
    "audio": ("vgg", "resnet", "cnn", "gru", "tcn"),
    "forecast": ("linear_forecast", "mlp", "dlinear", "segrnn", "patchtst"),
    "segmentation": ("unet",),
    "questions": (),
    "words": ("bilstm", "gru", "transformer"),
    "detection": ("centernet", "detector"),
    "seq2seq": ("seq2seq_transformer", "seq2seq_rnn"),
    "ctc": ("crnn", "lstm", "transformer"),
    "generate": (),  # the losses of models that generate images are not comparable
}

# Maximum numbers of rows for five folds and for three folds; for more rows, and for series, a hold-out is used.
_FIVE_FOLDS, _THREE_FOLDS = 2_000, 20_000
_TEST_SIZE = 0.2
# Minimum number of groups per fold.
_GROUPS_PER_FOLD = 3


@dataclass(frozen=True)
class Folds:
    """The folds on which candidates are compared.

    Attributes:
        words: overrides that choose the folds; empty for the configured split.
        reason: reason for the choice, for the panel.
    """

    words: tuple[str, ...]
    reason: str


def candidate_models(data: Data, chosen: str, task: str) -> list[str]:
    """Return the models to compare on this dataset for a task, the chosen one first."""
    kind = next((kind for kind in (task, data.target_kind) if kind in _MODELS), data.kind)
    return list(dict.fromkeys([chosen, *_MODELS[kind]]))


def candidate_folds(data: Data, config: Mapping[str, Any]) -> Folds:
    """Return the folds for trials if the user has not chosen a split; more folds make the choice less noisy."""
    rows = len(data) - (0 if data.test_rows is None else len(data.test_rows))
    why = _why_held_out_once(data, config)
    if why or rows > _THREE_FOLDS:
        return Folds((), f"validation rows held out once, {why or f'for {rows:,} rows'}")
    folds = 5 if rows <= _FIVE_FOLDS else 3
    option = "stratified_kfold" if data.strata is not None else "kfold"
    if data.groups is not None:
        option = "stratified_group_kfold" if data.strata is not None else "group_kfold"
        if len(np.unique(data.groups)) < _GROUPS_PER_FOLD * folds:
            return Folds((), "validation rows held out once, for few groups")
    most = _most_alike(data, rows)
    if most < 2:
        return Folds((), f"validation rows held out once, for {rows:,} rows")
    folds = min(folds, most)
    words = [override("cv", option), override("cv.folds", folds)]
    if data.test_rows is None:
        words.append(override("cv.test_size", _TEST_SIZE))
    return Folds(tuple(words), f"{counted(folds, 'fold')} ({option}) for {rows:,} rows")


def _most_alike(data: Data, rows: int) -> int:
    """Return the number of rows of the most frequent class without the final test rows: folds can be no more."""
    share = 1.0 if data.test_rows is not None else 1 - _TEST_SIZE
    if data.strata is not None:
        left = data.strata if data.test_rows is None else np.delete(data.strata, data.test_rows)
        rows = int(np.unique(left, return_counts=True)[1].max(initial=0))
    return int(rows * share)


def _why_held_out_once(data: Data, config: Mapping[str, Any]) -> str:
    if data.target_kind == "forecast" or data.reach is not None:
        return "the last ones of the series"
    if data.times is not None:
        return "the latest ones"
    if data.parts is not None or data.val_rows is not None:
        return "as the data splits them"
    if config["trainer"].get("limit_rows"):
        return "for trainer.limit_rows"
    return ""
