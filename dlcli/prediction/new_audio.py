"""Read new recordings: audio files, folders, archives or tables of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from dlcli.datasets.audio.audio_decoder import audio_suffixes
from dlcli.datasets.audio.audio_loading import AudioOptions, load_recordings
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.notices import Notice
from dlcli.inference.saved_model import SavedModel
from dlcli.prediction.new_files import new_files
from dlcli.prediction.new_rows import NewRows
from dlcli.preprocessing.spectrogram import Spectrogram


@dataclass(frozen=True)
class AudioSettings:
    """Settings for reading recordings.

    Attributes:
        on_bad: Whether a damaged file is an error or is skipped.
        audio: For a table, the column of paths; None for the first column.
    """

    on_bad: Literal["error", "skip"] = "error"
    audio: str | None = None


def read_recordings(
    files: Sequence[Path],
    model: SavedModel,
    settings: AudioSettings,
    report: Callable[[Notice], None],
    stored: Sequence[Stored] = (),
) -> Iterator[NewRows]:
    """Yield recordings with the names of their files, resampled to the rate of the training rows.

    Args:
        files: Audio files, folders, archives or tables.
        model: The model.
        settings: Settings for reading.
        report: Receives what was left out or converted.
        stored: Files in memory, which are read instead.

    Raises:
        DataError: A file cannot be read.
    """
    entries: list[Stored] = list(stored)
    for file in () if stored else files:
        own, notices = new_files(file, settings.audio, audio_suffixes(), "recordings", "dataset.audio")
        entries += own
        for notice in notices:
            report(notice)
    options = AudioOptions(rate_of_model(model), settings.on_bad)
    at_once = model.network.evaluation_rows()
    found = load_recordings(files[0], entries, options)
    for notice in found.notices:
        report(notice)
    for first in range(0, len(found.rows), at_once):
        some = found.rows[first : first + at_once]
        names = pa.array([entries[row].where for row in some], pa.string())
        yield NewRows(files[0], found.x[first : first + at_once], pa.table({"file": names}))


def rate_of_model(model: SavedModel) -> int:
    """Return the sample rate of the recordings that the model was trained on."""
    assert isinstance(model.preprocessing, Spectrogram)
    return model.preprocessing.rate_
