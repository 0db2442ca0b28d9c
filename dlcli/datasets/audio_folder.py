"""Audio files of labelled folders, with the class in their names, or listed in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from dlcli.datasets.audio.audio_decoder import audio_suffixes
from dlcli.datasets.audio.audio_loading import AudioOptions, load_recordings
from dlcli.datasets.data import Data
from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import Listing, PartFolders, list_class_folders, list_files
from dlcli.datasets.folders.name_pattern import NamePattern, matched
from dlcli.datasets.folders.named_parts import Chosen, parts_of_names, require_pattern
from dlcli.datasets.folders.path_groups import groups_of_names
from dlcli.datasets.images.path_tables import list_table
from dlcli.datasets.labelled_files import labelled
from dlcli.datasets.notices import Notice, first_names
from dlcli.datasets.tables.read_table import is_table
from dlcli.errors import DataError
from dlcli.files.paths import is_file, typed

_NOUN = "recordings"


def load(
    path: str,
    pattern: str | None = None,
    target: str | Sequence[str] | None = None,
    group: str | None = None,
    test: Chosen | None = None,
    val: Chosen | None = None,
    audio: str | None = None,
    split: str | None = None,
    label_separator: str | None = None,
    parts: PartFolders = "auto",
    **options: Annotated[Any, AudioOptions],
) -> Data:
    """Load recordings at a common sample rate, each with a class, labels or numbers.

    Args:
        path: a folder (or a .tar or .zip, read without unpacking) with one folder per class, optionally below `train/`,
            `test/` and `val/`, or with file names that match `pattern`; or a table of paths and labels.
        pattern: names of the files with fields in braces, such as `{class}_{speaker}_{n}`; `{split}` is the part.
        target: a table's label column, or several columns of numbers, or of 0 and 1, which are labels; or the pattern's
            field of the class; None takes the field `class`.
        group: rows of a group are kept together: a table's column, a field of the pattern, or for folders a regular
            expression, whose first group (or match) in a file's name is its group.
        test: for a pattern, values of fields whose files are the test rows, such as `{n: [0, 1]}`.
        val: for a pattern, values of fields whose files are the validation rows.
        audio: a table's column of paths, relative to the table's folder; None takes the first column.
        split: a table's column with train, val or test for each file.
        label_separator: the sign between several labels in a cell of the target, such as |.
        parts: whether folders named train, test and the like are parts of the split; if false, they are classes.
        options: fields of `AudioOptions`.

    Raises:
        DataError: a file or folder is missing or invalid.
    """
    asked, place = AudioOptions(**options), typed(path)
    names = [target] if isinstance(target, str) else list(target or ())
    require_pattern(pattern, test, val)
    if pattern is not None:
        listing = _of_pattern(place, NamePattern(pattern), _field(names), group, test or {}, val or {})
    elif is_file(place) and not is_archive(place) and is_table(place):
        listing = list_table(
            place,
            names,
            audio,
            split,
            group,
            key="dataset.audio",
            suffixes=audio_suffixes(),
            separator=label_separator,
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
        listing.targets,
        groups=groups,
        note="; ".join(filter(None, [listing.note, found.note])),
        notices=(*listing.notices, *found.notices),
    )


def _field(names: Sequence[str]) -> str:
    """Return the pattern's field of the class."""
    if len(names) > 1:
        message = f"a pattern gives one class for each file, not {', '.join(names)}"
        hint = "Name one field, or list the files in a table with a column for each target."
        raise DataError(message, "dataset.target", hint)
    return names[0] if names else "class"


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
    parts = parts_of_names(pattern, fields, test, val)
    return Listing(
        entries,
        [found[target] for found in fields],
        parts,
        [],
        tuple(notices),
        [found[group] for found in fields] if group else None,
    )
