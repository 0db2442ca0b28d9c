"""The format of a model's requests and answers: `/schema`, an example request, and a curl command that sends it."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import wavfile

from dlcli.datasets.reading.column import Column
from dlcli.datasets.reading.number_formats import PLAIN
from dlcli.errors import InputError, first_line
from dlcli.inference.example import (
    GREY,
    LOUD,
    TEXT,
    TONE,
    number_text,
    steps_of_row,
    usual_numbers,
    usual_value,
)
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.new_sequences import StepSettings
from dlcli.preprocessing.series import Series
from dlcli.preprocessing.spectrogram import Spectrogram
from dlcli.runs.folder import OpenedRun
from dlcli.serving.bodies import FILES, JSON, Body, accepted
from dlcli.serving.limits import ServeLimits
from dlcli.serving.predictor import Answer, NotAnswered, Predictor

# Maximum length of an example that the command of curl contains.
_SHORT = 700

# Kinds of data whose columns are texts.
_TEXTS = ("tokens", "words", "questions")


class Contract:
    """The format of requests to a run's model, and of its answers.

    Args:
        opened: the run.
        predictor: answers requests; the example is verified by sending it.
        limits: limits on a request.

    Attributes:
        note: the reason if there is no example; empty otherwise.

    Raises:
        CorruptRun: The model fails on the example.
    """

    def __init__(self, opened: OpenedRun, predictor: Predictor, limits: ServeLimits) -> None:
        self.run_id, self.run_name = opened.ledger.run_id, opened.ledger.run_name
        self._model: SavedModel = predictor.model
        self._settings = predictor.settings
        self._text_column = predictor.text_column
        self._limits = limits
        self._facts = self._model.facts
        self.example: Body | None = self._example()
        found = predictor.answer([self.example])[0]
        self.answer = found if isinstance(found, Answer) else None
        self.note = ""
        if isinstance(found, NotAnswered):
            if not isinstance(found.cause, InputError):  # the model fails on all rows
                raise found.cause
            self.example = None
            self.note = (
                f"there is no example of a request, because an invented one was rejected: {first_line(found)}"
            )

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The content of `/schema`."""
        kind = self._model.kind
        found: dict[str, Any] = {
            "run_id": self.run_id,
            "run_name": self.run_name,
            "kind": kind,
            "task": self._model.task.describe(),
            "classes": list(self._facts["classes"]),
            "accepts": list(accepted(kind)),
            "columns": self.columns(),
        }
        if kind == "image":
            channels, height, width = self._model.input_shape
            found["image"] = {"channels": channels, "height": height, "width": width}
        if isinstance(self._model.preprocessing, Spectrogram):
            reads = self._model.preprocessing
            found["audio"] = {"sample_rate": reads.rate_, "seconds": reads.samples_ / reads.rate_}
        if kind == "sequence":
            found["steps"] = self._steps()
        if self.answer is not None and self.answer.predictions:
            found["answers"] = list(self.answer.predictions[0])
        limits = self._limits
        found["limits"] = {"bytes": limits.bytes, "rows": limits.rows, "seconds": limits.seconds}
        return found

    def columns(self) -> list[dict[str, Any]]:
        """Return the columns of a request, each with name, role, type and format of its cells."""
        kind = self._model.kind
        if kind in FILES:
            return []
        if kind in _TEXTS:
            return [{"name": name, "role": "text", "type": "text"} for name in self._text_columns()]
        return [_described(column) for column in self._read()]

    def _text_columns(self) -> list[str]:
        """Return the names of columns of texts, by the settings for reading rows."""
        settings: Any = self._settings
        if self._model.kind == "tokens":
            return [self._text_column]
        return [settings.text] if self._model.kind == "words" else [settings.question, settings.context]

    def _read(self) -> list[Column]:
        """Return the columns of a table that the model reads."""
        if self._model.columns is not None:
            return [c for c in self._model.columns if c.role in ("feature", "id", "time")]
        names = getattr(self._model.preprocessing, "columns_", ())  # a run of an earlier version
        return [Column(name, "numeric") for name in names]

    def _steps(self) -> dict[str, Any]:
        """Return the number of steps of a row, for series and sequences."""
        preprocessing: Any = self._model.preprocessing
        if isinstance(preprocessing, Series):
            known = preprocessing.columns_[-preprocessing.known_ :] if preprocessing.known_ else []
            return {
                "lookback": preprocessing.lookback_,
                "min_lookback": preprocessing.least,
                "horizon": preprocessing.horizon_,
                "targets": preprocessing.columns_[: preprocessing.targets_],
                "known_ahead": list(known),
            }
        return {"length": preprocessing.length_ or None}

    def curl(self, address: str, token: str = "") -> str:
        """Return the shell command that sends the example; `token` is a shell expression for the token."""
        at = {path: shlex.quote(f"{address}/{path}") for path in ("schema", "example", "predict")}
        # Not as a header, whose value would be masked in the output.
        secret = f'--oauth2-bearer "{token}" ' if token else ""
        if self.example is None:
            return f"curl -sS {secret}{at['schema']}"
        text = "" if self.example.type != JSON else self.example.content.decode()
        if 0 < len(text) <= _SHORT:
            sent = f"-H 'Content-Type: {JSON}' -d {shlex.quote(text)}"
            return f"curl -sS {secret}{at['predict']} {sent}"
        sent = f"-H 'Content-Type: {self.example.type}' --data-binary @-"
        return f"curl -sS {secret}{at['example']} | curl -sS {secret}{at['predict']} {sent}"

    def _example(self) -> Body:
        kind = self._model.kind
        if kind == "image":
            return self._image()
        if isinstance(self._model.preprocessing, Spectrogram):
            return _tone(self._model.preprocessing.rate_)
        if kind == "tokens":
            rows: list[dict[str, Any]] = [{self._text_column: TEXT}]
        elif kind == "words":
            rows = [dict.fromkeys(self._text_columns(), TEXT)]
        elif kind == "questions":
            rows = [dict(zip(self._text_columns(), ("What is this?", TEXT), strict=True))]
        elif kind == "sequence":
            rows = self._example_steps()
        else:
            usual = usual_numbers(self._model.preprocessing)
            rows = [{column.name: _usual_cell(column, usual) for column in self._read()}]
        return Body(json.dumps(rows, ensure_ascii=False).encode(), JSON)

    def _image(self) -> Body:
        channels, height, width = self._model.input_shape
        written = io.BytesIO()
        if getattr(self._model.preprocessing, "depth_", "uint8") == "float32":
            Image.new("F", (width, height), 0.5).save(written, "TIFF")
            return Body(written.getvalue(), "image/tiff")
        colour = GREY if channels == 1 else (GREY,) * 3
        Image.new("L" if channels == 1 else "RGB", (width, height), colour).save(written, "PNG")
        return Body(written.getvalue(), "image/png")

    def _example_steps(self) -> list[dict[str, Any]]:
        settings = self._settings if isinstance(self._settings, StepSettings) else StepSettings()
        return steps_of_row(self._model.preprocessing, self._model.columns, settings.id, settings.time)


def _tone(rate: int) -> Body:
    """Return a .wav file of a tone of half a second."""
    written = io.BytesIO()
    wave = np.sin(2 * np.pi * TONE * np.arange(rate // 2) / rate)
    wavfile.write(written, rate, (wave * LOUD).astype(np.int16))
    return Body(written.getvalue(), "audio/wav")


def _usual_cell(column: Column, usual: Mapping[str, float]) -> Any:
    """Return a typical value of a column, as text if its numbers have a format of their own."""
    value = usual_value(column, usual)
    is_plain = column.kind != "numeric" or column.number == PLAIN
    return value if is_plain else number_text(value, column.number)


def _described(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "role": column.role, "type": column.kind}
    if column.categories is not None:
        found["categories"] = list(column.categories)
    if column.kind == "boolean":
        found["words"] = list(column.words)
    if column.kind == "date":
        found["format"] = column.date.describe() or "2024-12-31"
        found["pattern"] = column.date.patterns[0]
    if column.kind == "numeric" and (how := column.number.describe()):
        found["format"] = how
    if column.missing is not None:
        found["missing"] = list(column.missing)
    return found
