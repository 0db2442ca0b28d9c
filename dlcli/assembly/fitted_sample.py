"""A preprocessing fitted on a few rows, remembered for the points of a search that are checked on the same rows."""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcli.assembly.parts import preprocessing_of
from dlcli.config.build import TARGET
from dlcli.datasets.data import Data, take
from dlcli.preprocessing.protocols import Preprocessing

# Samples that are remembered: those of the models of a search.
_REMEMBERED = 4


@dataclass(frozen=True)
class _Sample:
    data: weakref.ref[Data]
    rows: np.ndarray
    section: str
    preprocessing: Preprocessing
    fields: Mapping[str, Any]


_last: list[_Sample] = []


def fitted_sample(
    config: Mapping[str, Any], data: Data, rows: np.ndarray
) -> tuple[Preprocessing, Mapping[str, Any]]:
    """Return the preprocessing of a configuration, fitted on some rows, and their fields; neither may be changed.

    For tables and a preprocessing of dlcli, the last results are remembered: with 500 columns, fitting takes seconds,
    and a search is checked at a hundred points.

    Args:
        config: the configuration.
        data: the dataset.
        rows: row numbers, as many as are transformed within moments.
    """
    section = json.dumps(config["preprocessing"], sort_keys=True, default=str)
    for one in _last:
        if one.data() is data and one.section == section and np.array_equal(one.rows, rows):
            return one.preprocessing, one.fields
    some = take(data.x, rows)
    preprocessing = preprocessing_of(config).fit(some)
    fields = preprocessing.transform(some)
    if data.kind == "table" and str(config["preprocessing"].get(TARGET, "")).startswith("dlcli."):
        _last.insert(0, _Sample(weakref.ref(data), np.array(rows), section, preprocessing, fields))
        del _last[_REMEMBERED:]
    return preprocessing, fields
