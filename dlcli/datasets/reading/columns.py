"""`Columns`: the columns of a model, saved with it as JSON, by which all new rows are read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa

from dlcli.datasets.reading.column import Column, Kind, Place
from dlcli.datasets.reading.date_formats import DateFormat
from dlcli.datasets.reading.number_formats import NumberFormat
from dlcli.errors import CorruptRun

SCHEMA_VERSION = 1

# Key of `DataFrame.attrs` for the kinds of the columns, which pandas types do not distinguish.
KINDS = "dlcli.kinds"

# Key of `DataFrame.attrs`: whether columns of texts are used as features.
TEXTS = "dlcli.texts"

# Maximum number of columns and words that a line of the panel names.
_NAMED = 6


@dataclass(frozen=True)
class Columns:
    """The columns of a table, each with its role, its kind, and how its cells are read."""

    columns: tuple[Column, ...]

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Column:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in reversed(self.columns)}  # the first column of a name

    @classmethod
    def of_kinds(cls, kinds: Mapping[str, Kind], dates: Mapping[str, str | None] | None = None) -> Columns:
        """Return the columns of a model that was saved without them, from kinds and strptime patterns of dates."""
        written = {name: DateFormat((pattern,)) for name, pattern in (dates or {}).items() if pattern}
        return cls(
            tuple(Column(name, kind, date=written.get(name, DateFormat())) for name, kind in kinds.items())
        )

    def read(self, cells: pa.Table | list[pa.Table], place: Place) -> pd.DataFrame:
        """Return the columns of a table that the model knows, in the order of the table.

        Args:
            cells: the table, or a list of one table, from which it is removed so that each Arrow column is freed once
                it is read.
            place: returns the place of a cell, for messages.

        Raises:
            DataError: a value is not of its column's kind.
        """
        table = cells.pop() if isinstance(cells, list) else cells
        found = []
        known = {column.name: column for column in self}
        for number in reversed(range(table.num_columns)):
            name = table.column_names[number]
            if name in known:
                found.append(known[name].read(table.column(number), place))
            table = table.remove_column(number)
        frame = pd.DataFrame(dict(enumerate(found[::-1])), copy=False)
        frame.columns = [str(column.name) for column in found[::-1]]
        kinds = {str(name): known[name].kind for name in frame.columns}
        texts = {name: known[name].role != "left out" for name, kind in kinds.items() if kind == "text"}
        frame.attrs |= {KINDS: _Facts(kinds), TEXTS: _Facts(texts)}
        # Arrow's memory pool would keep freed memory, which is large for a large table.
        pa.default_memory_pool().release_unused()
        return frame

    def replaced(self, columns: Mapping[str, Column]) -> Columns:
        """Return the columns with some of them replaced."""
        return Columns(tuple(columns.get(column.name, column) for column in self))

    def with_roles(self, roles: Mapping[str, str]) -> Columns:
        """Return the columns with the roles of some of them."""
        return self.replaced(
            {name: replace(self[name], role=role) for name, role in roles.items() if name in self}
        )

    def only(self, names: Collection[str], roles: Mapping[str, str] | None = None) -> Columns:
        """Return the columns of these names with their roles; others are left out, since they are not used."""
        out = {
            c.name: replace(c, role="left out", why=c.why or "not used") for c in self if c.name not in names
        }
        return self.replaced(out).with_roles(roles or {})

    def named(self, *, dropped: Collection[str] = (), index: Collection[str] = ()) -> Columns:
        """Return the columns together with those that were not read: dropped by the user, or row numbers."""
        out = [Column(name, "text", role="left out", why="dataset.drop") for name in dropped]
        out += [Column(name, "text", role="left out", why="index") for name in index]
        return Columns((*self.columns, *out))

    def used(self, features: Collection[str], why: Mapping[str, str] | None = None) -> Columns:
        """Return the columns with unused features marked as left out, and the reason `why`."""
        out = {
            column.name: replace(column, role="left out", why=(why or {}).get(column.name, "") or column.why)
            for column in self
            if column.role == "feature" and column.name not in features
        }
        return self.replaced(out)

    def without_empty(self, x: pd.DataFrame, rows: np.ndarray) -> Columns:
        """Return the columns with features that have no value in the training rows marked as left out."""
        empty = [name for name in x.columns if not x[name].notna().to_numpy()[rows].any()]
        return self.used(set(x.columns) - set(empty), dict.fromkeys(empty, "empty in the training rows"))

    def counted(self, x: pd.DataFrame, rows: np.ndarray | None = None) -> Columns:
        """Return the columns with the categories of the training rows; None for all rows."""
        found = {}
        for column in self:
            if column.kind == "categorical" and column.role == "feature" and column.name in x:
                counts = _taken(x[column.name], rows).value_counts()
                found[column.name] = replace(
                    column, categories={str(name): int(n) for name, n in counts.items()}
                )
        return self.replaced(found)

    def unseen(self, x: pd.DataFrame, rows: np.ndarray | None = None) -> dict[str, int]:
        """Return column to number of rows (of all rows, if None) with a category that does not occur in training."""
        found = {}
        for column in self:
            if column.categories is not None and column.name in x and column.role == "feature":
                values = _taken(x[column.name], rows)
                if column.categories.keys() >= set(values.dropna().unique()):
                    continue
                new = int((~values.isin(list(column.categories)) & values.notna()).sum())
                if new:
                    found[column.name] = new
        return found

    def features(self) -> list[Column]:
        """Return the columns that the model uses as inputs."""
        return [column for column in self if column.role == "feature"]

    def left_out(self) -> dict[str, str]:
        """Return left-out column to the reason."""
        return {column.name: column.why for column in self if column.role == "left out"}

    def panel(self) -> dict[str, str]:
        """Return the lines of the panel: columns left out and values converted."""
        out = [f"{name} ({why})" if why else name for name, why in self.left_out().items()]
        read = [
            f"{column.name}: {column.note}" for column in self if column.note and column.role != "left out"
        ]
        lines = {"left out": _few(out, ", "), "read": _few(read, "; ")}
        return {name: line for name, line in lines.items() if line}

    def to_json(self) -> dict[str, Any]:
        """Return the columns as plain values."""
        return {"schema_version": SCHEMA_VERSION, "columns": [_to_json(column) for column in self]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "columns.json") -> Columns:
        """Return the columns of a document.

        Raises:
            CorruptRun: the document has another structure, or a newer version.
        """
        version = document.get("schema_version")
        if version != SCHEMA_VERSION:
            raise CorruptRun(
                f"the columns of the model have version {version}, but this version of dlcli reads {SCHEMA_VERSION}",
                where,
                "Use the version of dlcli that trained the model, or train again.",
            )
        try:
            return cls(tuple(_from_json(column) for column in document["columns"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptRun(
                f"the columns of the model cannot be read: {error}", where, "Copy the folder again."
            ) from error


class _Facts(dict[str, Any]):
    """Facts about the columns of a frame. pandas copies `attrs` deeply for each column that is taken from the frame."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Facts:
        return self


def _taken(values: pd.Series, rows: np.ndarray | None) -> pd.Series:
    return values if rows is None else values.iloc[rows]


def _few(items: Sequence[str], separator: str) -> str:
    more = (
        f"{separator}and {len(items) - _NAMED:,} more (dlcli check names all)" if len(items) > _NAMED else ""
    )
    return separator.join(items[:_NAMED]) + more


def _to_json(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"name": column.name, "role": column.role, "kind": column.kind}
    if column.kind == "numeric":
        found["number"] = asdict(column.number)
    if column.kind == "date":
        found["date"] = {"patterns": list(column.date.patterns), "zone": column.date.zone}
    if column.kind == "boolean":
        found["words"] = list(column.words)
    if column.categories is not None:
        found["categories"] = dict(column.categories)
    if column.missing is not None:
        found["missing"] = list(column.missing)
    if not column.trim:
        found["trim"] = False
    return found | {key: value for key, value in (("why", column.why), ("note", column.note)) if value}


def _from_json(found: Mapping[str, Any]) -> Column:
    number, date = found.get("number"), found.get("date")
    kind, categories, missing = found["kind"], found.get("categories"), found.get("missing")
    if kind not in get_args(Kind) or not all(isinstance(found[key], str) for key in ("name", "role")):
        raise ValueError(f"{found.get('name')} has an unknown kind")
    false, true = found.get("words", ("false", "true"))
    return Column(
        found["name"],
        kind,
        NumberFormat(*(str(number[key]) for key in ("decimal", "thousands", "unit")))
        if number
        else NumberFormat(),
        DateFormat(tuple(map(str, date["patterns"])), str(date["zone"])) if date else DateFormat(),
        (str(false), str(true)),
        {str(name): int(rows) for name, rows in categories.items()} if categories is not None else None,
        tuple(map(str, missing)) if missing is not None else None,
        bool(found.get("trim", True)),
        found["role"],
        str(found.get("why", "")),
        str(found.get("note", "")),
    )
