"""Log-mel spectrograms of recordings."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlcli.augmentation.spec_augment import SpecAugment
from dlcli.datasets.audio.recordings import Recordings
from dlcli.errors import ConfigError, DataError
from dlcli.preprocessing.mel import LogMel, mel_filters
from dlcli.preprocessing.spectrogram import Spectrogram
from tests.tones import tone


@pytest.fixture(scope="module")
def recordings() -> Recordings:
    waves = [tone(300 + 50 * row, seconds=0.1 + 0.01 * row, seed=row) for row in range(12)]
    return Recordings.of(waves, 4000)


def test_filters_are_triangles_on_the_mel_scale() -> None:
    filters = mel_filters(6, 512, 8000, 0, 4000)
    assert filters.shape == (257, 6)
    hertz = np.linspace(0, 4000, 257)
    peaks = 2595 * np.log10(1 + hertz[filters.argmax(axis=0)] / 700)
    assert np.diff(peaks) == pytest.approx(np.full(5, 2595 * np.log10(1 + 4000 / 700) / 7), rel=0.05)
    inside = (hertz > 250) & (hertz < 2800)
    assert filters[inside].sum(axis=1) == pytest.approx(1, abs=1e-5)  # neighbours add up to 1


def test_it_is_the_spectrogram_of_torch() -> None:
    wave = torch.from_numpy(tone(700))
    filters = mel_filters(10, 128, 4000, 0, 2000)
    own = LogMel(filters, 100, 40, np.zeros(10), np.ones(10))(wave[None])[0]
    of_torch = torch.stft(
        wave / 32_768, 128, 40, 100, torch.hann_window(100), pad_mode="constant", return_complex=True
    )
    expected = (of_torch.abs().square().T @ torch.from_numpy(filters) + 1e-6).log()
    torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-3)


def test_frames_do_not_depend_on_the_batch(recordings: Recordings) -> None:
    made = Spectrogram(n_mels=8).fit(recordings)
    fields = made.transform(recordings)
    frames = made.on_device()(fields["x"][:])
    assert frames.shape == (12, int(fields["lengths"].max()), 8)
    alone = made.transform(recordings[np.array([2])])
    length = int(alone["lengths"][0])
    torch.testing.assert_close(made.on_device()(alone["x"][:])[0], frames[2, :length])
    of_rows = torch.cat(
        [row[:length] for row, length in zip(frames, fields["lengths"].tolist(), strict=True)]
    )
    assert of_rows.mean(dim=0).abs().max() < 1e-3
    assert of_rows.std(dim=0).numpy() == pytest.approx(1, abs=1e-2)


def test_images_have_one_size_and_long_recordings_are_cut(recordings: Recordings) -> None:
    made = Spectrogram(n_mels=8, duration=0.15, reads_audio="image").fit(recordings)
    fields, counts = made.transform_and_count(recordings)
    assert fields["x"].shape == (12, 600)
    images = made.on_device()(fields["x"][:3])
    assert (1, *images.shape[2:]) == made.facts_of_model({})["input_shape"]
    assert counts["cut_recordings"] == 6
    assert {notice.key for notice in made.notices()} == {"sample_rate", "cut_recordings"}
    assert "6 of 12 recordings cut to the first 0.15 s" in made.notices_of_new(counts)[0].text


def test_callers_give_waveforms(recordings: Recordings) -> None:
    made = Spectrogram(n_mels=8).fit(recordings)
    waves = list(recordings)
    floats = [wave / 32_768 for wave in waves]
    for rows in (waves, floats):
        assert torch.equal(made.transform(rows)["x"].values, made.transform(recordings)["x"].values)
    for bad, message in (
        ([np.ones((3, 2))], "which is not that of a waveform"),
        ([np.array([1, 2])], "whose scale is unknown"),
        ([np.array([2.0])], "beyond 1"),
        ([np.array([np.nan])], "not finite"),
        (Recordings.of(waves, 8000), "8,000 Hz, but the model was trained on 4,000 Hz"),
    ):
        with pytest.raises(DataError, match=message):
            made.transform(bad)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_mels": 200}, "mel bands contain none of the frequencies"),
        ({"n_fft": 64}, "shorter than a window of 100"),
        ({"f_max": 3000.0}, "do not fit a sample rate of 4,000 Hz"),
        ({"n_fft": 129}, "is odd"),
    ],
)
def test_settings_that_do_not_fit_the_rate(recordings: Recordings, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Spectrogram(**settings).fit(recordings)


@pytest.mark.parametrize("image", [True, False])
def test_spec_augment_masks_bands_and_frames(image: bool) -> None:
    torch.manual_seed(0)
    x = torch.ones(50, 1, 12, 30) if image else torch.ones(50, 30, 12)
    batch = {"x": x, "lengths": torch.full((50,), 30)}
    masked = (
        SpecAugment(1, 4, 1, 5, p=1.0)(batch)["x"].reshape(50, 12, 30)
        if image
        else (SpecAugment(1, 4, 1, 5, p=1.0)(batch)["x"].transpose(1, 2))
    )
    bands, frames = (masked == 0).all(dim=2).sum(dim=1), (masked == 0).all(dim=1).sum(dim=1)
    assert set(bands.tolist()) == {0, 1, 2, 3, 4}
    assert set(frames.tolist()) == {0, 1, 2, 3, 4, 5}
    assert x.min() == 1
    assert torch.equal(SpecAugment(0, 4, 1, 5, p=0.0)(batch)["x"], x)
