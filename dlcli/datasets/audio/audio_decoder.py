"""Decoding audio files to one channel of 16-bit samples."""

from __future__ import annotations

import io
import re
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcli.datasets.audio.recordings import as_samples
from dlcli.datasets.folders.bad_files import BadFile
from dlcli.datasets.folders.stored import Stored
from dlcli.datasets.folders.tree import suffix_of
from dlcli.errors import DataError, first_line

_WAV = frozenset({".wav", ".wave"})
# Formats that libsndfile reads (package soundfile).
_SOUNDFILE = frozenset({".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64"})
# Formats that cannot be read, but are recognized to name the files.
_OTHER = frozenset({".m4a", ".aac", ".wma", ".amr"})

# Limits the memory: a few kilobytes of a compressed format can decode to hours of silence.
_MOST_SAMPLES = 1 << 28

# Sizes written by programs that do not know the length in advance.
_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000)


@dataclass(frozen=True, eq=False)
class Sound:
    """One channel of an audio file.

    Attributes:
        samples: the waveform `(L,)`, the mean of the channels, as 16-bit integers.
        rate: samples per second.
        channels: number of channels of the file.
        clipped: number of samples beyond full scale, which were clipped.
        reduced: whether the file has more than 16 bits per sample.
    """

    samples: np.ndarray
    rate: int
    channels: int
    clipped: int = 0
    reduced: bool = False


def audio_suffixes() -> frozenset[str]:
    """Return the suffixes of audio files in lower case, including formats that cannot be read."""
    return _WAV | _SOUNDFILE | _OTHER


def decode_sound(entry: Stored) -> Sound:
    """Return the waveform of an audio file.

    Raises:
        BadFile: the file is empty, damaged or of a format that cannot be read.
    """
    try:
        content = entry.read()
    except OSError as error:
        raise BadFile(f"cannot be read: {error.strerror}") from error
    except DataError as error:  # of a damaged archive
        raise BadFile(error.problems[0].message) from error
    if not content:
        raise BadFile("is empty")
    if content[:4] in (b"RIFF", b"RIFX", b"RF64"):
        rate, values = _wav(content)
    else:
        rate, values = _other(content, suffix_of(entry.name))
    if not len(values):
        raise BadFile("has no samples")
    if rate < 1:
        raise BadFile(f"has a sample rate of {rate} Hz")
    return _mono(values.reshape(len(values), -1), rate)


def _wav(content: bytes) -> tuple[int, np.ndarray]:
    missing = _missing_bytes(content)
    if missing:
        raise BadFile(f"is truncated: {missing:,} bytes are missing")
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about chunks with metadata, which are not used
            return wavfile.read(io.BytesIO(content))
    except Exception as error:  # scipy raises many types for damaged files
        if "Unknown wave file format" in str(error):  # such as mu-law, which libsndfile reads
            return _other(content, ".wav")
        raise BadFile(f"cannot be decoded: {first_line(error) or type(error).__name__}") from error


def _missing_bytes(content: bytes) -> int:
    """Return the number of bytes missing from the data chunk of a RIFF file; scipy would silently read a
    shorter one."""
    if content[:4] != b"RIFF":
        return 0
    place = 12
    while place + 8 <= len(content):
        name, size = struct.unpack("<4sI", content[place : place + 8])
        if name == b"data":
            return 0 if size in _UNKNOWN_SIZES else max(0, place + 8 + size - len(content))
        place += 8 + size + size % 2
    return 0


def _other(content: bytes, suffix: str) -> tuple[int, np.ndarray]:
    """Read a file with libsndfile; return its samples `(L, channels)` and its rate."""
    if suffix in _OTHER:
        raise BadFile(f"has a format that cannot be read ({suffix}): convert it to .wav or .flac")
    soundfile = _soundfile(suffix)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.frames * file.channels > _MOST_SAMPLES:
                raise BadFile(f"has more than {_MOST_SAMPLES:,} samples: cut it into pieces")
            values, rate = file.read(dtype="float32", always_2d=True), file.samplerate
    except BadFile:
        raise
    except Exception as error:  # libsndfile's errors, and those of damaged headers
        # libsndfile names the object that it reads from before the reason.
        why = re.sub(r"^Error opening <.*?>: ", "", first_line(error))
        raise BadFile(f"cannot be decoded: {why.rstrip('.')}") from error
    return int(rate), values


def _soundfile(suffix: str) -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError without its library
        if suffix in _WAV:
            raise BadFile(
                "is not a .wav file that can be read without soundfile: pip install soundfile"
            ) from error
        raise BadFile(f"{suffix or 'this format'} needs soundfile: pip install soundfile") from error
    return soundfile


def _mono(values: np.ndarray, rate: int) -> Sound:
    """Return the mean of channels `(L, channels)` of any type."""
    channels = values.shape[1]
    if values.dtype == np.int16 and channels == 1:
        return Sound(np.ascontiguousarray(values[:, 0]), rate, 1)
    if values.dtype == np.uint8:
        wave = (values.astype(np.float32) - 128) / 128
    elif np.issubdtype(values.dtype, np.integer):
        wave = values / -float(np.iinfo(values.dtype).min)
    else:
        wave = values
        if not np.isfinite(wave).all():
            raise BadFile("has samples that are not finite")
    wave = wave.mean(axis=1)
    clipped = int((np.abs(wave) > 1).sum())
    return Sound(as_samples(wave), rate, channels, clipped, values.dtype.itemsize > 2 and _deep(values))


def _deep(values: np.ndarray) -> bool:
    """Return whether values have more than 16 bits."""
    if np.issubdtype(values.dtype, np.integer):
        return bool((values & 0xFFFF).any())
    scaled = values * 32_768
    return bool((scaled != np.round(scaled)).any())
