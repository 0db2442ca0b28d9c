"""`predict`: apply a run's saved model to files of new rows, of the kind that the run was trained on."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa

from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.pieces import STDIN
from dlcli.errors import DataError, InputError
from dlcli.events import Listener, Note, RowsPredicted, Warned, ignore
from dlcli.formatting import counted
from dlcli.inference.evaluation import choose_device
from dlcli.inference.rows import as_rows
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.new_rows import placed
from dlcli.prediction.output import Write
from dlcli.prediction.reading_settings import files_and_settings
from dlcli.prediction.row_reader import Given, Keep, RowReader
from dlcli.runs.folder import OpenedRun
from dlcli.runs.model_errors import model_errors
from dlcli.tasks.mask_files import OVERLAY, are_cropped


@dataclass(frozen=True)
class Predicted:
    """The result of `dlcli predict`.

    Attributes:
        run_id: ID of the run whose model predicted.
        run_name: name of the run.
        run_dir: folder of its artifacts.
        lines: number of written predictions.
        notices: reports of what was left out or converted while reading, and of values unseen in training.
        members: IDs of the runs whose models predicted together; empty for a single model.
        coverage: coverage of sets or intervals as a share of new rows; None without them.
        calibration_rows: number of rows by which they were calibrated.
    """

    run_id: str
    run_name: str
    run_dir: Path
    lines: int
    notices: tuple[Notice, ...] = ()
    members: tuple[str, ...] = ()
    coverage: float | None = None
    calibration_rows: int | None = None


@dataclass(frozen=True, eq=False)
class NewData:
    """Files of new rows and the settings for reading them.

    Attributes:
        files: The files; `-` is standard input.
        settings: Settings as on the command line, such as `dataset.separator=;`.
        keep: Columns of tables that are copied to the output, or `all`.
    """

    files: Sequence[Path]
    settings: Sequence[str] = ()
    keep: Keep = ()

    @classmethod
    def of(cls, words: Sequence[str], keep: str | None = None) -> NewData:
        """Parse the words of a command line; without a file, rows are read from standard input."""
        files, settings = files_and_settings(words)
        if not files and sys.stdin.isatty():
            raise InputError("there are no rows to predict", "FILE", "Name a file, or pipe rows in.")
        files = [STDIN if str(file) == "-" else file for file in files or [STDIN]]
        if files.count(STDIN) > 1:
            raise InputError("standard input is named twice", "-", "Name it once.")
        # As in CSV, a name that contains a comma is quoted.
        names = [
            name.strip() for name in next(csv.reader([keep or ""], skipinitialspace=True), []) if name.strip()
        ]
        return cls(files, settings, "all" if names == ["all"] else names)


def predict_rows(
    opened: OpenedRun,
    model: SavedModel,
    data: NewData,
    write: Write,
    *,
    device: Literal["auto", "cpu"] = "auto",
    listen: Listener = ignore,
    files: Path | None = None,
) -> tuple[int, list[Notice]]:
    """Read the rows, predict them and write the predictions, piece by piece.

    Args:
        opened: The run.
        model: The run's model.
        data: The files.
        write: Appends lines to the output.
        device: `cpu`, or `auto` for an accelerator if there is one.
        listen: Receives warnings, and the number of lines written so far.
        files: Folder for predictions that are files, such as masks; None writes the table only.

    Returns:
        The number of lines, and reports of what was left out, converted or unknown, which are also sent as notes and
        warnings.

    Raises:
        DataError: A file, row or column does not fit the model.
        InputError: There is a folder for files, but the task's predictions are only a table.
        ConfigError: A setting is invalid.
    """
    lines, cropped, place = 0, 0, choose_device(device)
    listen(RowsPredicted(lines))
    columns: list[str] = []
    notices: list[Notice] = []
    counts: Counter[str] = Counter()

    def report(notice: Notice) -> None:
        notices.append(notice)
        listen(Warned(notice.text) if notice.warns else Note(notice.text))

    names = FileNames()
    reader = RowReader(opened, model, data.settings)
    for new in reader.read(Given(data.files), report, data.keep):
        with placed(new.file, new.place), model_errors(opened.folder):
            rows = as_rows(new.rows, model.kind, model.columns, are_read=True)
            outputs, predictions = model.outputs_and_predictions(rows, place, counts)
        if files is not None:
            written = model.task.write_files(files, names.of(new.labels), rows, outputs)
            if written is None:
                raise InputError(
                    f"the predictions of {model.task.describe()} are only a table",
                    "--files",
                    "Use --output FILE.",
                )
            cropped += len(written) if are_cropped(rows) else 0
            predictions = pd.concat([written, predictions], axis=1)
        _refuse_namesakes(new.labels.column_names, predictions)
        table, found = new.labels, pa.Table.from_pandas(predictions, preserve_index=False)
        for name in found.column_names:
            table = table.append_column(name, found[name])
        columns = columns or table.column_names
        if table.column_names != columns:
            hint = "Name columns that all files have, such as --keep id,name."
            raise DataError("has other columns to keep than the preceding files", str(new.file), hint)
        write(table)
        lines += len(table)
        listen(RowsPredicted(lines))
    if cropped:
        text = (
            f"{counted(cropped, 'mask')} of a cropped image in the size of the model, not of the whole file"
        )
        report(Notice("cropped_masks", cropped, text, "dataset.fit", "Train with dataset.fit=stretch."))
    for notice in model.notices(counts):
        report(notice)
    return lines, notices


class FileNames:
    """Unique names of rows for their files, without a suffix: the name of the row's own file, numbered if it is
    repeated.

    Names are unique ignoring case, and differ from the names of other rows' overlays.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._last: Counter[str] = Counter()

    def of(self, labels: pa.Table) -> list[str]:
        """Return the names of rows with these labels."""
        found = []
        column = labels["file"].to_pylist() if "file" in labels.column_names else ["row"] * len(labels)
        for file in column:
            # For a member of an archive, `photos.tar: a/b.jpg`, the last part.
            found.append(self._free(Path(str(file).rpartition(": ")[2]).stem))
        return found

    def _free(self, stem: str) -> str:
        key = stem.casefold()
        while True:
            self._last[key] += 1
            name = stem if self._last[key] == 1 else f"{stem}-{self._last[key]}"
            both = {name.casefold(), f"{name}{OVERLAY}".casefold()}
            if not both & self._used:
                self._used |= both
                return name


def _refuse_namesakes(labels: Sequence[str], predictions: pd.DataFrame) -> None:
    """Raise a DataError if two columns of the output would have the same name."""
    names = [*labels, *map(str, predictions.columns)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(
            f"the output would have two columns named {twice}",
            "--keep",
            "The rows have a column of that name: keep others, such as --keep id,name.",
        )
