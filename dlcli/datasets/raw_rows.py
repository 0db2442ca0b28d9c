"""The raw rows that a `dataset` section names, read once a process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlcli.config.build import build

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

# Keys that say how rows are fed, not what they are: runs that differ in them share the rows.
_FEEDING = frozenset({"batch_size"})

_loaded: dict[str, Data] = {}


def load_data(dataset: Mapping[str, Any]) -> Data:
    """The rows of a section; read where they are not at hand."""
    from dlcli.datasets.positive import with_positive

    arguments = _rows_of(dataset)
    if _key(arguments) not in _loaded:
        data = build(arguments, where="dataset")
        positive = arguments.get("positive")
        preload(dataset, data if positive is None else with_positive(data, positive))
    return _loaded[_key(arguments)]


def has_loaded(dataset: Mapping[str, Any]) -> bool:
    """Whether `load_data` has these rows at hand."""
    return _key(_rows_of(dataset)) in _loaded


def preload(dataset: Mapping[str, Any], data: Data) -> None:
    """Have `load_data` return these rows, and forget others."""
    _loaded.clear()
    _loaded[_key(_rows_of(dataset))] = data


def _rows_of(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in dataset.items() if key not in _FEEDING}


def _key(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True)
