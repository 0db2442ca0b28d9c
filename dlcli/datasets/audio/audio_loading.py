"""Loading audio files as recordings: decode them, choose one sample rate, resample the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge

from dlcli.config.pasted import pasted
from dlcli.datasets.audio.audio_decoder import Sound, decode_sound
from dlcli.datasets.audio.recordings import Recordings, as_samples
from dlcli.datasets.folders.bad_files import BadFile, bad_files
from dlcli.datasets.folders.file_threads import in_threads
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.notices import Notice, first_names
from dlcli.errors import DataError
from dlcli.formatting import amount, counted

# Recordings shorter than this are reported: the length of a spectrogram window in seconds.
_SHORT = 0.025

Rate = Annotated[int, Ge(100)]


@dataclass(frozen=True)
class AudioOptions:
    """Options of a dataset of audio files.

    Attributes:
        sample_rate: samples per second that all recordings are resampled to; None takes the rate of most training
            files.
        on_bad: `error` raises an error for a damaged file; `skip` leaves it out and reports it.
    """

    sample_rate: Rate | None = None
    on_bad: Literal["error", "skip"] = "error"


@dataclass(frozen=True, eq=False)
class LoadedAudio:
    """Recordings as rows of `Data`.

    Attributes:
        x: the recordings.
        rows: indices of the recordings among all given files.
        note: how they are stored, for the panel.
        notices: which files were left out, and how others were converted.
    """

    x: Recordings
    rows: np.ndarray
    note: str
    notices: tuple[Notice, ...]


def load_recordings(
    place: Path, entries: Sequence[Stored], options: AudioOptions, parts: Sequence[str] = ()
) -> LoadedAudio:
    """Read all files and resample those of other rates.

    Args:
        place: source of the files, for messages.
        entries: the files.
        options: how they are read.
        parts: train, val or test of each file, or "": test and validation files do not decide the rate.

    Raises:
        DataError: a file is damaged and `on_bad` is error, or all are.
    """
    sounds: list[Sound] = []
    rows: list[int] = []
    bad: list[tuple[int, BadFile]] = []
    for row, found in enumerate(in_threads(decode_sound, entries)):
        if isinstance(found, BadFile):
            bad.append((row, found))
        else:
            sounds.append(found)
            rows.append(row)
    if bad and (options.on_bad == "error" or not sounds):
        raise bad_files(entries, bad)
    if not sounds:
        raise DataError("contains no recordings", str(place))
    deciding = [
        sound.rate
        for row, sound in zip(rows, sounds, strict=True)
        if not parts or parts[row] in ("train", "")
    ]
    rate = options.sample_rate or _usual(deciding or [sound.rate for sound in sounds])
    names = [entries[row].name for row in rows]
    notices = [
        *_left_out([entries[row].name for row, _ in bad], place),
        *_converted(sounds, rate, place),
        *_doubtful(sounds, names, place),
    ]
    rates = Counter(sound.rate for sound in sounds)
    x = Recordings.of(list(in_threads(lambda sound: _resampled(sound, rate), sounds)), rate)  # type: ignore[arg-type]
    others = len(rates) > 1 or rate not in rates
    note = f"in memory ({amount(x.values.nbytes)}), {rate:,} Hz{' after resampling' if others else ''}"
    return LoadedAudio(x, np.array(rows), note, tuple(notices))


def resampled(wave: np.ndarray, rate: int, to: int) -> np.ndarray:
    """Return a waveform `(L,)` at another rate, by polyphase filtering with scipy's `resample_poly`."""
    from scipy.signal import resample_poly

    common = math.gcd(rate, to)
    return resample_poly(wave, to // common, rate // common)


def _resampled(sound: Sound, rate: int) -> np.ndarray:
    if sound.rate == rate:
        return sound.samples
    return as_samples(resampled(sound.samples.astype(np.float32) / 32_768, sound.rate, rate))


def _usual(rates: Sequence[int]) -> int:
    """Return the most frequent rate; of equally frequent ones the lowest, to which the others are downsampled."""
    counts = Counter(rates)
    return min(counts, key=lambda rate: (-counts[rate], rate))


def _left_out(names: Sequence[str], place: Path) -> Iterator[Notice]:
    if names:
        text = f"{counted(len(names), 'damaged recording')} left out: {first_names(names)}"
        yield Notice("damaged_files", len(names), text, str(place))


def _converted(sounds: Sequence[Sound], rate: int, place: Path) -> Iterator[Notice]:
    """Yield notices of conversions: resampling, averaged channels, rounding and clipping."""
    where, total = str(place), len(sounds)
    other = Counter(sound.rate for sound in sounds if sound.rate != rate)
    if other:
        kinds = ", ".join(f"{count:,} of {own:,} Hz" for own, count in other.most_common(4))
        text = f"{other.total():,} of {counted(total, 'recording')} resampled to {rate:,} Hz: {kinds}"
        yield Notice("resampled_recordings", other.total(), text, where, "", warns=False)
    low = sum(count for own, count in other.items() if own < rate)
    if low:
        text = (
            f"{low:,} of {counted(total, 'recording')} lack high frequencies: their rate is below {rate:,} Hz"
        )
        hint = f"Set {pasted('dataset.sample_rate', min(other))} to limit all recordings to the same frequencies."
        yield Notice("upsampled_recordings", low, text, where, hint)
    several = Counter(sound.channels for sound in sounds if sound.channels > 1)
    if several:
        kinds = ", ".join(f"{count:,} of {channels}" for channels, count in several.most_common(3))
        text = f"channels averaged in {several.total():,} of {counted(total, 'recording')}: {kinds} channels"
        yield Notice("averaged_channels", several.total(), text, where, warns=False)
    reduced = sum(sound.reduced for sound in sounds)
    if reduced:
        text = f"{reduced:,} of {counted(total, 'recording')} rounded to 16 bits per sample"
        yield Notice("rounded_recordings", reduced, text, where, warns=False)
    clipped = [sound.clipped for sound in sounds if sound.clipped]
    if clipped:
        text = f"{sum(clipped):,} samples beyond full scale clipped, in {counted(len(clipped), 'recording')}"
        yield Notice(
            "clipped_samples", sum(clipped), text, where, "Scale these files to values from -1 to 1."
        )


def _doubtful(sounds: Sequence[Sound], names: Sequence[str], place: Path) -> Iterator[Notice]:
    """Yield notices of silent recordings and of those shorter than a window."""
    silent = [name for name, sound in zip(names, sounds, strict=True) if not np.ptp(sound.samples)]
    if silent:
        text = f"{counted(len(silent), 'silent recording')}, with equal samples throughout: {first_names(silent)}"
        yield Notice("silent_recordings", len(silent), text, str(place), "Remove them if they are mistakes.")
    short = [
        name for name, sound in zip(names, sounds, strict=True) if len(sound.samples) < _SHORT * sound.rate
    ]
    if short:
        text = (
            f"{counted(len(short), 'recording')} shorter than {_SHORT * 1000:g} ms, a window of the spectrogram: "
            f"{first_names(short)}"
        )
        yield Notice("short_recordings", len(short), text, str(place), "Remove them if they are mistakes.")
