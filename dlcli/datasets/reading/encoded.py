"""Dictionary-encoded columns: distinct strings and a code per row, so that each distinct string is processed once."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.formatting import counted

# Note on numbers that a file holds as categories.
CODED = "words, since they are categories in the file"


@dataclass(frozen=True, eq=False)
class Encoded:
    """A dictionary-encoded column of strings.

    Attributes:
        distinct: the distinct strings, in the order of their first rows.
        codes: index of each row's string; null for a missing value.
    """

    distinct: pa.ChunkedArray
    codes: pa.ChunkedArray

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Encoded | None:
        """Return the encoded form of a column that is a dictionary of strings; None for others."""
        if not pa.types.is_dictionary(column.type) or not pa.types.is_string(column.type.value_type):
            return None
        chunks = column.chunks
        if not chunks:
            return None
        if not all(chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks):
            chunks = (
                column.unify_dictionaries().chunks
            )  # fails for nulls, which only `column` adds to one for all
        codes = pa.chunked_array([chunk.indices for chunk in chunks])
        # The dictionary may contain strings that no row has, such as the name of the column.
        used = pc.drop_null(pc.unique(codes))
        dictionary = chunks[0].dictionary
        if len(used) < len(dictionary) or not used.equals(pa.array(range(len(used)), used.type)):
            codes = pc.index_in(codes, value_set=used, skip_nulls=True)
            dictionary = dictionary.take(used)
        return cls(pa.chunked_array([dictionary]), codes)

    def rows(self, found: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
        """Return the values of all rows, given the values of the distinct strings."""
        found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        if isinstance(found, pa.ChunkedArray):  # of no chunk
            found = pa.concat_arrays(found.chunks) if found.chunks else pa.array([], found.type)
        return pa.chunked_array([found.take(chunk) for chunk in self.codes.chunks])

    def column(self, strings: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the column with its distinct strings replaced by these."""
        values = strings.combine_chunks()
        return pa.chunked_array(
            [pa.DictionaryArray.from_arrays(chunk, values) for chunk in self.codes.chunks]
        )


@dataclass(frozen=True, eq=False)
class Cells:
    """Queries about the rows of a column, given its strings, or its distinct strings if it is encoded.

    Attributes:
        encoded: the column; None if it is not encoded.
    """

    encoded: Encoded | None

    def rows(self, strings: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return the strings of all rows."""
        return strings if self.encoded is None else self.encoded.rows(strings)

    def first(self, strings: pa.ChunkedArray, most: int = 1000) -> pa.ChunkedArray:
        """Return the strings of the first rows."""
        if self.encoded is None:
            return strings.slice(0, most)
        return Encoded(self.encoded.distinct, self.encoded.codes.slice(0, most)).rows(strings)

    def count(self, strings: pa.ChunkedArray) -> int:
        """Return the number of rows that have a value."""
        if self.encoded is None or strings.null_count:
            strings = self.rows(strings)
            return len(strings) - strings.null_count
        return len(self.encoded.codes) - self.encoded.codes.null_count

    def first_row(self, strings: pa.ChunkedArray, values: pa.Array) -> int:
        """Return the first row that has one of these values."""
        return pc.index(pc.is_in(self.rows(strings), value_set=values), True).as_py()

    def marked(self, strings: pa.ChunkedArray, found: pa.Array) -> str:
        """Return a note on words that denote missing values only in columns of numbers, dates or booleans."""
        if not len(found):
            return ""
        count = pc.sum(pc.is_in(self.rows(strings), value_set=found)).as_py()
        return f"{counted(count, 'cell')} {', '.join(map(repr, found.to_pylist()[:3]))} as missing"


def are_categories(kind: pa.DataType) -> bool:
    """Return whether values of a type are numbers that a file holds as categories."""
    types = pa.types
    return types.is_dictionary(kind) and (
        types.is_integer(kind.value_type) or types.is_floating(kind.value_type)
    )
