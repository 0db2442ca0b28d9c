"""Large text files, whose repeated strings are stored once, are read like small ones."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from dlcli.datasets.table import load
from dlcli.datasets.tables import delimited, packing, read_table
from dlcli.datasets.tables.read_table import read_raw
from dlcli.errors import DataError
from dlcli.process import program

ROWS = 600
LINES = [
    f"{row},{row % 7}.5,{' ' if row % 3 else ''}{'NA' if row % 11 == 0 else 'ab'[row % 2]},"
    f"{'no' if row % 5 else 'yes'},2024-01-{1 + row % 9:02},0{row % 9},{row / 7!r}"
    for row in range(ROWS)
]
HEADER = "id,half,word,flag,date,code,y"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 11)
    monkeypatch.setattr(packing, "_CHUNK", 1 << 12)


def written(folder: Path, lines: list[str]) -> Path:
    file = folder / "rows.csv"
    file.write_text("\n".join([HEADER, *lines]) + "\n")
    return file


def test_a_large_file_is_read_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, LINES)
    whole = load(str(file), "y")
    monkeypatch.setattr(delimited, "_BLOCK", 1 << 11)
    monkeypatch.setattr(packing, "_CHUNK", 1 << 12)
    cells = read_raw(file).table
    encoded = [pa.types.is_dictionary(kind) for kind in cells.schema.types]
    assert encoded == [False, True, True, True, True, True, False]
    assert cells.column(0).num_chunks > 3
    data = load(str(file), "y")
    pd.testing.assert_frame_equal(data.x, whole.x)
    assert data.columns == whole.columns
    assert [column.note for column in data.columns or ()] == [column.note for column in whole.columns or ()]
    assert data.fingerprint == whole.fingerprint
    assert data.warnings == whole.warnings


def test_a_word_among_many_repeated_numbers_is_reported_with_its_line(
    tmp_path: Path, small_blocks: None
) -> None:
    lines = [
        line.replace(f",{row % 7}.5,", ",oops,") if row == 500 else line for row, line in enumerate(LINES)
    ]
    (warning,) = load(str(written(tmp_path, lines)), "y").warnings
    assert "'oops' is not a number" in warning.message
    assert warning.where.endswith("rows.csv:502, column half")


def test_a_ragged_row_late_in_a_large_file_is_named(tmp_path: Path, small_blocks: None) -> None:
    lines = [*LINES[:555], "1,2,3", *LINES[555:]]
    with pytest.raises(DataError, match="has 3 columns, but previous rows have 7") as error:
        load(str(written(tmp_path, lines)), "y")
    assert error.value.problems[0].where.endswith("rows.csv:557")


def test_numbers_of_rows_are_an_index_in_a_large_file_too(tmp_path: Path, small_blocks: None) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("\n".join([",y", *(f"{row},{row % 9}" for row in range(2000))]) + "\n")
    assert read_raw(file).index == ("c0",)


def test_a_long_row_is_read_after_what_was_read_before_it_is_freed(
    tmp_path: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_of: list[list[weakref.ref[pa.RecordBatch]]] = []

    def noted(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            batches_of[-1].append(weakref.ref(batch))
            yield batch

    def watched(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int) -> pa.Table:
        assert not [batch for read in batches_of for batch in read if batch() is not None]
        batches_of.append([])
        return packing.packed(noted(batches), schema, rows)

    monkeypatch.setattr(delimited, "packed", watched)
    lines = [*LINES, LINES[1].replace("no", "x" * 5000)]
    assert len(read_raw(written(tmp_path, lines)).table) == len(lines)
    first, second = batches_of
    assert len(first) > 3
    assert second


def test_a_program_that_imports_dlcli_keeps_its_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[pa.MemoryPool] = []
    monkeypatch.setattr(read_table, "_LARGE", 1)
    monkeypatch.setattr(pa, "set_memory_pool", chosen.append)
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    file = written(tmp_path, LINES)
    read_raw(file)
    assert chosen == []
    monkeypatch.setattr(program, "is_running", True)
    read_raw(file)
    assert len(chosen) <= 1  # jemalloc is not part of every build
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    read_table.return_freed_memory(file)
    assert len(chosen) <= 1
