"""Load the raw rows of a `dataset` section, cached per process."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcli.config.build import build
from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.config.target_types import type_in_words
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError, DataError
from dlcli.files.paths import kind_at

# Keys that affect only batching; runs that differ only in these share the rows.
FEEDING = frozenset({"batch_size", "batch_tokens"})

# Keys that are paths, recorded as absolute paths so that a run can be read from any folder.
DATA_PATHS = ("path", "root", "test_path", "val_path")

_loaded: dict[str, Data] = {}
# Modification times and sizes of the files at the time of reading.
_stamps: dict[str, tuple[object, ...]] = {}


def load_data(dataset: Mapping[str, Any]) -> Data:
    """Return the rows of a section, from the cache if possible."""
    arguments = _rows_of(dataset)
    if _key(arguments) not in _loaded:
        data = read_rows(dataset)
        positive = arguments.get("positive")
        preload(dataset, data if positive is None else with_positive(data, positive))
    return _loaded[_key(arguments)]


def read_rows(dataset: Mapping[str, Any]) -> Data:
    """Read the rows of a section without caching them."""
    data = build(_rows_of(dataset), where="dataset")
    if not isinstance(data, Data):
        raise ConfigError(
            f"{dataset['_target_']} returns {type_in_words(data)}, not Data",
            "dataset._target_",
            "Name a function that returns dlcli.datasets.data.Data; dlcli new dataset NAME creates one.",
        )
    return data


def load_current(dataset: Mapping[str, Any]) -> Data:
    """Return the rows of a section at the start of a command; files that have changed are read again.

    Later calls of `load_data` within the command return the same rows, even if the file changes in the meantime.
    """
    stamp = _stamp(dataset)
    if _stamps.get(_key(_rows_of(dataset))) != stamp:
        _loaded.clear()
    data = load_data(dataset)
    _stamps.clear()
    _stamps[_key(_rows_of(dataset))] = stamp
    return data


def has_loaded(dataset: Mapping[str, Any]) -> bool:
    """Return whether `load_data` has these rows in its cache."""
    return _key(_rows_of(dataset)) in _loaded


def preload(dataset: Mapping[str, Any], data: Data) -> None:
    """Put rows into the cache of `load_data`, replacing all others."""
    _loaded.clear()
    _loaded[_key(_rows_of(dataset))] = data


def known_as(dataset: Mapping[str, Any], data: Data) -> None:
    """Cache the current rows also under another section, in which `auto` has been replaced by its resolved value."""
    _loaded[_key(_rows_of(dataset))] = data
    _stamps[_key(_rows_of(dataset))] = _stamp(dataset)


def _rows_of(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in dataset.items() if key not in FEEDING}


def _stamp(dataset: Mapping[str, Any]) -> tuple[object, ...]:
    """Return modification times and sizes of the files that the section names, and of those in its folders."""
    places = [Path(dataset[key]) for key in DATA_PATHS if isinstance(dataset.get(key), str)]
    kinds = [(place, kind_at(place)) for place in places]
    files = [(place.stat().st_mtime_ns, place.stat().st_size) for place, kind in kinds if kind == "file"]
    return (*files, *(_of_folder(place) for place, kind in kinds if kind == "folder"))


def _of_folder(folder: Path) -> int:
    """Return a number that changes with names, times and sizes of files: a folder's own time does not."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a link to nothing
                stat = Path(place, name).stat()
                found += hash((place, name, stat.st_mtime_ns, stat.st_size))
    return found


def _key(arguments: Mapping[str, Any]) -> str:
    return json.dumps(_with_text_keys(arguments), sort_keys=True)


def _with_text_keys(value: Any) -> Any:
    """Return nested mappings with keys as text, because numbers (as names of columns) cannot be sorted with text."""
    if isinstance(value, Mapping):
        return {f"{key}": _with_text_keys(item) for key, item in value.items()}
    return value


def with_positive(data: Data, name: str | int) -> Data:
    """Return the same rows with `name` as the second of two classes, the positive one of precision, recall and f1.

    The codes are changed, so that task, loss, metrics and plots need no special treatment.

    Raises:
        DataError: the target is not binary, or has no class of this name.
    """
    if data.target_kind != "binary":
        raise DataError(
            f"sets the positive class of a binary target, but the target of {data.name} is {data.target_kind}",
            "dataset.positive",
            "Leave it out.",
        )
    positive = str(name)
    if positive not in data.classes:
        raise DataError(
            f"there is no class {positive} in {data.name}",
            "dataset.positive",
            hint(did_you_mean(positive, data.classes), choices(data.classes)),
        )
    if data.classes[1] == positive:
        return data
    return replace(data, classes=data.classes[::-1], y=1 - data.y)
