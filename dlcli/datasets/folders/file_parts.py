"""The parts of a split that a folder names: train.txt, val.txt and test.txt, or folders of these names."""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.datasets.folders.part_words import SHOWN, part_names, part_of
from dlcli.errors import DataError


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
