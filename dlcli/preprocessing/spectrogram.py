"""Preprocessing of recordings: compact waveforms in memory, log-mel spectrograms on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from annotated_types import Ge, Gt
from sklearn.base import BaseEstimator

from dlcli.config.pasted import pasted
from dlcli.datasets.audio.recordings import Recordings, as_samples
from dlcli.datasets.notices import Notice
from dlcli.errors import ConfigError, DataError
from dlcli.formatting import counted
from dlcli.preprocessing.mel import LogMel, ReadsAudio, mel_filters
from dlcli.preprocessing.ragged import Ragged
from dlcli.preprocessing.tokens import length_that_keeps
from dlcli.statistics.deviation import scales

# Length and step of windows in seconds, usual values for speech.
_WINDOW, _HOP = 0.025, 0.010

# Share of the training samples that are kept by the automatic duration.
_KEPT = 0.99

# Number of recordings for mean and standard deviation, and number of recordings transformed at a time.
_MEASURED, _BLOCK = 10_000, 128


class Spectrogram(BaseEstimator):
    """Conversion of recordings to waveforms `x` of 16-bit integers; `on_device` computes log-mel spectrograms.

    For models of sequences `x` is padded per batch, with the number of frames `lengths` `(N,)`; for models of images
    all waveforms are padded with silence to the same duration. Each band is scaled to mean 0 and deviation 1 over the
    frames of the training rows.

    Args:
        n_mels: number of mel bands.
        win_length: samples of a window; None: 25 ms.
        hop_length: samples from one window to the next; None: 10 ms.
        n_fft: samples of a Fourier transform, at least `win_length`; None: the next power of two.
        f_min: lower end of the lowest band in Hz.
        f_max: upper end of the highest band in Hz; None: half the sample rate.
        duration: maximum duration in seconds; longer recordings are truncated. None: a duration that keeps 99 % of the
            samples of the training rows.
        scaling: `standard` or `none`.
        reads_audio: input form of the model: a `sequence` of frames, or an `image`.
    """

    # Must be declared, because numbers of other data would be treated as waveforms.
    accepts: ClassVar = frozenset({"audio"})

    # A fitted attribute for reports only; the fields do not depend on it.
    only_told: ClassVar = frozenset({"rows_seen_", "cut_", "longest_"})

    def __init__(
        self,
        n_mels: Annotated[int, Ge(1)] = 40,
        win_length: Annotated[int, Ge(2)] | None = None,
        hop_length: Annotated[int, Ge(1)] | None = None,
        n_fft: Annotated[int, Ge(2)] | None = None,
        f_min: Annotated[float, Ge(0)] = 0.0,
        f_max: Annotated[float, Gt(0)] | None = None,
        duration: Annotated[float, Gt(0)] | None = None,
        scaling: Literal["standard", "none"] = "standard",
        reads_audio: ReadsAudio = "sequence",
    ) -> None:
        self.n_mels = n_mels
        self.win_length = win_length
        self.hop_length = hop_length
        self.n_fft = n_fft
        self.f_min = f_min
        self.f_max = f_max
        self.duration = duration
        self.scaling = scaling
        self.reads_audio = reads_audio

    def fit(self, x: Recordings) -> Self:
        """Choose the duration, and compute mean and deviation of each band.

        Raises:
            ConfigError: a setting does not fit the sample rate.
        """
        self.rate_ = x.rate
        self.win_length_ = self.win_length or max(2, round(_WINDOW * x.rate))
        self.hop_length_ = self.hop_length or max(1, round(_HOP * x.rate))
        self.n_fft_ = self.n_fft or 1 << (self.win_length_ - 1).bit_length()
        self._check(x.rate)
        longest = int(x.lengths.max(initial=1))
        chosen = round(self.duration * x.rate) if self.duration else 0
        self.samples_ = max(chosen or length_that_keeps(x.lengths, longest, _KEPT), self.win_length_)
        self.rows_seen_, self.longest_ = len(x), longest
        self.cut_ = int((x.lengths > self.samples_).sum())
        self.mean_, self.std_ = np.zeros(self.n_mels), np.ones(self.n_mels)
        if self.scaling == "standard":
            self.mean_, self.std_ = self._moments(x)
        return self

    def _check(self, rate: int) -> None:
        if self.n_fft_ < self.win_length_:
            raise ConfigError(
                f"a transform of {self.n_fft_} samples is shorter than a window of {self.win_length_}",
                "preprocessing.n_fft",
                f"Use at least {pasted('preprocessing.n_fft', self.win_length_)}.",
            )
        if self.n_fft_ % 2:
            raise ConfigError(
                f"{self.n_fft_} is odd",
                "preprocessing.n_fft",
                f"Use {pasted('preprocessing.n_fft', self.n_fft_ + 1)}.",
            )
        high = self.f_max or rate / 2
        if not self.f_min < high <= rate / 2:
            raise ConfigError(
                f"bands from {self.f_min:g} to {high:g} Hz do not fit a sample rate of {rate:,} Hz, which has "
                f"frequencies up to {rate / 2:g} Hz",
                "preprocessing.f_max" if self.f_max else "preprocessing.f_min",
                f"Use values from 0 to {rate / 2:g}.",
            )
        empty = int((self._filters(rate).sum(axis=0) == 0).sum())
        if empty:
            raise ConfigError(
                f"{empty} of {self.n_mels} mel bands contain none of the frequencies of a transform of {self.n_fft_} "
                "samples",
                "preprocessing.n_mels",
                f"Use fewer bands, or longer transforms: {pasted('preprocessing.n_fft', 2 * self.n_fft_)}.",
            )

    def _filters(self, rate: int) -> np.ndarray:
        return mel_filters(self.n_mels, self.n_fft_, rate, self.f_min, self.f_max or rate / 2)

    def _moments(self, x: Recordings) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of each band over the frames of (at most 10,000) rows."""
        rows = np.linspace(0, len(x) - 1, min(len(x), _MEASURED)).astype(np.int64)
        module = self._module("sequence")
        count, total, squares = 0, np.zeros(self.n_mels), np.zeros(self.n_mels)
        for first in range(0, len(rows), _BLOCK):
            waves, lengths = self._waves(x[rows[first : first + _BLOCK]])
            with torch.no_grad():
                bands = module(Ragged(waves, lengths)[:]).double().numpy()
            for row, frames in enumerate(self._frames(lengths).tolist()):
                count += frames
                total += bands[row, :frames].sum(axis=0)
                squares += (bands[row, :frames] ** 2).sum(axis=0)
        mean = total / count
        deviation = np.sqrt(np.maximum(0.0, squares / count - mean**2))
        return mean, np.asarray(scales(deviation, float(np.abs(mean).max()), count))

    def transform(self, x: Recordings | np.ndarray | Sequence[np.ndarray]) -> dict[str, Any]:
        """Return `x` as waveforms of 16-bit integers `(N, L)`, and for models of sequences `lengths` `(N,)` in frames.

        Raises:
            DataError: the waveforms have another sample rate, or are not numbers from -1 to 1 or 16-bit integers.
        """
        return self.transform_and_count(x)[0]

    def transform_and_count(
        self, x: Recordings | np.ndarray | Sequence[np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """Return the fields, and the number of recordings that are cut."""
        recordings = self.rows(x)
        waves, lengths = self._waves(recordings)
        counts = {
            "recordings": len(recordings),
            "cut_recordings": int((recordings.lengths > self.samples_).sum()),
        }
        if self.reads_audio == "image":
            return {"x": Ragged(waves, lengths, width=self.samples_)}, counts
        return {"x": Ragged(waves, lengths), "lengths": self._frames(lengths)}, counts

    def rows(self, x: Recordings | np.ndarray | Sequence[np.ndarray]) -> Recordings:
        """Convert a caller's waveforms: a list of `(L,)`, or an array `(N, L)`, at the sample rate of the model.

        Raises:
            DataError: the waveforms have another sample rate, or are not numbers from -1 to 1 or 16-bit integers.
        """
        if isinstance(x, Recordings):
            if x.rate != self.rate_:
                raise DataError(
                    f"the recordings have {x.rate:,} Hz, but the model was trained on {self.rate_:,} Hz",
                    "new data",
                    "Resample them: scipy.signal.resample_poly.",
                )
            return x
        return Recordings.of([_samples(row, np.asarray(wave)) for row, wave in enumerate(x)], self.rate_)

    def _waves(self, x: Recordings) -> tuple[torch.Tensor, torch.Tensor]:
        values, lengths = x.flat(self.samples_)
        return torch.from_numpy(values), torch.from_numpy(lengths.astype(np.int64))

    def _frames(self, lengths: torch.Tensor) -> torch.Tensor:
        return 1 + lengths // self.hop_length_

    @property
    def frames(self) -> int:
        """The largest number of frames of a recording."""
        return 1 + self.samples_ // self.hop_length_

    def facts(self) -> dict[str, Any]:
        """Return no facts: the shape of `x` is sufficient."""
        return {}

    def facts_of_model(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of spectrograms `(T, mels)` or `(1, mels, T)`; T is 0 for a sequence."""
        if self.reads_audio == "sequence":
            return {**facts, "input_shape": (0, self.n_mels)}
        return {**facts, "input_shape": (1, self.n_mels, self.frames)}

    def on_device(self) -> LogMel:
        """Return the module that computes spectrograms of waveforms."""
        return self._module(self.reads_audio)

    def _module(self, reads: ReadsAudio) -> LogMel:
        filters = self._filters(self.rate_)
        return LogMel(filters, self.win_length_, self.hop_length_, self.mean_, self.std_, reads)

    def notices(self) -> list[Notice]:
        """Return notices of the size of the spectrograms and of truncated training recordings."""
        seconds = self.samples_ / self.rate_
        size = f"{self.n_mels} mel bands and up to {self.frames:,} frames"
        text = f"spectrograms of {size}, of {seconds:.3g} s at {self.rate_:,} Hz"
        found = [Notice("sample_rate", self.rate_, text, "preprocessing", warns=False)]
        if self.cut_:
            text = (
                f"{self.cut_:,} of {counted(self.rows_seen_, 'training recording')} cut to {seconds:.3g} s; "
                f"the longest has {self.longest_ / self.rate_:.3g} s"
            )
            longest = float(np.ceil(self.longest_ / self.rate_ * 100) / 100)
            hint = f"{pasted('preprocessing.duration', longest)} keeps all."
            found.append(
                Notice("cut_recordings", self.cut_, text, "preprocessing.duration", hint, warns=False)
            )
        return found

    def notices_of_new(self, counts: Mapping[str, int]) -> list[Notice]:
        """Return the notice of truncated new recordings."""
        cut = counts.get("cut_recordings", 0)
        if not cut:
            return []
        seconds = self.samples_ / self.rate_
        text = f"{cut:,} of {counted(counts['recordings'], 'recording')} cut to the first {seconds:.3g} s, as before"
        hint = "Cut long recordings into pieces, one for each prediction."
        return [Notice("cut_recordings", cut, text, "new data", hint)]


def _samples(row: int, wave: np.ndarray) -> np.ndarray:
    """Return a caller's waveform as 16-bit integers."""
    where = f"new data: row {row}"
    if wave.ndim != 1 or not len(wave):
        raise DataError(
            f"has shape {wave.shape}, which is not that of a waveform", where, "Use samples of one channel."
        )
    if wave.dtype == np.int16:
        return wave
    if not np.issubdtype(wave.dtype, np.floating):
        hint = "Use floats from -1 to 1, or 16-bit integers."
        raise DataError(f"has samples of type {wave.dtype}, whose scale is unknown", where, hint)
    if not np.isfinite(wave).all():
        raise DataError("has samples that are not finite", where, "Use floats from -1 to 1.")
    if np.abs(wave).max() > 1:
        raise DataError("has samples beyond 1", where, "Divide the waveform by its full scale.")
    return as_samples(wave)
