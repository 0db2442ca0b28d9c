"""Bundles for tables: the script reads the cells, the ONNX graph contains the preprocessing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from torch import nn

from dlcli.datasets.data import take
from dlcli.datasets.tables.form import find_form
from dlcli.datasets.tables.format_options import FormatOptions
from dlcli.datasets.tables.read_table import is_table, table_format
from dlcli.errors import InputError
from dlcli.exporting.bundle_table import CsvFormat, example_rows, table_spec
from dlcli.exporting.bundled_rows import ROWS, BundleSource, CsvRows
from dlcli.exporting.heads import INSTEAD
from dlcli.files.paths import typed
from dlcli.prediction.row_reader import Given, RowReader
from dlcli.preprocessing.table import Table


class TableRows(CsvRows):
    """Rows of a table whose columns are known."""

    reader = "read_table.txt"
    card = (
        "The file `model.onnx` accepts raw numbers and words: imputation of missing values, scaling and encoding are "
        "part of it. Its predictions were compared with those of the trained model on raw rows before this folder was "
        "written."
    )

    def __init__(self, source: BundleSource) -> None:
        model = source.model
        assert isinstance(model.preprocessing, Table) and model.columns is not None
        form, notes = form_of(source)
        super().__init__(
            source, form, _raw_rows(source), example_rows(model.columns, model.preprocessing), notes
        )
        self._spec = {"label": "row", **table_spec(model.columns, model.preprocessing, form)}

    def spec(self) -> dict[str, Any]:
        """Return how the script reads the cells."""
        return self._spec

    def graph(self, head: nn.Module) -> bytes:
        """Return preprocessing, network and head as one ONNX model."""
        import onnx

        from dlcli.exporting.table_graph import with_preprocessing

        preprocessing: Any = self.source.model.preprocessing
        made = super().graph(head)
        if not preprocessing.numbers_.width_ and "x_cat" not in self.inputs and not preprocessing.categories_:
            raise InputError("the model has no columns", "--bundle", INSTEAD)
        return with_preprocessing(preprocessing, onnx.load_model_from_string(made), self.inputs)


def form_of(source: BundleSource) -> tuple[CsvFormat, list[str]]:
    """Return the CSV format of the run's file, and notes; the default format if the data is not in a CSV file."""
    dataset = source.dataset
    path = typed(dataset["path"]) if isinstance(dataset.get("path"), str) else None
    if path is None or not is_table(path) or table_format(path) != "text":
        return CsvFormat(), []
    settings = RowReader(source.opened, source.model).settings
    found = find_form(path, settings if isinstance(settings, FormatOptions) else FormatOptions())
    if found.dialect.separator == " ":
        reason = (
            "a bundle cannot be made: columns that are separated by blanks are not supported by its script"
        )
        raise InputError(reason, str(path), f"{INSTEAD}, or train on a file with commas.")
    form = CsvFormat(found.dialect.separator, found.encoding, found.dialect.quotes)
    if found.dialect.header:
        return form, []
    names = ", ".join(found.names[:3])
    return form, [f"{path.name} has no header; rows for the bundle need one: {names}, ..."]


def _raw_rows(source: BundleSource) -> pd.DataFrame:
    """Return raw rows of the run's file; the rows in memory if the data is not in a file."""
    dataset = source.dataset
    path = typed(dataset["path"]) if isinstance(dataset.get("path"), str) else None
    if path is None or not is_table(path):
        return pd.DataFrame(take(source.data.x, source.rows[:ROWS]))
    reader = RowReader(source.opened, source.model)
    piece = next(iter(reader.read(Given([path]), lambda notice: None, "all")))
    kept = piece.labels.select(range(1, piece.labels.num_columns))  # the first column has the row numbers
    few = kept.take(pa.array(np.linspace(0, len(kept) - 1, min(len(kept), ROWS)).astype(np.int64)))
    return few.to_pandas(types_mapper=pd.ArrowDtype)
