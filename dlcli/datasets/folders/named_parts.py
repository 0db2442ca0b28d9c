"""The parts of a split that names of files denote: train.txt, folders such as val/, or fields of a pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlcli.config.pasted import pasted
from dlcli.datasets.folders.name_pattern import NamePattern
from dlcli.datasets.folders.part_words import SHOWN, part_names, part_of
from dlcli.errors import DataError
from dlcli.formatting import counted

# Values of fields of names, such as {n: [0, 1, 2]}.
Chosen = Mapping[str, Sequence[str | int] | str | int]

# Fields of a pattern that name the part of a file.
_PART_FIELDS = ("split", "part")


def require_pattern(pattern: str | None, test: Chosen | None, val: Chosen | None) -> None:
    """Raise an error if files are chosen by the fields of their names, but there is no pattern."""
    if (test or val) and pattern is None:
        raise DataError(
            "chooses files by the fields of their names, but dataset.pattern is not set",
            "dataset.test" if test else "dataset.val",
            f"Set it, such as {pasted('dataset.pattern', '{class}_{speaker}_{n}')}.",
        )


def parts_of_names(
    pattern: NamePattern, fields: Sequence[Mapping[str, str]], test: Chosen, val: Chosen
) -> list[str]:
    """Return train, val or test for each file; "" if neither the pattern nor `test` and `val` say it.

    Raises:
        DataError: a part has an unknown name, or is given twice.
    """
    named = next((field for field in _PART_FIELDS if field in pattern.fields), None)
    if named is not None:
        for word in dict.fromkeys(found[named] for found in fields):
            if part_of(word) is None:
                raise DataError(f"{word!r} is not a part of a split", "dataset.pattern", f"Use {SHOWN}.")
        if not (test or val):
            return [str(part_of(found[named])) for found in fields]
        raise DataError(
            f"the pattern has the field {named}, and dataset.test or dataset.val chooses parts, too",
            "dataset.pattern",
            "Give the field another name, such as {folder}, or leave out dataset.test and dataset.val.",
        )
    if not (test or val):
        return [""] * len(fields)
    is_test = pattern.chosen(fields, _listed(test), "dataset.test") if test else [False] * len(fields)
    is_val = pattern.chosen(fields, _listed(val), "dataset.val") if val else [False] * len(fields)
    both = sum(map(min, is_test, is_val))
    if both:
        raise DataError(f"{counted(both, 'file')} would be both test and validation rows", "dataset.val")
    return ["test" if t else "val" if v else "train" for t, v in zip(is_test, is_val, strict=True)]


def _listed(chosen: Chosen) -> dict[str, Sequence[str | int]]:
    return {
        field: [values] if isinstance(values, str | int) else list(values) for field, values in chosen.items()
    }


def parts_of_files(names: Sequence[str], where: str) -> list[str]:
    """Return train, val or test for each file; an empty list if no name denotes a part.

    Args:
        names: paths of the files in their folder, separated by `/`.
        where: path of the folder, for messages.

    Raises:
        DataError: some names denote parts and others do not, or none denotes the training rows.
    """
    folders = [name.split("/")[0] if "/" in name else "" for name in names]
    if part_names(set(folders) - {""}):
        words = folders
    else:
        words = [name.rpartition("/")[2].partition(".")[0] for name in names]
    known = set(part_names(set(words) - {""}))
    if not known:
        return []
    hint = f"Names of parts are {SHOWN}. To read all files as one text: dataset.parts=false."
    unnamed = [name for name, word in zip(names, words, strict=True) if word not in known]
    if unnamed:
        named = next(name for name, word in zip(names, words, strict=True) if word in known)
        raise DataError(f"{named} is named like a part of a split, but {unnamed[0]} is not", where, hint)
    parts = [str(part_of(word)) for word in words]
    if "train" not in parts:
        raise DataError(
            f"has files of the parts {', '.join(sorted(set(parts)))}, but none of train", where, hint
        )
    return parts
