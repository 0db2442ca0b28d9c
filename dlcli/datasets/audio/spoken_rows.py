"""`Data` of recordings and transcripts: checks of each transcript, and of its length beside that of the recording."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from dlcli.datasets.audio.recordings import Recordings
from dlcli.datasets.data import Data
from dlcli.datasets.labelled_files import of_place
from dlcli.datasets.notices import Notice, first_names
from dlcli.datasets.text_rows import Texts
from dlcli.datasets.transcripts import Transcripts
from dlcli.errors import DataError, Problem
from dlcli.formatting import counted

OnBad = Literal["error", "skip"]

# Problems that an error lists.
_NAMED = 5

# Characters per second above which a transcript cannot be that of its recording: the fastest speech has about 30.
_FASTEST = 100


def composed_text(text: str, lowercase: bool) -> str:
    """Return a transcript in Unicode's composed form (NFC), with single blanks between words."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.lower() if lowercase else text


def left_out(bad: Sequence[tuple[str, str]], on_bad: OnBad, rows: int, place: Path) -> list[Notice]:
    """Return the notice on places that are left out, or raise an error that names the first of them."""
    if not bad:
        return []
    if on_bad == "error" or not rows:
        hint = "Mend it, or leave such recordings out: dataset.on_bad=skip."
        more = f" (and {len(bad) - _NAMED:,} more)" if len(bad) > _NAMED else ""
        raise DataError(
            [
                Problem(reason + (more if number == _NAMED - 1 else ""), where, hint)
                for number, (where, reason) in enumerate(bad[:_NAMED])
            ]
        )
    text = f"{counted(len(bad), 'recording')} left out: " + first_names([f"{w} {r}" for w, r in bad], 2)
    return [Notice("bad_transcripts", len(bad), text, str(place))]


def transcript_problem(text: str, seconds: float) -> str:
    """Return what is wrong with the transcript of a recording; "" if nothing is."""
    if not text:
        return "the transcript is empty"
    if len(text) > _FASTEST * seconds:
        return (
            f"the transcript has {len(text):,} characters, but the recording is {seconds:.3g} s long: more than "
            f"{_FASTEST} per second"
        )
    return ""


def spoken(
    place: Path, x: Recordings, texts: Sequence[str], files: Sequence[str], parts: Sequence[str], **more: Any
) -> Data:
    """Return `Data` of recordings with their transcripts.

    Args:
        place: source of the rows.
        x: the recordings.
        texts: their transcripts.
        files: their names.
        parts: train, val or test of each, or "".
        more: further attributes of `Data`.
    """
    return Data(
        kind="audio",
        x=x,
        y=Transcripts(
            pa.array(list(texts), pa.large_string()), Texts(pa.array(list(files), pa.large_string()), "file")
        ),
        **of_place(place, parts),
        **more,
    )
