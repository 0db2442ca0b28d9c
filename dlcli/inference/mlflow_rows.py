"""The rows that a saved model accepts through MLflow: their signature, an example, and their conversion.

table       a table with the columns of the model
sequence    a table with a row per step
tokens      a list of texts, or a table with only the column of texts
words       a table with the column `text`
questions   a table with the columns `question` and `context`
image       an array `(N, H, W)` or `(N, H, W, C)`, of the size and the type of the training images
audio       a table with the column `audio`: waveforms at the rate of the training rows, or contents of audio files
"""

from __future__ import annotations

import base64
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from dlcli.datasets.audio.audio_loading import AudioOptions, load_recordings
from dlcli.datasets.folders.stored import MemoryEntry
from dlcli.datasets.questions.questions import CONTEXT, QUESTION
from dlcli.datasets.reading.columns import Columns
from dlcli.errors import DataError
from dlcli.inference.example import (
    GREY,
    LOUD,
    TEXT,
    TONE,
    steps_of_row,
    usual_numbers,
    usual_value,
)
from dlcli.inference.mlflow_files import ML_MODEL, dump
from dlcli.inference.saved_model import SavedModel
from dlcli.preprocessing.spectrogram import Spectrogram
from dlcli.tracking.manifest import Manifest

EXAMPLE, SERVED_EXAMPLE = "input_example.json", "serving_input_example.json"

_log = logging.getLogger(__name__)

_AUDIO, _WORDS = "audio", "text"  # columns
_SECONDS = 0.25  # of a recording

# MLflow's types of the columns of predictions, by the kind of their NumPy type.
_TYPES = {"b": "boolean", "i": "long", "u": "long", "f": "double"}


@dataclass(frozen=True, eq=False)
class ExampleRows:
    """A synthetic row, and the inputs of the signature that it fits.

    Attributes:
        rows: the row, as MLflow passes it to the model: a table, a list of texts, or an array.
        inputs: MLflow's specification of each input.
    """

    rows: pd.DataFrame | list[str] | np.ndarray
    inputs: Sequence[Mapping[str, Any]]


def add_rows_for_mlflow(folder: Path, model: SavedModel, device: torch.device | str = "cpu") -> None:
    """Add a signature and an input example to a model folder.

    A model that rejects a synthetic row, or whose kind of rows is the user's own, has neither.

    Args:
        folder: the model folder.
        model: the model in it.
        device: device of the forward pass.
    """
    try:
        example = example_of(model)
        if example is None:
            return
        rows = from_mlflow(model, example.rows)
        predictions = model.predict(rows, device, counts=Counter())
    except Exception as error:  # also in the user's own code
        _log.debug("no signature and no input example for MLflow: %r", error)
        return
    described = yaml.safe_load((folder / ML_MODEL).read_text(encoding="utf-8"))
    files, about = _files(example.rows)
    outputs = [
        {"type": _type_of(predictions[name]), "name": str(name), "required": True} for name in predictions
    ]
    described["signature"] = {
        "inputs": json.dumps(list(example.inputs)),
        "outputs": json.dumps(outputs),
        "params": None,
    }
    described["saved_input_example_info"] = about
    manifest = Manifest.load(folder)
    assert manifest is not None  # written by `save_model`
    manifest.replace({**files, ML_MODEL: dump(described)}, durable=False)


def example_of(model: SavedModel) -> ExampleRows | None:
    """Return a synthetic row and the inputs that it fits; None if there is none for the model's kind of rows.

    Columns of tables have MLflow's type `any`: with another type MLflow refuses rows that dlcli reads by
    `columns.json`, such as whole numbers in a column of decimal ones, timestamps, or `5,000`.
    """
    preprocessing: Any = model.preprocessing
    if not model.task.predicts_rows:
        return None
    if model.kind == "table" and model.columns is not None:
        usual = usual_numbers(preprocessing)
        row = {column.name: usual_value(column, usual) for column in model.columns.features()}
        return ExampleRows(pd.DataFrame([row], dtype=object), [_input(name, "any") for name in row])
    if model.kind == "sequence":
        return _steps(preprocessing, model.columns)
    if model.kind == "tokens":
        return ExampleRows([TEXT], [{"type": "string", "required": True}])
    if model.kind == "words":
        return _columns({_WORDS: TEXT}, "string")
    if model.kind == "questions":
        return _columns({QUESTION: "What is this?", CONTEXT: TEXT}, "string")
    if model.kind == "image":
        return _image(model)
    if isinstance(preprocessing, Spectrogram):
        times = np.arange(int(min(preprocessing.rate_ * _SECONDS, preprocessing.samples_)))
        wave = np.sin(2 * np.pi * TONE * times / preprocessing.rate_) * LOUD / np.iinfo(np.int16).max
        return _columns({_AUDIO: wave.round(4).tolist()}, "any")
    return None


def from_mlflow(model: SavedModel, rows: Any) -> Any:
    """Convert rows that MLflow has compared with the signature to rows that `SavedModel.predict` accepts.

    Raises:
        DataError: a table of texts has another column than the model, or an audio file is damaged.
    """
    if not isinstance(rows, pd.DataFrame):
        return rows
    if model.kind == "tokens" and len(rows.columns) == 1:
        return _texts(rows, getattr(model.preprocessing, "column_", "") or "text")
    if isinstance(model.preprocessing, Spectrogram) and _AUDIO in rows.columns:
        return [_waveform(cell, row, model.preprocessing.rate_) for row, cell in enumerate(rows[_AUDIO])]
    return rows


def _texts(rows: pd.DataFrame, column: str) -> list[Any]:
    """Return the texts of a table, which MLflow has cut to its first column."""
    name = rows.columns[0]
    if isinstance(name, str) and name != column:
        raise DataError(
            f"the first column is {name}, but the model reads {column}",
            "new data",
            f"Pass this column alone, as a table or a list of texts: rows[[{column!r}]].",
        )
    return rows.iloc[:, 0].tolist()


def _waveform(cell: Any, row: int, rate: int) -> np.ndarray:
    """Return a waveform; the bytes of an audio file, or their base64 code, are decoded."""
    if not isinstance(cell, bytes | str):
        return np.asarray(cell)
    entry = MemoryEntry(f"row {row}", cell if isinstance(cell, bytes) else base64.b64decode(cell))
    (wave,) = load_recordings(Path("new data"), [entry], AudioOptions(rate)).x
    return wave


def _steps(preprocessing: Any, columns: Columns | None) -> ExampleRows:
    id, time = getattr(preprocessing, "id_", None), getattr(preprocessing, "time_", None)
    frame = pd.DataFrame(steps_of_row(preprocessing, columns, id, time))
    return ExampleRows(frame, [_input(name, "any", name not in (id, time)) for name in frame])


def _image(model: SavedModel) -> ExampleRows:
    """Return an image of one colour; images may be larger or smaller only if the dataset scales them, before this."""
    channels, height, width = model.input_shape
    shape = (height, width) if channels == 1 else (height, width, channels)
    kind = np.dtype(getattr(model.preprocessing, "depth_", "uint8"))
    tensor = {"dtype": kind.name, "shape": [-1, *shape]}
    pixels = np.full((1, *shape), GREY if kind.kind == "u" else 0.5, kind)
    return ExampleRows(pixels, [{"type": "tensor", "tensor-spec": tensor}])


def _columns(row: Mapping[str, Any], type: str) -> ExampleRows:
    return ExampleRows(pd.DataFrame([row]), [_input(name, type) for name in row])


def _input(name: str, type: str, required: bool = True) -> dict[str, Any]:
    return {"type": type, "name": name, "required": required}


def _type_of(column: pd.Series) -> str:
    return _TYPES.get(getattr(column.dtype, "kind", ""), "string")


def _files(rows: pd.DataFrame | list[str] | np.ndarray) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the files of an example, and the section `saved_input_example_info` of `MLmodel`."""
    about = {"artifact_path": EXAMPLE, "serving_input_path": SERVED_EXAMPLE}
    if isinstance(rows, pd.DataFrame):
        # None in a column of numbers has become NaN, which JSON lacks.
        cells = rows.astype(object).where(rows.notna(), None).to_numpy().tolist()
        content: Any = {"columns": list(rows.columns), "data": cells}
        served = {"dataframe_split": content}
        about |= {"type": "dataframe", "pandas_orient": "split"}
    else:
        content = rows.tolist() if isinstance(rows, np.ndarray) else rows
        served = {"inputs": content}
        about["type"] = "ndarray" if isinstance(rows, np.ndarray) else "json_object"
    return {EXAMPLE: json.dumps(content), SERVED_EXAMPLE: json.dumps(served)}, about
