"""Write and read a run's predictions, `predictions.parquet`, without torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dlcli.errors import CorruptRun, first_line
from dlcli.files.disk import write_errors
from dlcli.files.regular import check_regular, os_reason
from dlcli.files.unfinished import unfinished
from dlcli.gate.arrays import check_memory
from dlcli.splits.split import FINAL_TEST, HELD_OUT, Split, name_of_test_rows
from dlcli.tracking.digests import PREDICTIONS_FILE, check_recorded
from dlcli.tracking.ledger import Ledger

_LINES_PER_ROW = 10_000  # maximum; a forecast has a line for each step and series
_KEPT_CELLS = 1_000_000  # maximum, of all runs together; larger tables are read again
_VALUE_BYTES = 24  # maximum bytes of a value in memory, without its text


def held_out(run_dir: Path) -> pd.DataFrame:
    """Return the predictions of a run's test rows, sorted by row.

    Raises:
        CorruptRun: The predictions are missing or damaged.
    """
    return read_predictions(run_dir).sort_values("row", kind="stable")


def read_predictions(run_dir: Path) -> pd.DataFrame:
    """Return the predictions of a run's test rows, in the order of the file.

    Raises:
        CorruptRun: The predictions are missing or damaged.
    """
    return _read(run_dir, _of_test_rows)


class KeptPredictions:
    """Reads the predictions of each run once (`read_predictions`), and keeps those of small tables."""

    def __init__(self) -> None:
        self._known: dict[Path, pd.DataFrame] = {}
        self._cells = 0

    def read(self, run_dir: Path) -> pd.DataFrame:
        """Return the predictions of a run's test rows, as a table of its own to which columns can be added."""
        if (table := self._known.get(run_dir)) is None:
            table = read_predictions(run_dir)
            self._cells += table.size
            if self._cells > _KEPT_CELLS:
                return table
            self._known[run_dir] = table
        return table.copy(deep=False)


def all_predictions(run_dir: Path) -> pd.DataFrame:
    """Return all predictions of a run, in the order of the file.

    The column `split` has the names of the parts: `val`, `held-out`, `final test`. Predictions of a cross-validation
    are of held-out rows and have columns `fold` and `repeat`.

    Raises:
        CorruptRun: The predictions are missing or damaged.
    """
    return _read(run_dir, lambda table, _: table)


def _read(run_dir: Path, of_rows: Callable[[pd.DataFrame, Split], pd.DataFrame]) -> pd.DataFrame:
    ledger = Ledger.load(run_dir)
    check_recorded(ledger, PREDICTIONS_FILE)
    file = run_dir / PREDICTIONS_FILE
    hint = "Copy the folder again, or repeat the training."
    split = Split.load(run_dir / "split.npz")
    try:
        check_regular(file)
        with pq.ParquetFile(file, memory_map=True) as opened:
            _check_size(file, opened, sum(split.sizes.values()))
            # `pandas.read_parquet` takes several times as long for a small table, since it plans a scan of many files.
            content = opened.read(use_pandas_metadata=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "make_block is deprecated")
            table = content.to_pandas()
        if "row" not in table:
            raise ValueError("the column row is missing")
        return of_rows(_with_names(table, ledger), split)
    except FileNotFoundError as error:
        raise CorruptRun("the run's predictions are missing", str(file), hint) from error
    except OSError as error:
        raise CorruptRun(f"the file of predictions {os_reason(error)}", str(file), hint) from error
    except Exception as error:  # Arrow raises many types of errors for damaged files
        raise CorruptRun(
            f"the run's predictions cannot be read: {first_line(error)}", str(file), hint
        ) from error


def _with_names(table: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Return predictions with the names of parts as they are now: earlier runs wrote `test`, or no column."""
    if "split" in table:
        name = name_of_test_rows(ledger.kind == "fold")
        return table.assign(split=table["split"].replace("test", name))
    if "repeat" in table:
        table.insert(int(table.columns.get_indexer(["row"])[0]) + 1, "split", HELD_OUT)
    return table


def _of_test_rows(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    table = table[table["split"].isin([HELD_OUT, FINAL_TEST])]
    if not np.array_equal(np.unique(table["row"]), np.sort(split.test)):
        raise ValueError("they are of other rows than the split's test rows")
    return table


def _check_size(file: Path, opened: pq.ParquetFile, rows: int) -> None:
    """Check before reading that predictions are not larger than is possible for a number of rows.

    Repeated values are compressed without a limit: a megabyte may hold a billion lines.

    Raises:
        ValueError: It has too many lines, or there is not enough memory for it.
    """
    about = opened.metadata
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    lines = max(about.num_rows, sum(group.num_rows for group in groups))
    chunks = [group.column(number) for group in groups for number in range(about.num_columns)]
    if lines > _LINES_PER_ROW * rows:
        raise ValueError(f"they have {lines:,} lines, but the split has {rows:,} rows")
    values = sum(chunk.num_values for chunk in chunks)
    pages = sum(chunk.total_uncompressed_size for chunk in chunks)
    check_memory(values * _VALUE_BYTES + pages, "their content")
    texts = [name for name, kind in zip(about.schema.names, opened.schema_arrow.types, strict=False)
             if pa.types.is_string(kind) or pa.types.is_large_string(kind)]  # fmt: skip
    if not texts:
        return
    with pq.ParquetFile(file, memory_map=True, read_dictionary=texts) as by_words:
        table = by_words.read(columns=texts)
    longest = [
        pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        for column in table.columns
        for chunk in column.chunks
    ]
    check_memory(max(longest, default=0) * len(texts) * lines, "their content")


def write_predictions(run_dir: Path, table: pd.DataFrame) -> None:
    """Write a run's predictions atomically: an interruption leaves the old file.

    Raises:
        DiskFull: The disk is full.
        InputError: The file cannot be written.
    """
    file = run_dir / PREDICTIONS_FILE
    with write_errors(file), unfinished(file) as partial:
        table.to_parquet(partial, index=False)
        partial.replace(file)
