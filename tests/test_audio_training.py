"""Complete runs on recordings: models, folds by speaker, new files, resuming, export, serving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlcli
from dlcli.errors import ConfigError
from dlcli.result import Result
from tests.tones import tone, write_tones, write_wav


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones")


def of(tones: Path, *more: str) -> list[str]:
    words = [
        "dataset=audio_folder",
        f"dataset.path='{tones}'",
        'dataset.pattern="{class}_{speaker}_{n}"',
        "dataset.test={n: [3]}",
        "dataset.batch_size=8",
        "preprocessing.n_mels=8",
        "preprocessing.duration=0.2",
        "optimizer.lr=0.02",
        "trainer.accelerator=cpu",
        f"runs_dir='{tones.parent / 'runs'}'",
    ]
    return [*words, *more]


CNN = (
    "model=cnn",
    "model.channels=[4]",
    "model.hidden=0",
    "augmentation=spec_augment",
    "augmentation.freq_mask_param=2",
)


@pytest.fixture(scope="module")
def trained(tones: Path) -> Result:
    return dlcli.train(of(tones, *CNN, "trainer.max_epochs=15", "run_name=one"))


def test_it_learns_and_is_evaluated_from_its_files(trained: Result, tones: Path) -> None:
    assert trained.metrics["test/accuracy"] >= 0.9
    again = dlcli.evaluate(trained.run_dir)
    assert again.metrics["test/loss"] == trained.metrics["test/loss"]
    of_file = dlcli.evaluate(trained.run_dir, file=tones)
    assert of_file.metrics["test/accuracy"] >= 0.9


@pytest.mark.parametrize(
    "model",
    [
        ("model=gru", "model.hidden=8", "augmentation=spec_augment"),
        ("model=lstm", "model.hidden=8", "model.bidirectional=true"),
        ("model=transformer", "model.hidden=8", "model.layers=1"),
        ("model=tcn", "model.channels=[8]"),
        ("model=resnet", "model.channels=[4,8]"),
        ("model=linear", "optimizer=adam"),
    ],
    ids=lambda words: words[0],
)
def test_models_of_sequences_and_images(tones: Path, model: tuple[str, ...]) -> None:
    found = dlcli.train(of(tones, *model, "trainer.max_epochs=1"))
    assert 0 <= found.metrics["test/accuracy"] <= 1
    alone = dlcli.predict(found.run_dir, tones / "low_ann_0.wav")
    of_folder = dlcli.predict(found.run_dir, tones)
    assert alone is not None and of_folder is not None
    names = of_folder["file"].str.endswith("low_ann_0.wav")
    assert of_folder.loc[names, "p(low)"].to_numpy() == pytest.approx(alone["p(low)"].to_numpy(), abs=1e-4)


def test_other_models_are_refused(tones: Path) -> None:
    with pytest.raises(ConfigError, match="UNet takes image data, but tones is audio data"):
        dlcli.check(of(tones, "model=unet"))
    with pytest.raises(ConfigError, match="It follows from the model"):
        dlcli.check(of(tones, "model=cnn", "preprocessing.reads_audio=image"))


def test_new_recordings_are_resampled(trained: Result, tmp_path: Path) -> None:
    write_wav(tmp_path / "new" / "fast.wav", tone(1240, rate=12_000, seconds=0.14), 12_000)
    write_wav(tmp_path / "new" / "long.wav", tone(410, seconds=0.5))
    with pytest.warns(UserWarning, match="1 of 2 recordings cut to the first"):
        table = dlcli.predict(trained.run_dir, tmp_path / "new")
    assert table is not None
    assert table["prediction"].tolist() == ["high", "low"]
    keys = {notice["key"] for notice in table.attrs["notices"]}
    assert keys == {"resampled_recordings", "cut_recordings"}
    run = dlcli.load_run(trained.run_dir)
    waves = [tone(1240), tone(410, seconds=0.15)]
    whole, shares = run.predict(waves), run.predict([wave / 32_768 for wave in waves])
    assert whole["p(low)"].tolist() == shares["p(low)"].tolist()


def test_a_classifier_recognizes_speakers_that_it_did_not_hear(tones: Path) -> None:
    words = [word for word in of(tones, *CNN, "trainer.max_epochs=12") if not word.startswith("dataset.test")]
    found = dlcli.train([*words, "cv=leave_one_group_out", "dataset.group=speaker"])
    assert len(found.folds) == 4
    assert found.metrics["cv/accuracy_mean"] >= 0.7


def test_a_run_that_was_stopped_ends_with_the_same_bits(trained: Result, tones: Path) -> None:
    short = dlcli.train(of(tones, *CNN, "trainer.max_epochs=5", "run_name=short"))
    resumed = dlcli.resume(short.run_dir, ["trainer.max_epochs=15"])
    weights = [(run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (trained, resumed)]
    assert weights[0] == weights[1]


def test_chunks_and_single_steps_mask_alike(trained: Result, tones: Path) -> None:
    steps = dlcli.train(
        of(
            tones,
            *CNN,
            "trainer.max_epochs=15",
            "trainer.accumulate_grad_batches=1",
            "callbacks=none",
            "trainer.gradient_clip_val=1e9",
        )
    )
    assert steps.metrics["test/loss"] == pytest.approx(trained.metrics["test/loss"], rel=1e-3)


@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_export_takes_waveforms(trained: Result, tmp_path: Path, suffix: str) -> None:
    if suffix == "onnx":
        pytest.importorskip("onnxscript")
    found = dlcli.export(trained.run_dir, tmp_path / f"model.{suffix}")
    assert found is not None
    assert (tmp_path / f"model.{suffix}").stat().st_size > 1000


def test_rows_are_kept_compactly(tones: Path) -> None:
    from dlcli.datasets.audio_folder import load

    data = load(str(tones), pattern="{class}_{speaker}_{n}")
    assert data.x.values.dtype == np.int16
    assert data.x.values.size == data.x.lengths.sum()
