"""`RowReader`: reader of new rows of the kind that a run was trained on, from files or memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.format_options import CellOptions, without_decided
from dlcli.errors import InputError
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.new_audio import AudioSettings, read_recordings
from dlcli.prediction.new_images import ImageSettings, read_images
from dlcli.prediction.new_language import LanguageSettings, read_language
from dlcli.prediction.new_questions import QuestionSettings, read_new_questions
from dlcli.prediction.new_rows import NewRows
from dlcli.prediction.new_sequences import StepSettings, read_sequences, read_series
from dlcli.prediction.new_tables import read_tables
from dlcli.prediction.new_texts import TextLayout, TextSettings, read_texts
from dlcli.prediction.new_words import WordSettings, read_sentences
from dlcli.prediction.reading_settings import read_settings
from dlcli.preprocessing.language import Language
from dlcli.preprocessing.pretrained_masked import PretrainedMasked
from dlcli.preprocessing.sequences import Sequences
from dlcli.preprocessing.series import Series
from dlcli.preprocessing.spectrogram import Spectrogram
from dlcli.runs.folder import OpenedRun

Keep = Sequence[str] | Literal["all"]


@dataclass(frozen=True, eq=False)
class Given:
    """New rows as passed by the user.

    Attributes:
        files: the files; `-` is standard input. For rows in memory, the name for messages.
        stream: the content of a single file in memory: a table of text or JSON lines.
        stored: images or recordings in memory, which are read instead of files.
        layout: for texts in `stream`, whether they are a column of a table or one per line; None detects it from the
            first line.
    """

    files: Sequence[Path]
    stream: io.BufferedReader | None = None
    stored: Sequence[Stored] = ()
    layout: TextLayout | None = None


class RowReader:
    """Reader of new rows for the run's kind of data.

    Args:
        opened: the run.
        model: the run's model.
        overrides: settings for reading, such as `dataset.separator=;`.

    Attributes:
        settings: the settings of the reader for this kind of data.

    Raises:
        ConfigError: A setting is invalid.
        InputError: Rows of the run's kind cannot be read from files.
    """

    def __init__(self, opened: OpenedRun, model: SavedModel, overrides: Sequence[str] = ()) -> None:
        self._model = model
        self._preprocessing: Any = model.preprocessing
        recorded = opened.config["dataset"]
        if model.kind == "table" and model.columns is not None:
            recorded = without_decided(recorded, recorded)
        read = partial(read_settings, recorded=recorded, overrides=overrides)
        self.settings: Any
        if model.kind == "table":
            self.settings = read(CellOptions)
        elif isinstance(self._preprocessing, Language | PretrainedMasked):
            self.settings = read(LanguageSettings)
        elif model.kind == "tokens":
            self.settings = read(TextSettings, text=getattr(self._preprocessing, "column_", "") or None)
        elif model.kind == "questions":
            self.settings = read(QuestionSettings)
        elif model.kind == "words":
            self.settings = read(WordSettings)
        elif model.kind == "image":
            # Runs of earlier versions kept the colours of transparent pixels.
            background = "ignore" if model.image_kinds is None else "white"
            self.settings = read(ImageSettings, background=background)
        elif isinstance(self._preprocessing, Spectrogram):
            self.settings = read(AudioSettings)
        elif isinstance(self._preprocessing, Series):
            self.settings = read(StepSettings, id=self._preprocessing.id_ or None)
        elif isinstance(self._preprocessing, Sequences):
            self.settings = read(StepSettings, id=self._preprocessing.id_, time=self._preprocessing.time_)
        else:
            raise InputError(
                f"{type(self._preprocessing).__name__} is not part of dlcli: files of such rows cannot be read",
                str(opened.folder),
                f"Predict from Python: dlcli.load_run({str(opened.folder)!r}).predict(rows)",
            )

    def read(self, given: Given, report: Callable[[Notice], None], keep: Keep = ()) -> Iterator[NewRows]:
        """Yield the rows, piece by piece.

        Args:
            given: the rows.
            report: receives what was left out or converted.
            keep: columns of tables and texts that are copied to the output.

        Raises:
            DataError: A file, row or column does not fit the model.
            InputError: Columns are to be kept from rows that have none.
        """
        files, model, settings = given.files, self._model, self.settings
        kept = None if keep == "all" else keep
        if model.kind == "table":
            return read_tables(files, model.columns, kept, settings, report, given.stream)
        if isinstance(self._preprocessing, Language | PretrainedMasked):
            return read_language(
                files, self._preprocessing, kept, settings, report, given.stream, given.layout
            )
        if model.kind == "tokens":
            return read_texts(files, kept, settings, report, given.stream, given.layout)
        if model.kind == "questions":
            return read_new_questions(files, kept, settings, report, given.stream)
        if keep:
            raise InputError("columns can be kept only from tables and texts", "--keep", "Remove the option.")
        if model.kind == "words":
            return read_sentences(files, settings, given.stream)
        if model.kind == "image":
            return read_images(files, model, settings, report, given.stored)
        if isinstance(self._preprocessing, Spectrogram):
            return read_recordings(files, model, settings, report, given.stored)
        if isinstance(self._preprocessing, Series):
            return read_series(files, self._preprocessing, model.columns, settings, report, given.stream)
        return read_sequences(files, self._preprocessing, model.columns, settings, report, given.stream)
