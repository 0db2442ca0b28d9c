"""Rows that MLflow passes to a saved model; `tests/same_figures.py` checks the example of each kind of data."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from dlcli.errors import DataError
from dlcli.inference.mlflow_rows import from_mlflow
from dlcli.preprocessing.spectrogram import Spectrogram


def model(kind: str, preprocessing: Any) -> Any:
    return SimpleNamespace(kind=kind, preprocessing=preprocessing)


def test_a_recording_is_a_waveform_or_the_content_of_a_file() -> None:
    reads = Spectrogram.__new__(Spectrogram)
    reads.rate_ = 8000
    wave = np.arange(-50, 50, dtype=np.int16)
    written = io.BytesIO()
    wavfile.write(written, 8000, wave)
    content = written.getvalue()
    cells = [wave, content, base64.b64encode(content).decode(), (wave / 32_768).tolist()]
    found = from_mlflow(model("audio", reads), pd.DataFrame({"audio": cells}))
    assert [len(one) for one in found] == [100] * 4
    for one in found[:3]:
        np.testing.assert_array_equal(one, wave)
    np.testing.assert_array_equal(found[3] * 32_768, wave)


def test_another_column_than_that_of_the_texts_is_refused() -> None:
    texts = model("tokens", SimpleNamespace(column_="review"))
    for rows in (pd.DataFrame(["a", "b"]), pd.DataFrame({"review": ["a", "b"]})):
        assert from_mlflow(texts, rows) == ["a", "b"]
    with pytest.raises(DataError, match=r"the first column is stars, but the model reads review"):
        from_mlflow(texts, pd.DataFrame({"stars": ["5", "4"]}))
