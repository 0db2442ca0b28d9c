"""Bundles for recordings: the script reads .wav files, the ONNX graph computes spectrograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.io import wavfile

from dlcli.datasets.data import take
from dlcli.errors import InputError
from dlcli.exporting.bundled_rows import BundledRows, BundleSource, predicted_files
from dlcli.exporting.heads import INSTEAD
from dlcli.prediction.row_reader import RowReader
from dlcli.preprocessing.spectrogram import Spectrogram

# Pitches in Hz of the tones of the example.
_PITCHES = (440, 1000, 250)


class RecordingRows(BundledRows):
    """Recordings in .wav files with the sample rate of the training recordings."""

    reader = "read_audio.txt"
    card = (
        "`predict.py` reads .wav files of whole numbers; `model.onnx` takes their samples and computes spectrograms. "
        "Other formats and sample rates have to be converted before. The predictions were compared with those of the "
        "trained model on recordings before this folder was written."
    )

    def __init__(self, source: BundleSource) -> None:
        preprocessing = source.model.preprocessing
        if type(preprocessing) is not Spectrogram:
            what = f"a bundle of {type(preprocessing).__name__} cannot be made: only of spectrograms of dlcli's own"
            raise InputError(what, "--bundle", INSTEAD)
        super().__init__(source)
        self._sound = preprocessing
        self._reader = RowReader(source.opened, source.model)

    def spec(self) -> dict[str, Any]:
        """Return how the script reads recordings."""
        sound = self._sound
        frames = getattr(self.source.model.network.model, "frames_per_step", 1)
        return {
            "label": "file", "rate": sound.rate_, "samples": sound.samples_, "hop": sound.hop_length_,
            "width": sound.samples_ if sound.reads_audio == "image" else 0,
            # Of at least two steps, as in the example that was traced.
            "least": 2 * frames * sound.hop_length_, "inputs": self.inputs, "frames_per_step": frames,
        }  # fmt: skip

    def write_raw(self, folder: Path) -> Path:
        """Write recordings of the run's data as .wav files."""
        waves = self._sound.rows(take(self.source.data.x, self.source.some()))
        return self._write(folder / "rows", list(waves))

    def write_example(self, folder: Path) -> Path:
        """Write tones of different lengths."""
        rate = self._sound.rate_
        seconds = np.arange(self._sound.samples_) / rate
        waves = [
            (np.sin(2 * np.pi * pitch * seconds[: len(seconds) // part]) * 10_000).astype(np.int16)
            for part, pitch in enumerate(_PITCHES, start=1)
        ]
        return self._write(folder / self.example, [wave for wave in waves if len(wave)])

    def predicted(self, place: Path) -> pd.DataFrame:
        """Return the model's predictions of the recordings in a folder."""
        return predicted_files(self.source, self._reader, place)

    def _write(self, place: Path, waves: list[np.ndarray]) -> Path:
        place.mkdir()
        for number, wave in enumerate(waves):
            wavfile.write(place / f"{number:04}.wav", self._sound.rate_, np.asarray(wave, np.int16))
        return place
