"""Kinds of columns that a user gives: as a mapping, or as a YAML or JSON file for many or peculiar names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import yaml

from dlcli.datasets.reading.column import Kind
from dlcli.datasets.tables.lines import codec
from dlcli.errors import DataError, first_line
from dlcli.files.paths import typed


def given_types(types: Mapping[str, Kind] | str | None) -> dict[str, Kind]:
    """Return the kinds by column; a string is a mapping of them in YAML (`{zip: categorical}`), or a file's path.

    Raises:
        DataError: the file cannot be read, or does not hold kinds of columns.
    """
    if not isinstance(types, str):
        return {str(name): kind for name, kind in (types or {}).items()}
    file = "a mapping" if types.startswith("{") else typed(types)
    try:
        text = types if isinstance(file, str) else file.read_text(encoding=codec("utf-8"))
        found = yaml.safe_load(text)
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise DataError(f"cannot be read: {first_line(error)}", f"dataset.types ({file})", _HINT) from error
    if not isinstance(found, dict):
        raise DataError("is not a mapping of columns to kinds", f"dataset.types ({file})", _HINT)
    kinds = {str(name): kind for name, kind in found.items()}
    for name, kind in kinds.items():
        if kind not in get_args(Kind):
            raise DataError(
                f"{kind!r} is not a kind of column",
                f"dataset.types ({file}), {name}",
                f"Use {', '.join(get_args(Kind))}.",
            )
    return kinds


_HINT = "Write a line for each column, such as zip: categorical; enclose peculiar names in quotes."
