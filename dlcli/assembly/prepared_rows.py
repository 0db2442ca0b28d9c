"""Fit and transform rows once for several jobs of a process: trials, and seeds of a fold, have the same rows.

Only the last result is kept, and only for a table of a few megabytes: for more rows, training takes much longer than
the preprocessing.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dlcli.datasets.data import Data
from dlcli.datasets.reading.columns import Columns
from dlcli.preprocessing.fitted import FittedPreprocessing
from dlcli.preprocessing.protocols import Preprocessing
from dlcli.splits.split import Split
from dlcli.training.fields import Field

_MAX_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """The preprocessed rows of a split.

    Attributes:
        fitted: the fitted preprocessing.
        train: the fields of the training rows, without the target.
        val: the fields of the validation rows, without the target; None without validation rows.
        columns: the columns of the table.
    """

    fitted: FittedPreprocessing
    train: dict[str, Field]
    val: dict[str, Field] | None
    columns: Columns | None


@dataclass(frozen=True, eq=False)
class _Kept:
    data: weakref.ref[Data]  # by identity; the raw rows, which may be large, are not held
    key: tuple[object, ...]
    rows: PreparedRows


_last: list[_Kept] = []


def prepared_once(
    preprocessing: Preprocessing,
    settings: Mapping[str, Any],
    data: Data,
    split: Split,
    make: Callable[[], PreparedRows],
) -> PreparedRows:
    """Return the result of `make`, or that of the last call with the same settings, data and rows.

    Args:
        preprocessing: the preprocessing, not yet fitted.
        settings: its section, and the facts that it receives.
        data: the raw rows.
        split: the rows to fit on and to transform.
        make: fits and transforms.
    """
    if data.kind != "table" or not type(preprocessing).__module__.startswith("dlcli."):
        return make()
    key = (json.dumps(settings, sort_keys=True, default=repr), split.train.tobytes(), split.val.tobytes())
    for kept in _last:
        if kept.data() is data and kept.key == key:
            return kept.rows
    made = make()
    fields = [*made.train.values(), *(made.val or {}).values()]
    tensors = [field for field in fields if isinstance(field, torch.Tensor)]
    size = sum(tensor.nbytes for tensor in tensors) + split.train.nbytes + split.val.nbytes
    if len(tensors) == len(fields) and size <= _MAX_BYTES:
        _last[:] = [_Kept(weakref.ref(data), key, made)]
    return made
