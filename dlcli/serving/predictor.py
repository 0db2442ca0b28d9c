"""Answer requests: the rows of each request are read separately, and those of all requests predicted in one batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.datasets.images.image_decoder import BadImage, read_header
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.column_selection import PIECE
from dlcli.datasets.text_rows import Texts
from dlcli.errors import DlcliError
from dlcli.inference.evaluation import choose_device
from dlcli.inference.rows import as_rows
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.new_rows import NewRows, placed
from dlcli.prediction.new_words import WordSettings
from dlcli.prediction.output import as_dicts
from dlcli.prediction.row_reader import Given, RowReader
from dlcli.preprocessing.protocols import CountsNewRows
from dlcli.runs.folder import OpenedRun
from dlcli.runs.model_errors import model_errors
from dlcli.serving.bodies import NAME, Body, JsonRows, TooMuch, in_memory, read_body, refuse_more_rows
from dlcli.serving.limits import ServeLimits

# Kinds of data whose rows can be joined across requests. Series and sequences depend on other rows of their request.
_JOINED = ("table", "tokens", "image")

# Maximum number of pixels in a request, as a multiple of the largest image: few bytes can decode to many pixels.
_IMAGES = 4


Lines = Literal["rows", "lines", ""]


@dataclass(frozen=True)
class Answer:
    """The answer to a request: a dictionary per prediction, and notices about values left out, converted or unknown."""

    predictions: list[dict[str, Any]]
    notices: list[Notice]


class NotAnswered(Exception):
    """A request cannot be answered.

    Attributes:
        cause: the error.
        lines: unit of the line numbers in the places of errors: `rows` of JSON, `lines` of a file, or empty for images.
    """

    def __init__(self, cause: Exception, lines: Lines) -> None:
        super().__init__(str(cause))
        self.cause, self.lines = cause, lines


@dataclass(eq=False)
class _Read:
    """The rows of a request."""

    pieces: list[NewRows] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


class Predictor:
    """Answers requests with a run's model.

    Args:
        opened: the run.
        model: its model.
        settings: overrides for reading rows, such as `dataset.separator=;`.
        limits: limits on a request.
        device: `cpu`, or `auto` for an accelerator if there is one.

    Raises:
        ConfigError: A setting is invalid.
        InputError: Rows of the run's kind cannot be read.
    """

    def __init__(
        self,
        opened: OpenedRun,
        model: SavedModel,
        settings: Sequence[str] = (),
        limits: ServeLimits | None = None,
        device: Literal["auto", "cpu"] = "auto",
    ) -> None:
        self.model = model
        self.text_column = (
            getattr(model.preprocessing, "column_", "") or "text" if model.kind == "tokens" else ""
        )
        self._folder = opened.folder
        self._reader = RowReader(opened, model, settings)
        self.settings = self._reader.settings
        if isinstance(self.settings, WordSettings):
            self.text_column = self.settings.text
        self._limits = limits or ServeLimits()
        self._device = choose_device("auto" if device == "auto" else "cpu")

    def answer(self, bodies: Sequence[Body]) -> list[Answer | NotAnswered]:
        """Return the answer to each request, or the reason why it cannot be answered."""
        given = [
            _tried(partial(read_body, body, self.model.kind, self.text_column, self._limits))
            for body in bodies
        ]
        answers: dict[int, Any] = {n: one for n, one in enumerate(given) if isinstance(one, Exception)}
        for group in self._alike(given):
            if found := self._together([given[number] for number in group]):
                answers |= dict(zip(group, found, strict=True))
        rest = [number for number in range(len(given)) if number not in answers]
        answers |= dict(zip(rest, self._one_by_one([given[number] for number in rest]), strict=True))
        found = [answers[number] for number in range(len(given))]
        return [
            NotAnswered(answer, _lines_of(own)) if isinstance(answer, Exception) else answer
            for answer, own in zip(found, given, strict=True)
        ]

    def _alike(self, given: Sequence[Any]) -> list[list[int]]:
        """Return groups of requests (by position) whose rows of a table can be read together."""
        groups: dict[Any, list[int]] = {}
        # How a row is read may depend on its neighbours.
        if self.model.kind != "table" or self.model.columns is None:
            return []
        for number, one in enumerate(given):
            if isinstance(one, tuple) and isinstance(one[0], JsonRows) and one[0].alike is not None:
                groups.setdefault(one[0].alike, []).append(number)
        return list(groups.values())

    def _together(self, requests: Sequence[tuple[JsonRows, list[Notice]]]) -> list[Answer]:
        """Return the answers to requests that are read and predicted as one table; empty if there are any notices.

        How a row is read does not depend on other rows with the same keys, so the result equals that of reading each
        request separately, which takes several times as long.
        """
        sizes = [given.rows for given, _ in requests]
        if sum(sizes) > PIECE or isinstance(self.model.preprocessing, CountsNewRows):
            return []
        notices: list[Notice] = []
        stream = in_memory(b"\n".join(given.lines for given, _ in requests))
        try:
            (piece,) = self._reader.read(Given([NAME], stream), notices.append)
            if notices and len(requests) > 1:
                return []
            table = self.model.predict(piece.rows, self._device, are_read=True)
        except Exception:  # the requests are read separately next, which finds the one at fault
            return []
        lines = iter(as_dicts(pa.Table.from_pandas(table, preserve_index=False)))
        return [
            Answer([{"row": row, **line} for row, line in enumerate(islice(lines, size))], [*own, *notices])
            for size, (_, own) in zip(sizes, requests, strict=True)
        ]

    def _one_by_one(self, given: Sequence[tuple[Given, list[Notice]]]) -> list[Any]:
        """Return the answers to requests that are read one by one, and predicted together if they can be joined."""
        read = [_tried(partial(self._read, *one)) for one in given]
        answers = dict(enumerate(read))
        good = [number for number, rows in answers.items() if isinstance(rows, _Read)]
        together = _tried(partial(self._predict, [read[number] for number in good]))
        if isinstance(together, Exception) and len(good) > 1:  # find the one at fault
            alone = [_tried(partial(self._predict, [read[number]])) for number in good]
            together = [found if isinstance(found, Exception) else found[0] for found in alone]
        if isinstance(together, Exception):
            together = [together] * len(good)
        return [*(answers | dict(zip(good, together, strict=True))).values()]

    def _read(self, given: Given, notices: list[Notice]) -> _Read:
        pixels, most = 0, self._limits.pixels
        for image in given.stored:
            with suppress(BadImage):  # reported when it is read
                own = int(np.prod(read_header(image).size))
                if own > most:
                    raise TooMuch(f"has more than {most:,} pixels", image.where, "Send a smaller one.")
                pixels += own
        if pixels > _IMAGES * most:
            message = f"the images have more than {_IMAGES * most:,} pixels together"
            raise TooMuch(message, str(NAME), "Send several requests.")
        read, rows = _Read(notices=list(notices)), 0
        for piece in self._reader.read(given, read.notices.append):
            rows += len(piece.rows)
            refuse_more_rows(rows, self._limits)
            read.pieces.append(piece)
        return read

    def _predict(self, requests: Sequence[_Read]) -> list[Answer]:
        """Predict the rows of requests, joined if possible."""
        pieces = [piece for request in requests for piece in request.pieces]
        tables: dict[int, pd.DataFrame] = {}
        counts: dict[int, Counter[str]] = {id(piece): Counter() for piece in pieces}
        joins = self.model.kind in _JOINED and len(pieces) > 1
        joined = _joined([piece.rows for piece in pieces]) if joins else None
        with placed(NAME), model_errors(self._folder):
            if joined is not None:
                for piece in pieces if isinstance(self.model.preprocessing, CountsNewRows) else ():
                    self.model.fields(piece.rows, counts[id(piece)])
                all_rows = self._table(joined)
                first = 0
                for piece in pieces:
                    tables[id(piece)] = all_rows.iloc[first : first + len(piece.rows)]
                    first += len(piece.rows)
            else:
                for piece in pieces:
                    tables[id(piece)] = self._table(piece.rows, counts[id(piece)])
        return [self._answer(request, tables, counts) for request in requests]

    def _table(self, rows: Any, counts: Counter[str] | None = None) -> pd.DataFrame:
        """Return predictions, and what the task adds to answers."""
        rows = as_rows(rows, self.model.kind, self.model.columns, are_read=True)
        outputs, table = self.model.outputs_and_predictions(rows, self._device, counts)
        more = self.model.task.answered(outputs, rows)
        return table if more is None else pd.concat([table, more], axis=1)

    def _answer(
        self, request: _Read, tables: Mapping[int, pd.DataFrame], counts: Mapping[int, Counter[str]]
    ) -> Answer:
        total: Counter[str] = Counter()
        lines: list[dict[str, Any]] = []
        for piece in request.pieces:
            labels = as_dicts(piece.labels)
            found = as_dicts(pa.Table.from_pandas(tables[id(piece)], preserve_index=False))
            lines += [label | line for label, line in zip(labels, found, strict=True)]
            total.update(counts[id(piece)])
        return Answer(lines, [*request.notices, *self.model.notices(total)])


def _lines_of(given: Any) -> Lines:
    """Return the unit of line numbers in messages about a request."""
    if isinstance(given, Exception) or isinstance(given[0], JsonRows):
        return "rows"
    return "" if given[0].stored else "lines"


def _tried(call: Callable[[], Any]) -> Any:
    """Return the result of a call, or the exception that it raised."""
    try:
        return call()
    except DlcliError as error:
        return error
    except Exception as error:  # an unexpected error must not end the server
        return error


def _joined(rows: Sequence[Any]) -> Any:
    """Return the rows of several requests as one object, or None if this kind of rows cannot be joined."""
    first = rows[0]
    if isinstance(first, Texts):
        return Texts(pa.chunked_array([chunk for one in rows for chunk in _chunks(one.values)]), first.name)
    if isinstance(first, ImageFiles):
        if any(one.decoder != first.decoder for one in rows):
            return None
        return ImageFiles([entry for one in rows for entry in one.entries], first.decoder)
    if isinstance(first, pd.DataFrame) and all(list(one.columns) == list(first.columns) for one in rows):
        return _stacked(rows)
    return None


def _chunks(values: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return values.chunks if isinstance(values, pa.ChunkedArray) else [values]


def _stacked(frames: Sequence[pd.DataFrame]) -> pd.DataFrame | None:
    """Return the concatenation of tables that were read by the same columns; None if their types differ."""
    columns = {}
    for name in frames[0].columns:
        parts = [frame[name] for frame in frames]
        kinds = {part.dtype for part in parts}
        # Numeric columns may differ in type; mixed with booleans they would become objects.
        if len(kinds) > 1:
            if not all(pd.api.types.is_numeric_dtype(kind) for kind in kinds):
                return None
            parts = [part.astype(np.float64) for part in parts]
        columns[name] = pd.concat(parts, ignore_index=True)
    return pd.DataFrame(columns)
