"""Strings of spoken words, such as digits, made by joining recordings of one word each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Len

from dlcli.config.pasted import pasted
from dlcli.datasets.audio.audio_decoder import audio_suffixes
from dlcli.datasets.audio.audio_loading import AudioOptions, load_recordings
from dlcli.datasets.audio.joining import Joined, join, waveforms
from dlcli.datasets.audio.spoken_rows import spoken
from dlcli.datasets.data import Data
from dlcli.datasets.folders.class_folders import list_files
from dlcli.datasets.folders.name_pattern import NamePattern, matched
from dlcli.datasets.folders.named_parts import Chosen, parts_of_names
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError
from dlcli.files.paths import typed
from dlcli.formatting import counted

_NOUN = "recordings"
# Separates the fields that decide which recordings are joined; it is in no file's name.
_BETWEEN = "\0"


def load(
    path: str,
    pattern: str,
    text: str = "text",
    same: str | None = None,
    group: str | None = None,
    test: Chosen | None = None,
    val: Chosen | None = None,
    words: Annotated[Sequence[Annotated[int, Ge(1)]], Len(2, 2)] = (3, 7),
    separator: str = "",
    repeats: Annotated[int, Ge(1)] = 1,
    block: Annotated[int, Ge(1)] = 50,
    pause: Annotated[float, Ge(0)] = 0.1,
    join_seed: Annotated[int, Ge(0)] = 0,
    **options: Annotated[Any, AudioOptions],
) -> Data:
    """Load recordings of single words, and join several of them to each row.

    Every recording is used, and no recording is in rows of two parts: recordings are joined only within a part, and
    rows that have recordings in common are a group.

    Args:
        path: a folder, .tar or .zip with the recordings.
        pattern: their names with fields in braces, such as `{text}_{speaker}_{n}`; `{split}` is the part.
        text: the field with the text that is spoken.
        same: a field whose value is the same in all recordings of a row, such as the speaker; None joins any.
        group: a field whose rows of equal values are kept together; it must be the one of `same`.
        test: values of fields whose recordings are the test rows, such as `{n: [0, 1]}`.
        val: values of fields whose recordings are the validation rows.
        words: smallest and largest number of recordings of a row.
        separator: what is written between the texts of two recordings.
        repeats: number of rows that each training recording is in. Those of test and validation rows are used once.
        block: with several repetitions, number of recordings from which rows are made; these rows are a group.
        pause: largest silence between two recordings in seconds; its length is drawn uniformly.
        join_seed: seed of the order of recordings and of the pauses.
        options: fields of `AudioOptions`.

    Raises:
        DataError: a file, a field or a setting is invalid.
    """
    asked, place, low, high = AudioOptions(**options), typed(path), *words
    if low > high:
        raise DataError(f"the smallest number, {low}, exceeds the largest, {high}", "dataset.words")
    if group is not None and group != same:
        raise DataError(
            f"a row may have recordings of several values of {group}",
            "dataset.group",
            f"Set {pasted('dataset.same', group)} as well, or leave out dataset.group.",
        )
    names = NamePattern(pattern)
    for field, key in ((text, "dataset.text"), *(((same, "dataset.same"),) if same else ())):
        names.require(field, key)
    files, notices = list_files(place, audio_suffixes(), _NOUN)
    entries, fields, others = matched(files, names, _NOUN)
    if others:
        told = (
            f"{len(others):,} of {len(files):,} {_NOUN} have other names than {pattern}, and are left out: "
        )
        notices.append(Notice("loose_files", len(others), told + first_names(others), str(place)))
    all_parts = parts_of_names(names, fields, test or {}, val or {})
    found = load_recordings(place, entries, asked, all_parts)
    own = [fields[row] for row in found.rows]
    parts = [all_parts[row] for row in found.rows]
    same_of = [one[same] if same else "" for one in own]
    pools = [_BETWEEN.join(pair) for pair in zip(parts, same_of, strict=True)]
    trained = np.array([part not in ("val", "test") for part in parts])
    x = found.x
    rows: list[Joined] = []
    for is_trained in (True, False):
        some = np.flatnonzero(trained == is_trained)
        first = max((row.block for row in rows), default=-1) + 1
        for row in join(
            [pools[one] for one in some],
            (low, high),
            repeats if is_trained else 1,
            block,
            round(pause * x.rate),
            join_seed,
        ):
            rows.append(replace(row, members=some[row.members], block=row.block + first))
    groups: np.ndarray | None = None
    if group:
        groups = np.asarray([same_of[row.members[0]] for row in rows])
    elif repeats > 1:
        groups = np.array([row.block for row in rows])
    return spoken(
        place,
        waveforms(x, rows),
        [separator.join(own[member][text] for member in row.members) for row in rows],
        [
            " ".join(entries[found.rows[member]].name.rpartition("/")[2] for member in row.members)
            for row in rows
        ],
        [parts[row.members[0]] for row in rows],
        groups=groups,
        note=found.note,
        notices=(*notices, *found.notices, _told(len(x), len(rows), repeats, str(place))),
    )


def _told(recordings: int, rows: int, repeats: int, where: str) -> Notice:
    often = "" if repeats == 1 else f", each training recording in {repeats} of them"
    text = f"{counted(recordings, 'recording')} joined to {counted(rows, 'row')}{often}"
    return Notice("joined_recordings", recordings, text, where, warns=False)
