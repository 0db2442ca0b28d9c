"""Audio files of labelled folders, with the class in their names, or listed in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from dlcli.config.pasted import pasted
from dlcli.datasets.audio.audio_decoder import audio_suffixes
from dlcli.datasets.audio.audio_loading import AudioOptions, load_recordings
from dlcli.datasets.data import Data
from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import Listing, PartFolders, list_class_folders, list_files
from dlcli.datasets.folders.name_pattern import NamePattern, matched
from dlcli.datasets.folders.part_words import SHOWN, part_of
from dlcli.datasets.folders.path_groups import groups_of_names
from dlcli.datasets.images.path_tables import list_table
from dlcli.datasets.labelled_files import labelled
from dlcli.datasets.notices import Notice, first_names
from dlcli.datasets.tables.read_table import is_table
from dlcli.errors import DataError
from dlcli.files.paths import is_file, typed
from dlcli.formatting import counted

# Values by field of a file name, such as {n: [0, 1, 2]}.
Chosen = Mapping[str, Sequence[str | int] | str | int]

_NOUN = "recordings"
# Fields of a pattern that name the part of a file.
_PART_FIELDS = ("split", "part")


def load(
    path: str,
    pattern: str | None = None,
    target: str | None = None,
    group: str | None = None,
    test: Chosen | None = None,
    val: Chosen | None = None,
    audio: str | None = None,
    split: str | None = None,
    parts: PartFolders = "auto",
    **options: Annotated[Any, AudioOptions],
) -> Data:
    """Load recordings at a common sample rate, each with a class or a number.

    Args:
        path: a folder (or a .tar or .zip, read without unpacking) with one folder per class, optionally below `train/`,
            `test/` and `val/`, or with file names that match `pattern`; or a table of paths and labels.
        pattern: names of the files with fields in braces, such as `{class}_{speaker}_{n}`; `{split}` is the part.
        target: a table's label column, or the pattern's field of the class; None takes the field `class`.
        group: rows of a group are kept together: a table's column, a field of the pattern, or for folders a regular
            expression, whose first group (or match) in a file's name is its group.
        test: for a pattern, values of fields whose files are the test rows, such as `{n: [0, 1]}`.
        val: for a pattern, values of fields whose files are the validation rows.
        audio: a table's column of paths, relative to the table's folder; None takes the first column.
        split: a table's column with train, val or test for each file.
        parts: whether folders named train, test and the like are parts of the split; if false, they are classes.
        options: fields of `AudioOptions`.

    Raises:
        DataError: a file or folder is missing or invalid.
    """
    asked, place = AudioOptions(**options), typed(path)
    if (test or val) and pattern is None:
        raise DataError(
            "chooses files by the fields of their names, but dataset.pattern is not set",
            "dataset.test" if test else "dataset.val",
            f"Set it, such as {pasted('dataset.pattern', '{class}_{speaker}_{n}')}.",
        )
    if pattern is not None:
        listing = _of_pattern(place, NamePattern(pattern), target or "class", group, test or {}, val or {})
    elif is_file(place) and not is_archive(place) and is_table(place):
        listing = list_table(
            place, target, audio, split, group, key="dataset.audio", suffixes=audio_suffixes()
        )
    else:
        listing = list_class_folders(
            place, audio_suffixes(), _NOUN, "a table of paths and labels, or dataset.pattern", parts
        )
        if group:
            listing = replace(listing, groups=groups_of_names(listing.entries, group))
    listing = listing.without_empty(_NOUN, skip=asked.on_bad == "skip")
    found = load_recordings(place, listing.entries, asked, listing.parts)
    groups = None if listing.groups is None else np.asarray([listing.groups[row] for row in found.rows])
    return labelled(
        place,
        "audio",
        found.x,
        [listing.labels[row] for row in found.rows],
        [listing.parts[row] for row in found.rows],
        target or "class",
        groups=groups,
        note=found.note,
        notices=(*listing.notices, *found.notices),
    )


def _of_pattern(
    place: Path, pattern: NamePattern, target: str, group: str | None, test: Chosen, val: Chosen
) -> Listing:
    """List the files of a folder or an archive; class, group and part are read from their names."""
    if is_file(place) and not is_archive(place) and is_table(place):
        raise DataError(
            "is a table: its columns contain the labels", str(place), "Leave out dataset.pattern."
        )
    pattern.require(target, "dataset.target")
    if group:
        pattern.require(group, "dataset.group")
    files, notices = list_files(place, audio_suffixes(), _NOUN)
    entries, fields, others = matched(files, pattern, _NOUN)
    if others:
        text = (
            f"{len(others):,} of {len(files):,} {_NOUN} do not match {pattern.pattern} and are left out: "
            f"{first_names(others)}"
        )
        notices.append(Notice("loose_files", len(others), text, str(place)))
    parts = _parts(pattern, fields, test, val)
    return Listing(
        entries,
        [found[target] for found in fields],
        parts,
        [],
        tuple(notices),
        [found[group] for found in fields] if group else None,
    )


def _parts(pattern: NamePattern, fields: Sequence[Mapping[str, str]], test: Chosen, val: Chosen) -> list[str]:
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
