"""Audio files: folders, patterns, tables and archives, sample rates, and reports of unusual files."""

from __future__ import annotations

import importlib.util
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlcli.datasets.audio_folder import load
from dlcli.datasets.data import Data
from dlcli.errors import DataError
from tests.tones import tone, write_tones, write_wav

PATTERN = "{class}_{speaker}_{n}"


def notices(data: Data) -> dict[str, str]:
    return {notice.key: notice.text for notice in data.notices}


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Return a folder of two classes with three recordings each."""
    for name, pitch in (("low", 400), ("high", 1200)):
        for row in range(3):
            write_wav(tmp_path / "tones" / name / f"{name}{row}.wav", tone(pitch, seed=row))
    return tmp_path / "tones"


def test_a_folder_is_a_class(classes: Path) -> None:
    data = load(str(classes))
    assert (data.kind, data.classes, len(data)) == ("audio", ("high", "low"), 6)
    assert data.x.rate == 4000
    np.testing.assert_array_equal(list(data.x)[data.y.tolist().index(1)], tone(400, seed=0))
    assert data.test_rows is None
    with pytest.raises(DataError, match=r"dataset\.pattern is not set"):
        load(str(classes), test={"n": [0]})
    by_number = load(str(classes), group=r"\d")
    assert sorted(set(by_number.groups)) == ["0", "1", "2"]


def test_a_pattern_gives_class_group_and_test_rows(tmp_path: Path) -> None:
    folder = write_tones(tmp_path / "tones")
    data = load(str(folder), pattern=PATTERN, group="speaker", test={"n": [0]}, val={"n": 3})
    assert data.classes == ("high", "low")
    assert sorted(set(data.groups)) == ["ann", "bob", "cem", "dia"]
    assert (len(data.test_rows), len(data.val_rows), len(data)) == (8, 8, 32)
    with tarfile.open(tmp_path / "tones.tar", "w") as tar:
        tar.add(folder, "some/tones")
    other = load(str(tmp_path / "tones.tar"), pattern=PATTERN, target="speaker")
    assert other.classes == ("ann", "bob", "cem", "dia")
    assert other.x.lengths.tolist() == data.x.lengths.tolist()
    write_wav(folder / "noise.wav", tone(500))
    assert notices(load(str(folder), pattern=f"{PATTERN}.wav"))["loose_files"].endswith("left out: noise.wav")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "name"}, "has no field in braces"),
        ({"pattern": "{class}-{n}"}, "none of the 32 recordings has a name like"),
        ({"pattern": "{digit}_{n}"}, "has no field class"),
        ({"pattern": PATTERN, "group": "speeker"}, "Did you mean speaker"),
        ({"pattern": PATTERN, "test": {"n": [9]}}, "no file has n=9"),
        ({"pattern": PATTERN, "test": {"n": [1]}, "val": {"n": [1]}}, "both test and validation"),
        ({"pattern": "{class}_{split}_{n}"}, "'ann' is not a part of a split"),
    ],
)
def test_patterns_that_do_not_fit(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(str(write_tones(tmp_path / "tones")), **settings)


def test_a_table_of_paths_to_recordings_is_read(classes: Path) -> None:
    table = pd.DataFrame(
        {
            "path": [f"{name}/{name}{row}" for name in ("low", "high") for row in range(3)],
            "pitch": ["l"] * 3 + ["h"] * 3,
            "who": list("abcabc"),
            "part": ["train", "train", "test"] * 2,
        }
    )
    table.to_csv(classes / "table.csv", index=False)
    data = load(str(classes / "table.csv"), target="pitch", group="who", split="part")
    assert data.classes == ("h", "l")
    assert data.groups.tolist() == list("abcabc")
    assert data.test_rows.tolist() == [2, 5]
    table.assign(pitch=[0.5, 1.5, 2.5] * 2).to_csv(classes / "table.csv", index=False)
    assert load(str(classes / "table.csv"), target="pitch").target_kind == "regression"
    table.assign(low=[0, 1] * 3, high=[1, 1, 0] * 2).to_csv(classes / "table.csv", index=False)
    data = load(str(classes / "table.csv"), target=["low", "high"])
    assert (data.target_kind, data.classes, data.y[1].tolist()) == ("multilabel", ("low", "high"), [1, 1])
    with pytest.raises(DataError, match="a pattern gives one class for each file, not low, high"):
        load(str(classes), pattern="{low}_{high}", target=["low", "high"])


def test_other_rates_channels_and_depths_are_converted_and_reported(classes: Path) -> None:
    wave = tone(1200, rate=16_000) / 32_768
    write_wav(classes / "high" / "fast.wav", wave.astype(np.float32), 16_000)
    write_wav(classes / "high" / "two.wav", np.stack([tone(1200), tone(1200, seed=1)], axis=1))
    write_wav(classes / "low" / "slow.wav", tone(400, rate=2000), 2000)
    write_wav(classes / "low" / "loud.wav", np.full(800, 1.5, np.float32) * np.sign(tone(400)))
    data = load(str(classes))
    assert data.x.rate == 4000
    told = notices(data)
    assert told["resampled_recordings"] == (
        "2 of 10 recordings resampled to 4,000 Hz: 1 of 16,000 Hz, 1 of 2,000 Hz"
    )
    assert told["upsampled_recordings"].startswith("1 of 10 recordings lack high frequencies")
    assert told["averaged_channels"] == "channels averaged in 1 of 10 recordings: 1 of 2 channels"
    assert told["clipped_samples"].endswith("in 1 recording")
    fast = next(iter(data.x))
    assert len(fast) == 800
    spectrum = np.abs(np.fft.rfft(fast))
    assert spectrum.argmax() * 4000 / 800 == pytest.approx(1200, abs=5)
    assert load(str(classes), sample_rate=2000).x.rate == 2000


def test_test_files_do_not_decide_the_rate(classes: Path) -> None:
    for row in range(9):
        write_wav(classes.parent / "parts" / "test" / "low" / f"{row}.wav", tone(400, 2000), 2000)
    for name in ("low", "high"):
        write_wav(classes.parent / "parts" / "train" / name / "a.wav", tone(400))
    assert load(str(classes.parent / "parts")).x.rate == 4000


def test_bad_files_are_named(classes: Path) -> None:
    (classes / "low" / "empty.wav").write_bytes(b"")
    (classes / "low" / "noise.wav").write_bytes(b"RIFF1234WAVEjunkjunkjunk")
    whole = (classes / "low" / "low0.wav").read_bytes()
    (classes / "low" / "cut.wav").write_bytes(whole[:-500])
    write_wav(classes / "low" / "nan.wav", np.full(800, np.nan, np.float32))
    write_wav(classes / "low" / "none.wav", np.empty(0, np.int16))
    (classes / "low" / "song.m4a").write_bytes(b"1234567890")
    with pytest.raises(DataError) as caught:
        load(str(classes))
    text = str(caught.value)
    for part in ("empty.wav: is empty", "cut.wav: is truncated: 500 bytes are missing", "noise.wav: "):
        assert part in text
    assert "dataset.on_bad=skip" in text
    data = load(str(classes), on_bad="skip")
    assert len(data) == 6
    assert notices(data)["damaged_files"].startswith("6 damaged recordings left out: low/cut.wav")


def test_silent_and_short_files_are_reported(classes: Path) -> None:
    write_wav(classes / "low" / "silent.wav", np.zeros(800, np.int16))
    write_wav(classes / "low" / "short.wav", tone(400, seconds=0.01))
    told = notices(load(str(classes)))
    assert told["silent_recordings"] == ("1 silent recording, with equal samples throughout: low/silent.wav")
    assert "low/short.wav" in told["short_recordings"]


@pytest.mark.skipif(importlib.util.find_spec("soundfile") is None, reason="needs soundfile")
@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff"])
def test_compressed_recordings_are_read(classes: Path, suffix: str) -> None:
    import soundfile

    rate = 16_000  # one of those of mp3
    for name, pitch in (("low", 400), ("high", 1200)):
        file = classes.parent / "other" / name / f"a.{suffix}"
        file.parent.mkdir(parents=True)
        soundfile.write(file, tone(pitch, rate, seconds=0.5), rate)
    data = load(str(classes.parent / "other"))
    assert data.x.rate == rate
    spectrum = np.abs(np.fft.rfft(next(iter(data.x))))
    assert spectrum.argmax() * rate / data.x.lengths[0] == pytest.approx(1200, abs=5)
    file.write_bytes(b"fLaC" + bytes(100))
    with pytest.raises(DataError, match="cannot be decoded"):
        load(str(classes.parent / "other"))


@pytest.mark.skipif(importlib.util.find_spec("soundfile") is not None, reason="soundfile is installed")
def test_compressed_files_need_soundfile(classes: Path) -> None:
    (classes / "low" / "a.flac").write_bytes(b"fLaC" + bytes(100))
    with pytest.raises(DataError, match="needs soundfile: pip install soundfile"):
        load(str(classes))
