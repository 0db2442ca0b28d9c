"""Determine the words for false and true in a column that the user declares boolean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from dlcli.config.pasted import pasted
from dlcli.datasets.reading.cells import boolean_words
from dlcli.datasets.reading.column import Column, Place
from dlcli.datasets.reading.settling import Verdict
from dlcli.errors import DataError


def asked_boolean(
    base: Column, distinct: pa.Array, first_row: Callable[[pa.Array], int], place: Place
) -> Verdict:
    """Return the verdict on a column that the user declares boolean.

    Args:
        base: the column, as far as it has been determined.
        distinct: its distinct strings.
        first_row: returns the first row that has one of these values.
        place: returns the place of a cell, for messages.

    Raises:
        DataError: its words are not those of a boolean.
    """
    words = boolean_words(distinct, only_common=False)
    if words is None and len(distinct):
        shown = ", ".join(distinct.to_pylist()[:4])
        raise DataError(
            f"the words of a boolean must be such as yes and no, true and false or 1 and 0; these are {shown}",
            place(first_row(distinct), base.name),
            f"Set {pasted('dataset.types', {base.name: 'categorical'})}: two words are as good as a boolean.",
        )
    note = "" if words in (None, ("false", "true"), ("0", "1")) else f"booleans, {words[1]} is true"
    return Verdict(replace(base, kind="boolean", words=words or ("false", "true"), note=note))
