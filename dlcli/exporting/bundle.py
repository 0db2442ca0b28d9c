"""`export --bundle`: a folder with a model that predicts raw rows where dlcli is not installed."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from dlcli.datasets.data import take
from dlcli.datasets.tables.delimited import find_form
from dlcli.datasets.tables.format_options import CellOptions, FormatOptions
from dlcli.datasets.tables.read_table import is_table, table_format
from dlcli.errors import DlcliError, InputError
from dlcli.exporting.bundle_table import CsvFormat, example_rows, table_spec
from dlcli.exporting.card import model_card
from dlcli.exporting.exported_program import (
    ABSOLUTE,
    RELATIVE,
    need_onnx,
    onnx_program,
    silenced_exporter,
    traced,
)
from dlcli.exporting.heads import INSTEAD, WithHead, head_of, output_columns
from dlcli.files.disk import write_errors
from dlcli.files.paths import is_folder, kind_at, resolved, typed
from dlcli.files.unfinished import scratch_folder, unfinished
from dlcli.inference.ensemble import Ensemble
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.output import csv_to
from dlcli.prediction.row_reader import Given, RowReader
from dlcli.preprocessing.table import Table
from dlcli.runs.folder import OpenedRun, with_overrides
from dlcli.runs.model_errors import model_errors
from dlcli.runs.recorded import read_split
from dlcli.training.fields import as_fields, first_rows

# Rows of the run's data on which the bundle is compared with the model.
_ROWS = 256

_NAME = Path("rows.csv")


@dataclass(frozen=True)
class Bundled:
    """A bundle.

    Attributes:
        folder: its folder.
        rows: number of raw rows on which its predictions were compared with the model's.
        largest_difference: largest absolute difference between numbers of the predictions.
        run_id: ID of the run.
        messages: messages for the user.
    """

    folder: Path
    rows: int
    largest_difference: float
    run_id: str
    messages: tuple[str, ...] = ()


def export_bundle(
    opened: OpenedRun, model: SavedModel, folder: Path, overrides: Sequence[str] = ()
) -> Bundled:
    """Write a folder with the model as ONNX, a script that predicts raw rows, and what is needed around it.

    The folder appears only after the script, in a separate process, has predicted raw rows of the run's data as the
    model does.

    Args:
        opened: the run.
        model: its model.
        folder: the folder, which may be empty or absent.
        overrides: overrides with the current location of the run's data.

    Raises:
        InputError: The folder exists, a package is missing, or the preprocessing has no counterpart in ONNX.
        DlcliError: The network cannot be exported, or the bundle predicts otherwise than the model.
        DataError: The run's rows cannot be found.
    """
    folder = resolved(folder)
    _check_folder(folder)
    need_onnx("--bundle")
    preprocessing = model.preprocessing
    if isinstance(model, Ensemble):
        reason = f"a bundle of {len(model.members)} models cannot be made: its graph holds one preprocessing"
        raise InputError(reason, "--bundle", f"{INSTEAD}, or bundle one of them: {model.members[0].name}")
    if type(preprocessing) is not Table or model.columns is None:
        raise InputError(*_no_table(model))
    head = head_of(model.task)
    dataset = with_overrides(opened.config, overrides)["dataset"]
    with model_errors(opened.folder):
        data, rows = opened.part_of(dataset, "val", "test", "train")
        tests = len(read_split(opened.ledger, len(data)).rows("test"))
        form, frame, notes = _raw_rows(opened, model, dataset, data, rows)
        spec = table_spec(model.columns, preprocessing, form)
        spec |= {"run_id": opened.ledger.run_id, "outputs": output_columns(model.task, head)}
        # torch.export would make a single row a constant.
        some = np.resize(rows[:16], max(2, len(rows[:16])))
        graph = _whole_graph(model, preprocessing, head, take(data.x, some))
        raw, example = form.bytes_of(frame), form.bytes_of(example_rows(model.columns, preprocessing))
        there = is_folder(folder)
        place = folder / "bundle" if there else folder
        with write_errors(folder, "the bundle", "write elsewhere"), unfinished(place, folder=True) as made:
            _write(made, graph, spec, opened, model, tests)
            (made / "example.csv").write_bytes(example)
            expected = _predictions(opened, model, example, form)
            (made / "expected.csv").write_bytes(_as_text(expected))
            difference = max(
                _compared(made, raw, _predictions(opened, model, raw, form), spec["outputs"]),
                _compared(made, example, expected, spec["outputs"]),
            )
            if there:  # it may be the current folder, which must not be replaced
                for part in sorted(made.iterdir()):
                    part.replace(folder / part.name)
            else:
                made.replace(folder)
    return Bundled(folder, len(frame), difference, opened.ledger.run_id, (*opened.notes, *notes))


def _no_table(model: SavedModel) -> tuple[str, str, str]:
    """Return the error about a model that takes no tables."""
    reasons = {
        "image": "images cannot be made: decoding and resizing them takes more than numpy and onnxruntime",
        "tokens": "texts cannot be made: splitting them into tokens has no counterpart in ONNX",
        "sequence": "series and sequences cannot be made: its script reads one row at a time",
    }
    own = f"{type(model.preprocessing).__name__} cannot be made: only of tables whose columns are known"
    return f"a bundle of {reasons.get(model.kind, own)}", "--bundle", INSTEAD


def _check_folder(folder: Path) -> None:
    if not is_folder(folder.parent):
        raise InputError("there is no such folder", str(folder.parent), "Create it, or name another.")
    if kind_at(folder) != "nothing" and (not is_folder(folder) or any(folder.iterdir())):
        raise InputError("is not empty", str(folder), "Move it away, or name another --bundle.")


def _raw_rows(
    opened: OpenedRun, model: SavedModel, dataset: dict[str, Any], data: Any, rows: np.ndarray
) -> tuple[CsvFormat, pd.DataFrame, list[str]]:
    """Return the format of the run's file, raw rows of it, and notes; of other data, the rows in memory."""
    path = typed(dataset["path"]) if isinstance(dataset.get("path"), str) else None
    if path is None or not is_table(path):
        return CsvFormat(), pd.DataFrame(take(data.x, rows[:_ROWS])), []
    reader = RowReader(opened, model)
    form = CsvFormat()
    notes: list[str] = []
    if table_format(path) == "text":
        settings = reader.settings
        found = find_form(path, settings if isinstance(settings, CellOptions) else FormatOptions())
        if found.dialect.separator == " ":
            reason = (
                "a bundle cannot be made: columns that are separated by blanks are not read by its script"
            )
            raise InputError(reason, str(path), f"{INSTEAD}, or train on a file with commas.")
        form = CsvFormat(found.dialect.separator, found.encoding, found.dialect.quotes)
        if not found.dialect.header:
            notes.append(
                f"{path.name} has no header; rows for the bundle need one: {', '.join(found.names[:3])}, ..."
            )
    piece = next(iter(reader.read(Given([path]), lambda notice: None, "all")))
    kept = piece.labels.select(range(1, piece.labels.num_columns))  # the first has the numbers of the rows
    few = kept.take(pa.array(np.linspace(0, len(kept) - 1, min(len(kept), _ROWS)).astype(np.int64)))
    return form, few.to_pandas(types_mapper=pd.ArrowDtype), notes


def _whole_graph(model: SavedModel, preprocessing: Table, head: Any, rows: Any) -> bytes:
    """Return preprocessing, network and head as one ONNX model."""
    from dlcli.exporting.table_graph import with_preprocessing

    network = model.network.cpu().eval()
    fields = as_fields(preprocessing.transform(rows))
    batch = first_rows(fields, len(rows))
    with silenced_exporter(), torch.no_grad():
        written = onnx_program(traced(WithHead(network, head), batch, Path("model.onnx"))).model_proto
    if not preprocessing.numbers_.width_ and "x_cat" not in batch and not preprocessing.categories_:
        raise InputError("the model has no columns", "--bundle", INSTEAD)
    return with_preprocessing(preprocessing, written, batch)


def _write(
    folder: Path, graph: bytes, spec: dict[str, Any], opened: OpenedRun, model: SavedModel, tests: int
) -> None:
    """Write all files but the example."""
    import onnxruntime

    (folder / "model.onnx").write_bytes(graph)
    files = resources.files("dlcli.exporting") / "bundle_files"
    for name in ("predict.txt", "Dockerfile"):
        text = files.joinpath(name).read_text(encoding="utf-8")
        (folder / name.replace(".txt", ".py")).write_text(text, encoding="utf-8")
    (folder / "bundle.json").write_text(json.dumps(spec, ensure_ascii=False, indent=1), encoding="utf-8")
    pins = [f"{module.__name__}=={module.__version__}" for module in (np, onnxruntime)]
    (folder / "requirements.txt").write_text("\n".join([*pins, ""]), encoding="utf-8")
    (folder / "README.md").write_text(model_card(opened, model, tests), encoding="utf-8")


def _predictions(opened: OpenedRun, model: SavedModel, rows: bytes, form: CsvFormat) -> pd.DataFrame:
    """Return the model's predictions of the rows of a CSV."""
    reader = RowReader(opened, model, form.settings)
    given = Given([_NAME], io.BufferedReader(io.BytesIO(rows)))
    found = [model.predict(new.rows, are_read=True) for new in reader.read(given, lambda notice: None)]
    table = pd.concat(found, ignore_index=True)
    table.insert(0, "row", np.arange(len(table)))
    return table


def _as_text(predictions: pd.DataFrame) -> bytes:
    written = io.BytesIO()
    csv_to(written)(pa.Table.from_pandas(predictions, preserve_index=False))
    return written.getvalue()


def _compared(
    folder: Path, rows: bytes, expected: pd.DataFrame, outputs: Sequence[Mapping[str, Any]]
) -> float:
    """Let the bundle predict rows in a separate process, and return the largest difference.

    Raises:
        DlcliError: The script fails, or predicts otherwise than the model.
    """
    with scratch_folder() as place:
        file = place / _NAME
        file.write_bytes(rows)
        done = subprocess.run(
            [sys.executable, "-I", str(folder / "predict.py"), str(file)], capture_output=True, text=True
        )
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no reason"])[-1].replace(f"{file}", "row")
            raise _differs(f"the script of the bundle fails: {why}")
    header, *lines = csv.reader(io.StringIO(done.stdout))
    found = pd.DataFrame(lines, columns=header)
    if list(found.columns) != list(expected.columns) or len(found) != len(expected):
        raise _differs("the bundle has other predictions than the model")
    largest = 0.0
    for output in outputs:
        name = output["name"]
        if output["kind"] == "number":
            one, other = found[name].to_numpy(np.float64), expected[name].to_numpy(np.float64)
            most = RELATIVE * np.abs(other - output["center"]) + ABSOLUTE * output["scale"]
            wrong = ~(np.abs(one - other) <= most)
            largest = max(largest, float(np.abs(one - other).max(initial=0.0)))
        else:
            wrong = (found[name] != expected[name].astype(str)).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            was, should = found[name].iloc[row], expected[name].iloc[row]
            raise _differs(f"the bundle predicts {was} for {name} of a row, and the model {should}")
    return largest


def _differs(message: str) -> DlcliError:
    return DlcliError(f"{message}; nothing was written", "--bundle", INSTEAD)
