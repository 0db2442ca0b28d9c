"""Log-mel spectrograms of batches of waveforms, on their device."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dlcli.datasets.audio.recordings import FULL_SCALE

# Input form of a spectrogram: a sequence of frames `(T, mels)`, or an image `(1, mels, T)`.
ReadsAudio = Literal["sequence", "image"]

# Added to the energy of a band before the logarithm. A sine wave of full scale has about 1e3, silence 0.
_FLOOR = 1e-6


def mel_filters(n_mels: int, n_fft: int, rate: int, f_min: float, f_max: float) -> np.ndarray:
    """Return triangular filters `(n_fft // 2 + 1, n_mels)`, equally spaced on the mel scale.

    The scale is `2595 log10(1 + f / 700)` (O'Shaughnessy, 1987), as in HTK and by default in torchaudio, whose
    `melscale_fbanks` without normalization returns the same filters.

    Args:
        n_mels: number of filters.
        n_fft: number of samples of a transform.
        rate: samples per second.
        f_min: lower end of the first filter in Hz.
        f_max: upper end of the last filter in Hz.
    """
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (f_min, f_max))
    corners = 700 * (10 ** (np.linspace(low, high, n_mels + 2) / 2595) - 1)
    frequencies = np.linspace(0, rate / 2, n_fft // 2 + 1)[:, None]
    rising = (frequencies - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - frequencies) / (corners[2:] - corners[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


class LogMel(nn.Module):
    """Module that computes log-mel spectrograms of waveforms `(N, L)` of 16-bit integers, scaled per band.

    Frame t uses the Hann window of `win_length` samples around sample `t * hop_length`; waveforms are extended with
    silence, so that a row's frames do not depend on the padding of its batch. There are `1 + L // hop_length` frames.

    Args:
        filters: mel filters `(n_fft // 2 + 1, mels)`.
        win_length: samples of a window.
        hop_length: samples from one window to the next.
        mean: subtracted from each band `(mels,)`.
        std: divisor of each band `(mels,)`.
        reads: `sequence` returns `(N, T, mels)`, `image` returns `(N, 1, mels, T)`.
    """

    filters: Tensor
    window: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        filters: np.ndarray,
        win_length: int,
        hop_length: int,
        mean: np.ndarray,
        std: np.ndarray,
        reads: ReadsAudio = "sequence",
    ) -> None:
        super().__init__()
        self.n_fft = 2 * (len(filters) - 1)
        self.hop_length = hop_length
        self.reads = reads
        before = (self.n_fft - win_length) // 2
        window = torch.hann_window(win_length)
        parts = {
            "filters": torch.from_numpy(filters),
            "window": nn.functional.pad(window, (before, self.n_fft - win_length - before)),
            "mean": torch.from_numpy(mean.astype(np.float32)),
            "scale": torch.from_numpy((1 / std).astype(np.float32)),
        }
        for name, values in parts.items():
            self.register_buffer(name, values, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the spectrograms in the form that the model reads."""
        wave = x.to(self.window.dtype) / FULL_SCALE
        wave = nn.functional.pad(wave, (self.n_fft // 2, self.n_fft // 2))
        frames = wave.unfold(1, self.n_fft, self.hop_length) * self.window
        spectrum = torch.view_as_real(torch.fft.rfft(frames))
        bands = spectrum.square().sum(dim=-1) @ self.filters
        scaled = ((bands.float() + _FLOOR).log() - self.mean) * self.scale
        return scaled if self.reads == "sequence" else scaled.transpose(1, 2).unsqueeze(1)
