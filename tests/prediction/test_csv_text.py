"""Predictions as CSV: the same text as pandas writes of whole tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcli.prediction.csv_text import csv_lines

CELLS = st.one_of(st.none(), st.text(max_size=4), st.sampled_from(["", "a,b", '"', 'x"y', "\n", "\r"]))
WORDS = st.lists(CELLS, min_size=8, max_size=8)
# Where Python's repr has an exponent, and where it has not.
SPECIAL = (
    0.0,
    -0.0,
    1.0,
    1e-4,
    1e-5,
    9.99999e-5,
    1e10,
    1e15,
    1e16,
    1e17,
    123456789.0,
    0.1,
    np.nan,
    np.inf,
    -np.inf,
)


def by_pandas(table: pa.Table) -> str:
    for number, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            floats = table.column(number).to_numpy()
            short = floats.astype(str).astype(np.float64) if field.type == pa.float32() else floats
            table = table.set_column(number, field.name, pa.array(short, from_pandas=True))
    return table.to_pandas(types_mapper=pd.ArrowDtype).to_csv(index=False)


def same(columns: dict[str, Any]) -> None:
    table = pa.table(columns)
    assert csv_lines(table, header=True).decode() == by_pandas(table)


def test_numbers_of_any_size_are_written_as_python_writes_them() -> None:
    random = np.random.default_rng(0)
    sizes = 10.0 ** random.uniform(-44, 38, 4000) * random.choice([-1, 1], 4000)
    numbers = np.concatenate([sizes, SPECIAL, random.random(4000), np.round(sizes[:1000] * 100)])
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    same({"row": np.arange(len(numbers)), "double": numbers, "single": single})


def test_written_numbers_are_read_unchanged() -> None:
    single = np.random.default_rng(1).random(2000).astype(np.float32) ** 9
    lines = csv_lines(pa.table({"row": np.arange(2000), "p": single}), header=True).decode().splitlines()[1:]
    read = np.array([line.split(",")[1] for line in lines], dtype=np.float32)
    np.testing.assert_array_equal(read, single)


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS)
def test_words_are_quoted_where_they_need_it(first: list[str | None], second: list[str | None]) -> None:
    same(
        {"a,b": pa.array(first, pa.string()), "row": list(range(8)), "b": pa.array(second, pa.large_string())}
    )


def test_other_types_are_written_as_by_pandas() -> None:
    same(
        {
            "row": [1, None, 3],
            "yes": [True, None, False],
            "list": [[1, 2], None, [3]],
            "gaps": pa.array([None] * 3),
        }
    )
    same({"alone": ["", None, "a"]})
    same({"row": pa.array([], pa.int64()), "p": pa.array([], pa.float32())})
    same({"row": [1, 2], "code": pa.array(["a", "b"]).dictionary_encode()})
