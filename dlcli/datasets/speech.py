"""Recordings with a transcript each, for speech into text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from dlcli.datasets.audio.audio_loading import AudioOptions, load_recordings
from dlcli.datasets.audio.spoken_rows import composed_text, left_out, spoken, transcript_problem
from dlcli.datasets.audio.transcript_files import list_transcribed
from dlcli.datasets.data import Data
from dlcli.datasets.notices import Notice
from dlcli.files.paths import typed


def load(
    path: str,
    text: str | None = None,
    audio: str | None = None,
    split: str | None = None,
    group: str | None = None,
    lowercase: bool = False,
    encoding: str = "utf-8",
    **options: Annotated[Any, AudioOptions],
) -> Data:
    """Load recordings of one sample rate, with a transcript for each.

    Args:
        path: a table of paths and texts; a folder (or a .tar or .zip) with recordings and a `metadata.csv` of lines
            `id|text` as LJSpeech, `.trans.txt` files of lines `id text` as LibriSpeech, or a text file next to each
            recording. Folders named train, val and test are parts of the split.
        text: a table's column of transcripts; None takes one named text, transcript, transcription or sentence.
        audio: a table's column of paths, relative to the table's folder; None takes the first column.
        split: a table's column with train, val or test for each file.
        group: rows of a group are kept together: a table's column, or for others a regular expression, whose first
            group (or match) in a file's name is its group.
        lowercase: whether transcripts are converted to lower case.
        encoding: encoding of text files.
        options: fields of `AudioOptions`.

    Raises:
        DataError: a file is missing or invalid, or a transcript is empty or too long for its recording.
    """
    asked, place = AudioOptions(**options), typed(path)
    listing = list_transcribed(place, text, audio, split, group, encoding)
    found = load_recordings(place, listing.entries, asked, listing.parts)
    texts = [composed_text(listing.texts[row], lowercase) for row in found.rows]
    bad = list(listing.bad)
    kept = []
    for number, (row, own) in enumerate(zip(found.rows, texts, strict=True)):
        if problem := transcript_problem(own, float(found.x.seconds[number])):
            bad.append((listing.places[row], problem))
        else:
            kept.append(number)
    notices = left_out(bad, asked.on_bad, len(kept), place)
    rows = found.rows[kept]
    return spoken(
        place,
        found.x[np.array(kept, np.int64)],
        [texts[number] for number in kept],
        [listing.entries[row].name for row in rows],
        [listing.parts[row] for row in rows],
        groups=None if listing.groups is None else np.asarray([listing.groups[row] for row in rows]),
        note=found.note,
        notices=(
            *listing.notices,
            *found.notices,
            *notices,
            *_changed([listing.texts[row] for row in rows], [texts[number] for number in kept], str(place)),
        ),
    )


def _changed(before: Sequence[str], after: Sequence[str], where: str) -> list[Notice]:
    """Return the notice on transcripts whose blanks, composition or case was changed."""
    changed = sum(own.strip() != new for own, new in zip(before, after, strict=True))
    if not changed:
        return []
    text = f"{changed:,} of {len(before):,} transcripts changed: single blanks, composed characters, or lower case"
    return [Notice("changed_transcripts", changed, text, where, warns=False)]
