"""The interface by which bundles support a kind of rows: writing them, describing them, and predicting them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import nn

from dlcli.exporting.bundle_table import CsvFormat
from dlcli.exporting.dynamic_sizes import widened
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


class BundledRows(Protocol):
    """A kind of rows in bundles.

    Attributes:
        reader: the file in `bundle_files` with the script's function `read`.
        packages: modules that the script imports in addition to the standard library.
        notes: messages for the user.
        example: name of the example's file or folder.
        card: sentence for the model card on the inputs of the graph.
    """

    reader: str
    packages: tuple[str, ...]
    notes: list[str]
    example: str
    card: str

    def spec(self) -> dict[str, Any]:
        """Return the part of `bundle.json` that describes how rows are read."""

    def graph(self, head: nn.Module) -> bytes:
        """Return the network with its head as ONNX, with those parts of the preprocessing that the graph contains."""

    def write_raw(self, folder: Path) -> Path:
        """Write raw rows of the run's data into a folder, and return the script's argument."""

    def write_example(self, folder: Path) -> Path:
        """Write synthetic rows into a bundle, and return the script's argument."""

    def write_extras(self, folder: Path) -> None:
        """Write further files that the script reads."""

    def predicted(self, place: Path) -> pd.DataFrame:
        """Return the model's predictions of rows that were written; the first column identifies each row."""


def network_graph(source: BundleSource, head: nn.Module, x: Any) -> tuple[bytes, list[str]]:
    """Return the network with its head as ONNX, and the names of its inputs.

    Args:
        source: the run, model and data.
        head: module that turns outputs into the numbers of a prediction.
        x: raw rows, at least one.
    """
    network = source.model.network.cpu().eval()
    fields = as_fields(source.model.preprocessing.transform(x))
    batch = widened(network.taken(first_rows(fields, len(x))))
    with silenced_exporter(), torch.no_grad():
        made = onnx_program(traced(Inputs(network, batch, head), batch, Path("model.onnx"))).model_proto
    return made.SerializeToString(), [value.name for value in made.graph.input]


def traced_rows(rows: np.ndarray) -> np.ndarray:
    """Return the rows of the batch that is traced, repeated if there are too few."""
    return np.resize(rows[:_TRACED], max(2, len(rows[:_TRACED])))


@dataclass
class CsvRows:
    """Base class of rows in a CSV file."""

    source: BundleSource
    form: CsvFormat
    frame: pd.DataFrame
    example_frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    example = "example.csv"

    def write_raw(self, folder: Path) -> Path:
        """Write raw rows of the run's data."""
        return self._write(folder / "rows.csv", self.frame)

    def write_example(self, folder: Path) -> Path:
        """Write synthetic rows."""
        return self._write(folder / self.example, self.example_frame)

    def write_extras(self, folder: Path) -> None:
        """Write nothing."""

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
