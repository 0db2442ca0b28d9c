"""New rows with their targets, to judge a saved model by: `dlcli eval RUN --file FILE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.config.suggest import choices, hint, near, question
from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import Targets, judging
from dlcli.datasets.raw_rows import read_rows
from dlcli.errors import DataError, InputError
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.base import NeedsColumns
from dlcli.preprocessing.table import Table
from dlcli.tasks.base import Task

# What says which rows train and which test: of new rows, all judge.
_SPLITTING = ("test_path", "split", "borders", "group")


def labelled_rows(dataset: Mapping[str, Any], file: Path, model: SavedModel) -> Data:
    """The rows of a file, read as the run's section `dataset` reads its own, their targets as the task has them.

    Raises:
        InputError: the run's data are of no file.
        DataError: the file cannot be read so, or has targets that the model does not know.
    """
    if "path" not in dataset:
        raise InputError(
            f"the run's data are of no file: {dataset['_target_']} reads none",
            "--file",
            "New rows of such a run can be predicted: dlcli predict.",
        )
    section = {**dataset, "path": str(file), **{key: None for key in _SPLITTING if key in dataset}}
    if model.kind == "image" and "size" in section:
        section |= {
            "size": list(model.input_shape[1:]),
            "color": "grey" if model.input_shape[0] == 1 else "rgb",
        }
    if "types" in section:
        section["types"] = {**section["types"], **_types(section, model)}
        if section["types"].get(section.get("time")) == "categorical":
            section["time"] = None  # words would be no feature
    with judging(_targets(model.task)):
        data = read_rows(section)
    return _as_learnt(data, model.task, file)


def _targets(task: Task) -> Targets:
    if getattr(task, "classes", ()):
        return "categorical"
    return "numeric" if task.kind == "regression" else "either"


def _types(section: Mapping[str, Any], model: SavedModel) -> dict[str, str]:
    """What columns hold, where that was decided by more rows than the file may have."""
    types = {}
    if isinstance(model.preprocessing, NeedsColumns):
        needed = model.preprocessing.needed_columns()
        types = {name: "categorical" for name, kind in needed.items() if kind == "categorical"}
    if isinstance(model.preprocessing, Table):  # which knows how dates are written
        dates = model.preprocessing.dates_written()
        types |= {name: "categorical" for name in dates if section["types"].get(name) == "date"}
    return types


def _as_learnt(data: Data, task: Task, file: Path) -> Data:
    """The targets in the order of the classes or labels that the task knows; the file may have fewer classes."""
    known: Sequence[str] = getattr(task, "classes", ())
    if not known:
        return data
    unknown = sorted(set(data.classes) - set(known))
    if unknown or not data.classes:
        near_names = question(near(unknown[0], known)) if unknown else ""
        raise DataError(
            f"the model knows no class {unknown[0]}"
            if unknown
            else "the targets are numbers, and no classes",
            str(file),
            hint(near_names, choices(known)),
        )
    if data.y.ndim == 2:
        order = [data.classes.index(name) for name in known]
        return replace(data, y=data.y[:, order], classes=tuple(known))
    codes = np.array([known.index(name) for name in data.classes])
    return replace(data, y=codes[data.y], classes=tuple(known))
