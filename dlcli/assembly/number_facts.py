"""Facts of the training rows for models: their number, and quantiles of numeric columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dlcli.config.build import TARGET, locate
from dlcli.config.signature import Argument, signature
from dlcli.models.number_embeddings import QUANTILE_STEPS
from dlcli.training.fields import Field

# Quantiles are computed on at most this number of training rows, evenly spaced, and this number of cells.
_ROWS, _CELLS = 1 << 15, 1 << 22


def number_facts(model: Mapping[str, Any], x: Field, rows: int | None = None) -> dict[str, Any]:
    """Return the facts `training_rows` and `quantiles`, each if the model has an argument of that name.

    `quantiles` has one list for each column of `x` `(N, F)`, at 0, 1/64, ..., 1. The list is empty for a column with at
    most two different values. A model with `numbers=plain` does not need them.

    Args:
        model: the configuration's section `model`.
        x: the preprocessed training rows.
        rows: the number of training rows if `x` holds only some of them.
    """
    takes = signature(locate(model[TARGET])).arguments
    count = {"training_rows": len(x) if rows is None else rows} if "training_rows" in takes else {}
    return count | _quantiles_of(model, takes, x)


def _quantiles_of(model: Mapping[str, Any], takes: Mapping[str, Argument], x: Field) -> dict[str, Any]:
    if "quantiles" not in takes or len(x.shape) != 2:
        return {}
    if "numbers" in takes and model.get("numbers", takes["numbers"].default) == "plain":
        return {}
    rows = np.unique(np.linspace(0, len(x) - 1, _sampled(x)).astype(np.int64))
    some = x.index_select(0, torch.from_numpy(rows))
    if not isinstance(some, torch.Tensor) or not some.is_floating_point():
        return {}
    return {"quantiles": [_quantiles(column) for column in some.cpu().numpy().T]}


def _sampled(x: Field) -> int:
    return min(len(x), _ROWS, max(QUANTILE_STEPS, _CELLS // max(1, x.shape[1])))


def _quantiles(column: np.ndarray) -> list[float]:
    values = np.sort(column[np.isfinite(column)])
    if np.count_nonzero(np.diff(values)) < 2:
        return []
    places = np.linspace(0, len(values) - 1, QUANTILE_STEPS + 1)
    return [float(value) for value in np.interp(places, np.arange(len(values)), values)]
