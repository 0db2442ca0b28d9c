"""Read new rows with their targets to evaluate a saved model: `dlcli eval RUN --file FILE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dlcli.config.suggest import choices, hint, near, question
from dlcli.datasets.boxes.boxes import Boxes
from dlcli.datasets.data import Data
from dlcli.datasets.evaluation_only import Expected, Targets, evaluating
from dlcli.datasets.images.pixel_notices import unseen_kinds
from dlcli.datasets.masks.class_maps import Masks
from dlcli.datasets.notices import Notice
from dlcli.datasets.raw_rows import read_rows
from dlcli.datasets.reading.column_notices import NewRowCounts
from dlcli.datasets.reading.spellings import spelt_as
from dlcli.datasets.tables.format_options import without_decided
from dlcli.datasets.words.word_tags import Tags
from dlcli.errors import DataError, InputError
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.new_images import depth_of_model
from dlcli.preprocessing.series import Series
from dlcli.preprocessing.spectrogram import Spectrogram
from dlcli.runs.recorded_choices import section_with
from dlcli.tasks.base import Task

# Keys that assign rows to training and test. They are ignored, because all new rows are evaluated.
_SPLITTING = ("test_path", "val_path", "split", "borders", "test_steps", "group", "lists", "test", "val")


def labelled_rows(
    dataset: Mapping[str, Any], file: Path, model: SavedModel, recorded: Mapping[str, Any] | None = None
) -> Data:
    """Read a file with the settings of a section `dataset`, and encode its targets as the task does.

    `recorded` is the section of the run, if `dataset` differs from it.

    Raises:
        InputError: The run's dataset is not read from a file.
        DataError: The file cannot be read, or has classes that are unknown to the model.
    """
    if "path" not in dataset:
        raise InputError(
            f"the run's dataset is not read from a file: {dataset['_target_']} has no path",
            "--file",
            "To predict new rows with this run, use dlcli predict.",
        )
    section = {**dataset, "path": str(file), **{key: None for key in _SPLITTING if key in dataset}}
    if model.kind == "table" and model.columns is not None and str(section["_target_"]).startswith("dlcli."):
        section = without_decided(section, dataset if recorded is None else recorded)
    if model.kind == "image" and "size" in section:
        section |= {
            "size": list(model.input_shape[1:]),
            "color": "grey" if model.input_shape[0] == 1 else "rgb",
            "depth": depth_of_model(model),
        }
        if (
            model.image_kinds is None
        ):  # a run of an earlier version, which took the colours of transparent pixels
            section["background"] = "ignore"
    if isinstance(model.preprocessing, Spectrogram) and "sample_rate" in section:
        section["sample_rate"] = model.preprocessing.rate_
    if "repeats" in section:
        section["repeats"] = 1  # as in test rows, each joined recording counts once
    if isinstance(fitted := model.preprocessing, Series):
        chosen = {"lookback": fitted.lookback_, "business_days": fitted.has_business_days}
        section = section_with(section, chosen)  # `auto` may differ for another file
    if model.kind in ("table", "tokens") and "time" in section:
        section["time"] = None  # the order of the rows does not matter
    labels = tuple(getattr(model.task, "classes", ())) if model.task.kind == "multilabel" else ()
    with evaluating(Expected(_targets(model.task), model.columns, labels)):
        data = read_rows(section)
    return _with_known_classes(data, model.task, file)


def notices_on_file(data: Data, model: SavedModel, file: Path) -> list[Notice]:
    """Return notices of what was left out or converted while reading a file, and of differences from training
    images."""
    notices = [*data.notices, *unseen_kinds(data.kinds, model.image_kinds or {}, str(file))]
    if data.parts is not None and (trained := int((data.parts == "train").sum())):
        text = (
            f"{trained:,} of {len(data):,} rows belong to a training part, and are evaluated like the others"
        )
        hint = "Name the folder of the test rows."
        notices.append(Notice("training_rows", trained, text, str(file), hint))
    if model.columns is not None and data.kind == "table":
        counts = NewRowCounts(model.columns)
        counts.add(data.x)
        notices += counts.notices(str(file))
    notices += model.task.unseen_targets(data.y, "rows")
    return notices


def _targets(task: Task) -> Targets:
    if getattr(task, "classes", ()):
        return "categorical"
    return "numeric" if task.kind == "regression" else "either"


def _with_known_classes(data: Data, task: Task, file: Path) -> Data:
    """Return the data with targets encoded by the task's classes or labels, of which the file may lack some."""
    known: Sequence[str] = getattr(task, "classes", ())
    if not known:
        return data
    spelt = spelt_as(data.classes, known)
    names = [spelt.get(name, name) for name in data.classes]
    unknown = sorted(set(names) - set(known))
    if unknown or not data.classes:
        near_names = question(near(unknown[0], known)) if unknown else ""
        raise DataError(
            f"the class {unknown[0]} is unknown to the model"
            if unknown
            else "the targets are numbers, not classes",
            str(file),
            hint(near_names, choices(known)),
        )
    if data.y.ndim == 2:
        y = np.zeros((len(data.y), len(known)), dtype=data.y.dtype)
        y[:, [known.index(name) for name in names]] = data.y
        return replace(data, y=y, classes=tuple(known))
    codes = np.array([known.index(name) for name in names])
    if isinstance(data.y, Boxes):
        return replace(data, y=data.y.recoded(codes), classes=tuple(known))
    if isinstance(data.y, Masks | Tags):
        return replace(data, y=data.y.recoded(codes, len(known)), classes=tuple(known))
    return replace(data, y=codes[data.y], classes=tuple(known))
