"""Facts of the training rows: their number, and how the numbers of a table are distributed over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dlcli.config.build import TARGET, locate
from dlcli.config.signature import Argument, signature
from dlcli.models.numbers import QUANTILE_STEPS
from dlcli.training.fields import Field

# Quantiles are taken over at most these numbers of training rows, evenly spaced, and of cells.
_ROWS, _CELLS = 1 << 15, 1 << 22


def number_facts(model: Mapping[str, Any], x: Field, rows: int | None = None) -> dict[str, Any]:
    """Return `training_rows` and `quantiles`, each if a model has an argument of that name.

    `quantiles` has one list for each column of `x` `(N, F)`, at 0, 1/64, ..., 1. The list of a column with at most two
    different values is empty. A model with `numbers=plain` needs none.

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
