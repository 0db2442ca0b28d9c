"""Complete runs of speech recognition: strings of tones, new recordings, folds by speaker, resuming, comparison."""

from __future__ import annotations

import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import dlcli
from dlcli.errors import ConfigError
from dlcli.inference.saved_model import load_model
from dlcli.result import Result
from dlcli.runner.export import bundle
from dlcli.training import checkpoints
from tests.exporting.test_bundle import run_script
from tests.same_figures import check_same_figures
from tests.tones import tone, write_tones, write_wav


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", 96)


def of(tones: Path, *more: str) -> list[str]:
    return [
        "dataset=spoken_strings",
        f"dataset.path='{tones}'",
        'dataset.pattern="{text}_{speaker}_{n}"',
        "dataset.same=speaker",
        "dataset.words=[1,3]",
        "dataset.separator=' '",
        "dataset.repeats=2",
        "dataset.batch_size=8",
        "task.units=words",
        "preprocessing.n_mels=8",
        "preprocessing.hop_length=80",
        "optimizer.lr=0.02",
        "trainer.accelerator=cpu",
        f"runs_dir='{tones.parent / 'runs'}'",
        *more,
    ]


PARTS = ("dataset.test={n: [10, 11]}", "dataset.val={n: [8, 9]}")
SMALL = (
    "model.channels=[4]",
    "model.hidden=12",
    "augmentation=spec_augment",
    "augmentation.freq_mask_param=1",
)

LEARNING = (*SMALL, "trainer.max_epochs=12", "monitor=val/wer", "trainer.gradient_clip_val=5")


@pytest.fixture(scope="module")
def trained(tones: Path) -> Result:
    return dlcli.train(of(tones, *PARTS, *LEARNING, "run_name=one"))


def test_its_figures_do_not_depend_on_batches_and_place(trained: Result, tmp_path: Path) -> None:
    check_same_figures(trained, tmp_path)


def test_it_learns_and_is_evaluated_from_its_files(trained: Result) -> None:
    assert trained.values["test/wer"] < 0.5 < trained.baselines["test/wer"]
    assert trained.values["test/loss"] < trained.baselines["test/loss"]
    again = dlcli.evaluate(trained.run_dir)
    assert again.values["test/loss"] == trained.values["test/loss"]
    assert again.values["test/cer"] == trained.values["test/cer"]
    table = pd.read_parquet(trained.run_dir / "predictions.parquet")
    assert set(table["split"]) == {"val", "final test"}
    assert table["confidence"].between(0, 1).all()
    spoken = table["file"].str.replace(r"_\w+_\d+\.wav", "", regex=True)
    assert (spoken == table["target"]).all()
    assert (trained.run_dir / "plots" / "length.png").exists()
    breakdown = pd.read_csv(trained.run_dir / "breakdown.csv")
    assert breakdown.groupby("split")["rows"].sum().to_dict() == table["split"].value_counts().to_dict()


def test_new_recordings_of_any_rate(trained: Result, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    silence = np.zeros(4000, np.int16)
    write_wav(folder / "both.wav", np.concatenate([tone(410), tone(1220)]))
    write_wav(folder / "fast.wav", tone(1240, rate=12_000), 12_000)
    write_wav(folder / "silent.wav", silence)
    with pytest.warns(UserWarning):
        table = dlcli.predict(trained.run_dir, folder)
    assert table is not None
    assert list(table.columns) == ["file", "prediction", "confidence", "log_probability"]
    assert len(table) == 3
    run = dlcli.load_run(trained.run_dir)
    alone = run.predict([np.concatenate([tone(410), tone(1220)])])
    assert alone["prediction"].tolist() == table["prediction"].tolist()[:1]
    assert alone["confidence"].tolist() == pytest.approx(table["confidence"].tolist()[:1], rel=1e-3)


def test_other_recordings_with_transcripts_are_evaluated(trained: Result, tones: Path) -> None:
    found = dlcli.evaluate(trained.run_dir, file=tones)
    assert 0 <= found.values["test/wer"] <= 1.5


def test_symbols_that_training_lacks_are_reported(trained: Result, tmp_path: Path) -> None:
    for name in ("low_ann_0", "shrill_ann_1", "high_ann_2"):
        write_wav(tmp_path / "more" / f"{name}.wav", tone(800))
    found = dlcli.evaluate(trained.run_dir, file=tmp_path / "more")
    (notice,) = [one for one in found.notices if one["key"] == "unseen_symbols"]
    assert notice["count"] == 1
    assert "'shrill'" in notice["text"]


def test_folds_by_speaker_are_trained_and_explained(tones: Path) -> None:
    words = of(tones, *SMALL, "trainer.max_epochs=1", "cv=group_kfold", "cv.folds=2", "dataset.group=speaker")
    found = dlcli.train([*words, "executor.jobs=2"])
    assert len(found.folds) == 2
    assert found.values["cv/wer_mean"] > 0
    assert (found.run_dir / "plots" / "length.png").exists()
    explained = dlcli.explain(found.run_dir, runs_dir=tones.parent / "runs")
    assert explained.error == "character error rate"
    speakers = [one for one in explained.slices if one.column == "group"]
    assert speakers
    table = pd.read_parquet(found.run_dir / "predictions.parquet")
    assert sum(one.rows for one in speakers) <= len(table)


def test_other_models_of_sequences_and_a_comparison(trained: Result, tones: Path) -> None:
    for model in (
        ("model=gru", "model.hidden=8", "model.bidirectional=true"),
        ("model=lstm", "model.hidden=8"),
        ("model=transformer", "model.hidden=8", "model.layers=1"),
    ):
        found = dlcli.train(of(tones, *PARTS, *model, "trainer.max_epochs=1", "task.units=characters"))
        assert load_model(found.run_dir / "model").task.num_outputs == 1 + len(set("low high"))
        assert found.values["test/loss"] > 0
    compared = dlcli.compare([trained.run_dir, found.run_dir], metric="wer")
    (pair,) = compared.pairs
    assert pair.difference.mean > 0


def test_models_without_outputs_of_steps_are_refused(tones: Path) -> None:
    with pytest.raises(
        ConfigError, match="CNN has one vector of outputs per row, but the targets of tones are ctc"
    ):
        dlcli.check(of(tones, "model=cnn"))


class Killed(BaseException):
    """Stands in for kill -9: nothing that catches errors sees it."""


def test_a_run_that_was_killed_within_an_epoch_ends_with_the_same_bits(trained: Result, tones: Path) -> None:
    original = checkpoints.Checkpoints.on_train_batch_end

    def kill(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        original(self, trainer, module, outputs, batch, batch_idx)
        if (trainer.current_epoch, batch_idx) == (9, 3):
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints.Checkpoints, "on_train_batch_end", kill)
        with pytest.raises(Killed):
            dlcli.train(of(tones, *PARTS, *LEARNING, "run_name=killed", "tracking.checkpoint_minutes=1e-9"))
    resumed = dlcli.resume("killed", runs_dir=tones.parent / "runs")
    weights = [(run.run_dir / "model" / "weights.safetensors").read_bytes() for run in (trained, resumed)]
    assert weights[0] == weights[1]
    assert resumed.values == trained.values


def test_an_exported_program_hears_the_same(trained: Result, tmp_path: Path) -> None:
    found = dlcli.export(trained.run_dir, tmp_path / "model.pt2")
    assert found.largest_difference < 1e-4
    told = json.loads(found.description.read_text())
    assert [(one["name"], one["shape"]) for one in told["inputs"]] == [
        ("x", ["rows", "samples"]),
        ("lengths", ["rows"]),
    ]
    task, hop = told["task"], told["preprocessing"]["hop_length"]
    waves = [tone(pitch) for pitch in (400, 1200)]
    waves = [np.concatenate(waves), waves[1]]
    x = np.zeros((2, len(waves[0])), np.int16)
    for row, wave in enumerate(waves):
        x[row, : len(wave)] = wave
    lengths = np.array([1 + len(wave) // hop for wave in waves])
    program = torch.export.load(found.file).module()
    outputs = program(x=torch.from_numpy(x), lengths=torch.from_numpy(lengths)).detach().numpy()
    assert list(outputs.shape[1:]) == [-(-lengths[0] // task["frames_per_step"]), 1 + len(task["words"])]
    texts = []
    for logits, frames in zip(outputs, lengths, strict=True):
        codes = logits[: -(-frames // task["frames_per_step"])].argmax(axis=1)
        kept = [code for code, before in zip(codes, [0, *codes], strict=False) if code not in (0, before)]
        texts.append(" ".join(task["words"][code - 1] for code in kept))
    opened: Any = load_model(trained.run_dir / "model")
    opened.task.beam = 1
    assert texts == opened.predict(waves)["prediction"].tolist()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxscript") is None, reason="needs the extra onnx")
def test_a_bundle_hears_the_same(trained: Result, tmp_path: Path) -> None:
    made = bundle(str(trained.run_dir), tmp_path / "made")
    assert made.rows > 5 and made.largest_difference < 1e-3
    assert run_script(made.folder, "--check").returncode == 0
    stereo = np.stack([tone(400), tone(400, seed=1)], axis=1)
    for name, wave, rate in (
        ("a.wav", tone(1200), 4000),
        ("b.wav", stereo, 4000),
        ("c.wav", tone(400), 8000),
    ):
        write_wav(tmp_path / "new" / name, wave, rate)
    failed = run_script(made.folder, str(tmp_path / "new"))
    assert failed.stderr.strip().endswith("c.wav: has 8000 Hz, the model needs 4000: resample it")
    (tmp_path / "new" / "c.wav").unlink()
    found = pd.read_csv(io.StringIO(run_script(made.folder, str(tmp_path / "new")).stdout))
    expected = dlcli.predict(trained.run_dir, tmp_path / "new")
    assert expected is not None
    pd.testing.assert_frame_equal(found.iloc[:, 1:], expected.iloc[:, 1:], check_dtype=False, rtol=1e-3)
