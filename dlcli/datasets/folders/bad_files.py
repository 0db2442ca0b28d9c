"""Files that cannot be decoded, and the errors that name them."""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.datasets.folders.stored import Stored
from dlcli.errors import DataError

# Maximum number of damaged files that an error names.
_NAMED = 5


class BadFile(Exception):
    """A file cannot be decoded; the message is the reason."""


def bad_file(entry: Stored, bad: BadFile) -> DataError:
    """Return the error for a damaged file."""
    return DataError(
        str(bad), entry.where, "Repair or remove it, or leave such files out: dataset.on_bad=skip."
    )


def bad_files(entries: Sequence[Stored], bad: Sequence[tuple[int, BadFile]]) -> DataError:
    """Return an error that names the first few damaged files, given as (index of the entry, file)."""
    errors = [bad_file(entries[row], reason) for row, reason in bad[:_NAMED]]
    return DataError([problem for error in errors for problem in error.problems])
