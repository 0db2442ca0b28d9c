"""Read the group of each file from its name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dlcli.config.pasted import pasted
from dlcli.datasets.folders.stored import Stored
from dlcli.errors import DataError


def groups_of_names(files: Sequence[Stored], pattern: str, names: Sequence[str] | None = None) -> list[str]:
    """Return the group of each file: the first group of a regular expression in its name, or else the match.

    `names` are the names to search, by default the file names without folders.

    Raises:
        DataError: the expression is invalid, or matches nothing in a name.
    """
    names = [file.name.rpartition("/")[2] for file in files] if names is None else names
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise DataError(f"is not a regular expression: {error}", "dataset.group") from error
    groups = []
    for name, file in zip(names, files, strict=True):
        match = regex.search(name)
        if match is None:
            raise DataError(
                f"the expression {pattern} of dataset.group matches nothing in the name {name}",
                file.where,
                "Give a regular expression for the text that the names of a group share: "
                f"{pasted('dataset.group', '^[^_]+')}.",
            )
        groups.append(match[1] if regex.groups else match[0])
    return groups
