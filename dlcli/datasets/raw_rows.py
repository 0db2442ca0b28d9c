"""The raw rows that a `dataset` section names, read once a process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.build import build
from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.config.target_types import kind_of
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError, DataError
from dlcli.files.paths import kind_at

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

# Keys that say how rows are fed, not what they are: runs that differ in them share the rows.
_FEEDING = frozenset({"batch_size"})

# Keys that are paths: recorded whole, so that a run is read back from any folder.
DATA_PATHS = ("path", "root", "test_path")

_loaded: dict[str, Data] = {}
# What the files were like when they were read.
_stamps: dict[str, tuple[object, ...]] = {}


def load_data(dataset: Mapping[str, Any]) -> Data:
    """The rows of a section; read where they are not at hand."""

    arguments = _rows_of(dataset)
    if _key(arguments) not in _loaded:
        data = read_rows(dataset)
        positive = arguments.get("positive")
        preload(dataset, data if positive is None else with_positive(data, positive))
    return _loaded[_key(arguments)]


def read_rows(dataset: Mapping[str, Any]) -> Data:
    """The rows of a section, which are not kept: `load_data` has those of a run."""
    from dlcli.datasets.data import Data

    data = build(_rows_of(dataset), where="dataset")
    if not isinstance(data, Data):
        raise ConfigError(
            f"{dataset['_target_']} returns {kind_of(data)}, not a Data",
            "dataset._target_",
            "Name a function that returns dlcli.datasets.data.Data; dlcli new dataset NAME writes one.",
        )
    return data


def load_anew(dataset: Mapping[str, Any]) -> Data:
    """The same where a command begins: a file that has changed since is read again.

    What follows within the command takes the rows as they were, whatever becomes of the file.
    """
    stamp = _stamp(dataset)
    if _stamps.get(_key(_rows_of(dataset))) != stamp:
        _loaded.clear()
    data = load_data(dataset)
    _stamps.clear()
    _stamps[_key(_rows_of(dataset))] = stamp
    return data


def has_loaded(dataset: Mapping[str, Any]) -> bool:
    """Whether `load_data` has these rows at hand."""
    return _key(_rows_of(dataset)) in _loaded


def preload(dataset: Mapping[str, Any], data: Data) -> None:
    """Have `load_data` return these rows, and forget others."""
    _loaded.clear()
    _loaded[_key(_rows_of(dataset))] = data


def _rows_of(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in dataset.items() if key not in _FEEDING}


def _stamp(dataset: Mapping[str, Any]) -> tuple[object, ...]:
    """When each file or folder that the section names was written, and its size."""
    places = [Path(dataset[key]) for key in DATA_PATHS if isinstance(dataset.get(key), str)]
    found = [place.stat() for place in places if kind_at(place) in ("file", "folder")]
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in found)


def _key(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True)


def with_positive(data: Data, name: str | int) -> Data:
    """The same rows with this class as the second of two: the one that precision, recall and f1 are of.

    The codes themselves change, so that task, loss, figures and pictures need not know of it.

    Raises:
        DataError: there are not two classes, or none of that name.
    """
    if data.target_kind != "binary":
        raise DataError(
            f"names the class to be found of two; the targets of {data.name} are {data.target_kind}",
            "dataset.positive",
            "Leave it out.",
        )
    wanted = str(name)
    if wanted not in data.classes:
        raise DataError(
            f"there is no class {wanted} in {data.name}",
            "dataset.positive",
            hint(did_you_mean(wanted, data.classes), choices(data.classes)),
        )
    if data.classes[1] == wanted:
        return data
    return replace(data, classes=data.classes[::-1], y=1 - data.y)
