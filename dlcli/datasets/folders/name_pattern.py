"""`NamePattern`: fields in file names, such as `{class}_{speaker}_{n}.wav`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dlcli.config.suggest import choices, did_you_mean, hint
from dlcli.datasets.folders.stored import Stored
from dlcli.errors import DataError

_FIELD = re.compile(r"\{(\w+)\}")


class NamePattern:
    """Pattern of file names with fields; a field matches the shortest text without a slash.

    A pattern without slashes is matched against the file name, and a pattern with slashes against the end of the path.
    The suffix is optional.

    Args:
        pattern: text with fields in braces; a field that occurs twice must match the same text.

    Raises:
        DataError: there is no field.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.fields = tuple(dict.fromkeys(_FIELD.findall(pattern)))
        if not self.fields:
            raise DataError(
                f"{pattern} has no field in braces",
                "dataset.pattern",
                "Give one such as '{class}_{speaker}_{n}'.",
            )
        self._depth = pattern.count("/")
        parts, first = [], 0
        seen: set[str] = set()
        for match in _FIELD.finditer(pattern):
            name = match[1]
            group = f"f{self.fields.index(name)}"
            parts += [
                re.escape(pattern[first : match.start()]),
                f"(?P={group})" if name in seen else f"(?P<{group}>[^/]+?)",
            ]
            seen.add(name)
            first = match.end()
        self._regex = re.compile("".join([*parts, re.escape(pattern[first:])]))

    def match(self, name: str) -> dict[str, str] | None:
        """Return the text of each field of a path with slashes; None if it does not match."""
        end = "/".join(name.split("/")[-1 - self._depth :])
        found = self._regex.fullmatch(end.rpartition(".")[0]) or self._regex.fullmatch(end)
        if found is None:
            return None
        return {field: found[f"f{number}"] for number, field in enumerate(self.fields)}

    def require(self, field: str, key: str) -> None:
        """Raise a DataError if the pattern lacks a field; `key` is the setting that names the field."""
        if field not in self.fields:
            raise DataError(
                f"the pattern {self.pattern} has no field {field}",
                key,
                hint(did_you_mean(field, self.fields), choices(self.fields)),
            )

    def chosen(
        self, found: Sequence[Mapping[str, str]], wanted: Mapping[str, Sequence[object]], key: str
    ) -> list[bool]:
        """Return whether each name has one of the wanted values in every field.

        Raises:
            DataError: there is no such field, or a value does not occur.
        """
        for field, values in wanted.items():
            self.require(field, key)
            known = {fields[field] for fields in found}
            for value in values:
                if str(value) not in known:
                    raise DataError(
                        f"no file has {field}={value}",
                        key,
                        hint(did_you_mean(str(value), sorted(known)), choices(sorted(known)[:20])),
                    )
        sets = {field: {str(value) for value in values} for field, values in wanted.items()}
        return [all(fields[field] in values for field, values in sets.items()) for fields in found]


def matched(
    files: Sequence[Stored], pattern: NamePattern, noun: str
) -> tuple[list[Stored], list[dict[str, str]], list[str]]:
    """Return the files whose names match, their fields, and the names of the others.

    Raises:
        DataError: no name matches.
    """
    found = [(file, pattern.match(file.name)) for file in files]
    good = [(file, fields) for file, fields in found if fields is not None]
    if not good:
        raise DataError(
            f"none of the {len(files):,} {noun} has a name like {pattern.pattern}, such as {files[0].name}",
            "dataset.pattern",
            "Replace the varying parts of the name by fields in braces: '{class}_{speaker}_{n}'.",
        )
    return (
        [file for file, _ in good],
        [fields for _, fields in good],
        [file.name for file, fields in found if fields is None],
    )
