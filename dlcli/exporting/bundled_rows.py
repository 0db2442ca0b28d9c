"""The base of the kinds of rows that bundles support: writing them, describing them, and predicting them."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from dlcli.datasets.data import take
from dlcli.exporting.bundle_table import CsvFormat
from dlcli.exporting.dynamic_sizes import size_names, widened
from dlcli.exporting.exported_program import Inputs, onnx_program, silenced_exporter, traced
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.row_reader import Given, RowReader
from dlcli.runs.folder import OpenedRun
from dlcli.training.fields import as_fields, first_rows

# Maximum number of rows of the run's data on which a bundle is compared with the model.
ROWS = 256

# Number of rows of the batch that is traced; torch.export would treat a single row as a constant.
_TRACED = 16


@dataclass(frozen=True)
class BundleSource:
    """The run, model and data from which a bundle is made.

    Attributes:
        opened: the run.
        model: its model.
        dataset: the configuration's section `dataset`, with the current location of the data.
        data: the run's data.
        rows: numbers of test or validation rows, or else of training rows, `(N,)`.
    """

    opened: OpenedRun
    model: SavedModel
    dataset: dict[str, Any]
    data: Any
    rows: np.ndarray

    def some(self) -> np.ndarray:
        """Return the numbers of the rows on which the bundle is compared, evenly spaced, `(N,)`."""
        places = np.linspace(0, len(self.rows) - 1, min(len(self.rows), ROWS)).astype(np.int64)
        return self.rows[places]


class BundledRows(ABC):
    """Base class of the kinds of rows in bundles.

    Attributes:
        reader: the file in `bundle_files` with the script's function `read`.
        packages: modules that the script imports in addition to the standard library.
        example: name of the example's file or folder.
        card: sentence for the model card on the inputs of the graph.
        source: the run, model and data.
        notes: messages for the user.
        inputs: names of the inputs of `graph`, once it has been made.
    """

    reader: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ("numpy", "onnxruntime")
    example: ClassVar[str] = "example"
    card: ClassVar[str]

    def __init__(self, source: BundleSource, notes: Sequence[str] = ()) -> None:
        self.source, self.notes, self.inputs = source, list(notes), list[str]()

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Return the part of `bundle.json` that describes how rows are read."""

    def graph(self, head: nn.Module) -> bytes:
        """Return the network with its head as ONNX, with those parts of the preprocessing that the graph contains.

        Args:
            head: module that turns outputs into the numbers of a prediction.
        """
        first = self.source.rows[:_TRACED]
        x = take(self.source.data.x, np.resize(first, max(2, len(first))))
        network = self.source.model.network.cpu().eval()
        fields = as_fields(self.source.model.preprocessing.transform(x))
        whole = widened(first_rows(fields, len(x)))
        batch, sizes = network.taken(whole), size_names(whole)
        with silenced_exporter(), torch.no_grad():
            program = traced(Inputs(network, batch, head), batch, Path("model.onnx"), sizes)
            made = onnx_program(program).model_proto
        self.inputs = [value.name for value in made.graph.input]
        return made.SerializeToString()

    @abstractmethod
    def write_raw(self, folder: Path) -> Path:
        """Write raw rows of the run's data into a folder, and return the script's argument."""

    @abstractmethod
    def write_example(self, folder: Path) -> Path:
        """Write synthetic rows into a bundle, and return the script's argument."""

    def write_extras(self, folder: Path) -> None:  # noqa: B027 few kinds need it
        """Write further files that the script reads; by default none."""

    @abstractmethod
    def predicted(self, place: Path) -> pd.DataFrame:
        """Return the model's predictions of rows that were written; the first column identifies each row."""


class CsvRows(BundledRows):
    """Rows in a CSV file.

    Args:
        source: the run, model and data.
        form: the format of the file.
        frame: raw rows of the run's data.
        example_frame: synthetic rows.
        notes: messages for the user.
    """

    example = "example.csv"

    def __init__(
        self,
        source: BundleSource,
        form: CsvFormat,
        frame: pd.DataFrame,
        example_frame: pd.DataFrame,
        notes: Sequence[str],
    ) -> None:
        super().__init__(source, notes)
        self.form, self.frame, self.example_frame = form, frame, example_frame

    def write_raw(self, folder: Path) -> Path:
        """Write raw rows of the run's data."""
        return self._write(folder / "rows.csv", self.frame)

    def write_example(self, folder: Path) -> Path:
        """Write synthetic rows."""
        return self._write(folder / self.example, self.example_frame)

    def predicted(self, place: Path) -> pd.DataFrame:
        """Return the model's predictions of the rows of a file."""
        reader = RowReader(self.source.opened, self.source.model, self.form.settings)
        stream: Any = io.BufferedReader(io.BytesIO(place.read_bytes()))
        given = Given([Path("rows.csv")], stream, layout="table")
        model = self.source.model
        found = [model.predict(new.rows, are_read=True) for new in reader.read(given, lambda notice: None)]
        return with_labels("row", np.arange(sum(map(len, found))), found)

    def _write(self, file: Path, frame: pd.DataFrame) -> Path:
        file.write_bytes(self.form.bytes_of(frame))
        return file


def with_labels(name: str, labels: Any, found: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return predictions as a table whose first column, `name`, identifies the rows by their labels."""
    table = pd.concat(found, ignore_index=True)
    table.insert(0, name, labels)
    return table


def predicted_files(source: BundleSource, reader: RowReader, place: Path) -> pd.DataFrame:
    """Return the model's predictions of the files in a folder, with their names in the column `file`."""
    pieces = list(reader.read(Given([place]), lambda notice: None))
    found = [source.model.predict(new.rows, are_read=True) for new in pieces]
    names = [Path(str(name)).name for new in pieces for name in new.labels["file"].to_pylist()]
    return with_labels("file", names, found)
