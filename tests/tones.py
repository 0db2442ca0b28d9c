"""Generated recordings of low and high tones of a few speakers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import wavfile


def tone(pitch: float, rate: int = 4000, seconds: float = 0.2, seed: int = 0) -> np.ndarray:
    """Return a tone in noise `(L,)` as 16-bit integers."""
    times = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(seed).normal(scale=0.05, size=len(times))
    wave = 0.5 * np.sin(2 * np.pi * pitch * times) + noise
    return (np.clip(wave, -1, 1) * 32_767).astype(np.int16)


def write_wav(file: Path, wave: np.ndarray, rate: int = 4000) -> Path:
    """Write a waveform `(L,)` or `(L, channels)` of any type."""
    file.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(file, rate, wave)
    return file


def write_tones(folder: Path, rows: int = 32) -> Path:
    """Write `low_ann_0.wav`, `high_ann_1.wav`, ... of four speakers and different lengths."""
    for row in range(rows):
        name, pitch = (("low", 400), ("high", 1200))[row % 2]
        speaker = ("ann", "bob", "cem", "dia")[row // 2 % 4]
        wave = tone(pitch + 20 * (row // 2 % 4), seconds=0.12 + 0.01 * (row % 5), seed=row)
        write_wav(folder / f"{name}_{speaker}_{row // 8}.wav", wave)
    return folder
