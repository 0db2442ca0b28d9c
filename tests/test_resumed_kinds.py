"""Property: a run of any kind of data that is killed at random checkpoints and resumed equals an uninterrupted one.

`tests/training/test_resume_property.py` varies the trainer; here each task is trained from its command with the parts
that a configuration can have: augmentation, losses, calibration, callbacks, fine-tuning, a refit.
`DLCLI_RESUMED_KINDS=40` tries as many random combinations and kills; a failure names its seed.
"""

from __future__ import annotations

import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dlcli
from dlcli.result import Result
from dlcli.runs.find import find_run
from dlcli.training import fit as fitting_module
from dlcli.training.checkpoints import Checkpoints
from tests import toy_kinds
from tests.tones import write_tones

CASES = int(os.environ.get("DLCLI_RESUMED_KINDS", "3"))


class Killed(BaseException):
    """Stands in for a kill: no code catches it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, texts, a series, images with masks and recordings."""
    folder, draw = tmp_path_factory.mktemp("kinds"), np.random.default_rng(0)
    x = draw.normal(size=(72, 3))
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table["kind"] = np.where(x[:, 0] + draw.normal(size=72) > 0, "up", "down")
    table["size"] = x @ [1, -2, 0.5] + draw.normal(size=72)
    table["said"] = np.where(x[:, 1] > 0, "a good long day", "one bad night more")
    table.to_csv(folder / "t.csv", index=False)
    steps = np.arange(90)
    days = pd.date_range("2020-01-01", periods=90)
    pd.DataFrame({"when": days, "y": np.sin(steps / 4) + steps / 50}).to_csv(folder / "s.csv", index=False)
    for part in ("images", "masks"):
        (folder / "shapes" / part).mkdir(parents=True)
    for row in range(16):
        mask = np.zeros((12, 12), np.uint8)
        mask[3 : 6 + row % 4, 4:9] = 1 + row % 2
        noise = draw.integers(0, 60, (12, 12, 1))
        Image.fromarray((noise + 90 * np.eye(3)[mask]).astype(np.uint8)).save(
            folder / "shapes" / "images" / f"{row:02}.png"
        )
        Image.fromarray(mask).save(folder / "shapes" / "masks" / f"{row:02}.png")
    write_tones(folder / "tones")
    return folder


def table(draw: random.Random, data: Path) -> list[str]:
    target = draw.choice(["kind", "size"])
    words = [
        "dataset=table",
        f"dataset.path='{data / 't.csv'}'",
        f"dataset.target={target}",
        "dataset.batch_size=8",
    ]
    other = {"kind": "size", "size": "kind"}[target]
    words.append(f"dataset.drop=[{other},said]")
    words += draw.choice(
        [["model=mlp", "model.hidden=8", "model.dropout=0.2"], ["model=tabm", "model.hidden=8", "model.layers=1"],
         ["model=table_resnet", "model.hidden=8"],
         ["model=ft_transformer", "model.hidden=8", "model.layers=1", "model.feedforward=8"]]
    )  # fmt: skip
    words += draw.choice([[], ["callbacks=watch_gradients"], ["cv.refit=true"]])
    words += [f"optimizer={draw.choice(['adamw', 'adamw_table', 'muon', 'nadam', 'radam', 'adagrad'])}"]
    if target == "kind":
        words += draw.choice(
            [[], ["task.calibrate=auto"], ["task.tune_threshold=f1"], ["task.metrics=[mcc,brier]"]]
        )
        words += draw.choice([[], ["task/loss=focal"], ["task.loss.class_weights=balanced"]])
    else:
        words += draw.choice([[], ["task/loss=huber"], ["task/loss=quantile"]])
    return words


def image(draw: random.Random, data: Path) -> list[str]:
    words = ["dataset=digits", "model=cnn", "model.channels=[4]", "model.hidden=8", "trainer.limit_rows=60"]
    words += draw.choice([["augmentation=digits"], ["augmentation=image", "augmentation.mixup=0.4"]])
    words += draw.choice(
        [[], ["model.normalization=batch"], ["callbacks=watch_gradients"], ["task.calibrate=vector"]]
    )
    return words


def masks(draw: random.Random, data: Path) -> list[str]:
    words = ["dataset=image_masks", f"dataset.path='{data / 'shapes'}'", "model=unet", "model.channels=[4,8]"]
    words += ["dataset.batch_size=4", "dataset.classes=[none,one,two]"]
    return words + draw.choice([[], ["task/loss=dice"], ["task/loss=pixel_focal"], ["augmentation=image"]])


def audio(draw: random.Random, data: Path) -> list[str]:
    words = [
        "dataset=audio_folder",
        f"dataset.path='{data / 'tones'}'",
        'dataset.pattern="{class}_{speaker}_{n}"',
    ]
    words += ["dataset.batch_size=8", "preprocessing.n_mels=8", "preprocessing.duration=0.1"]
    words += draw.choice(
        [["model=cnn", "model.channels=[4]", "model.hidden=0"], ["model=gru", "model.hidden=6"]]
    )
    return [*words, "augmentation=spec_augment", "augmentation.freq_mask_param=2"]


def series(draw: random.Random, data: Path) -> list[str]:
    words = ["dataset=series", f"dataset.path='{data / 's.csv'}'", "dataset.target=y", "dataset.time=when"]
    words += ["dataset.horizon=3", "dataset.lookback=12", "dataset.batch_size=16"]
    words += draw.choice([["model=dlinear"], ["model=nlinear"], ["model=segrnn", "model.segment=3"]])
    return words + draw.choice([[], ["task/loss=quantile"], ["task/loss=huber"]])


def text(draw: random.Random, data: Path) -> list[str]:
    words = ["dataset=text", f"dataset.path='{data / 't.csv'}'", "dataset.text=said", "dataset.target=kind"]
    words += ["dataset.batch_size=8"]
    return words + draw.choice([["model=textcnn"], ["model=lstm", "model.hidden=4"], ["model=transformer"]])


def words_or_tokens(draw: random.Random, data: Path) -> list[str]:
    """Losses that are means over words, tokens or symbols, whose numbers differ between the batches of a step."""
    kind = draw.choice(["tag", "language_model", "ctc", "seq2seq", "masked_language_model"])
    (data / kind).mkdir(exist_ok=True)
    return [*toy_kinds.KINDS[kind](data / kind, 0), "dataset.batch_size=2", "callbacks=none"]


KINDS: tuple[Callable[[random.Random, Path], list[str]], ...] = (
    *(table, image, masks, audio, series, text),
    words_or_tokens,
)


def settings(draw: random.Random, kind: Callable[[random.Random, Path], list[str]], data: Path) -> list[str]:
    """Return a random command of a kind of data."""
    schedule = draw.choice(["none", "cosine", "coslog4", "onecycle", "plateau", "step"])
    words = kind(draw, data)
    solves = "optimizer" in " ".join(words)
    return [
        *words,
        *([] if solves else ["optimizer=adamw"]),
        f"scheduler={schedule}",
        *(
            []
            if schedule in ("none", "plateau")
            else [f"scheduler.interval={draw.choice(['epoch', 'step'])}"]
        ),
        f"weight_averaging={draw.choice(['none', 'none', 'ema', 'swa'])}",
        *draw.choice([[], ["trainer.accumulate_grad_batches=2"], ["trainer.gradient_clip_val=0.5"]]),
        "trainer.max_epochs=3",
        "trainer.accelerator=cpu",
        "tracking.checkpoint_minutes=1e-9",
        "run_name=one",
    ]


class Kills:
    """Kills a run when it has written some checkpoints; counts them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count, self.at = 0, -1
        save = Checkpoints._save

        def saving(checkpoints: Checkpoints, trainer: Any) -> None:
            save(checkpoints, trainer)
            self.count += 1
            if self.count == self.at:
                raise Killed

        patch.setattr(Checkpoints, "_save", saving)
        patch.setattr("dlcli.training.checkpoints._EPOCH_SECONDS", -1.0)
        patch.setattr(fitting_module, "CHUNK", 2)

    def next(self, at: int) -> None:
        self.count, self.at = 0, at


def bits(result: Result) -> dict[str, Any]:
    """Return what a run found: its metrics without times, its weights and its predictions."""
    figures = {name: "nan" if math.isnan(value) else value for name, value in result.values.items()}
    files = ("model/weights.safetensors", "predictions.parquet")
    return figures | {
        name: (result.run_dir / name).read_bytes() for name in files if (result.run_dir / name).exists()
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("seed", range(CASES))
def test_a_killed_run_equals_the_whole(
    seed: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, kind = random.Random(seed), KINDS[seed % len(KINDS)]
    words = settings(draw, kind, data)
    kills = Kills(monkeypatch)
    whole = dlcli.train([*words, f"runs_dir='{tmp_path / 'whole'}'"])
    assert kills.count > 1, words
    for place, at in enumerate(sorted(draw.sample(range(1, kills.count), k=min(2, kills.count - 1)))):
        kills.next(at if place == 0 else 1)
        with pytest.raises(Killed):
            if place == 0:
                dlcli.train([*words, f"runs_dir='{tmp_path / 'killed'}'"])
            else:
                dlcli.resume("one", runs_dir=tmp_path / "killed")
    kills.next(-1)
    resumed = dlcli.resume(find_run("one", tmp_path / "killed").run_dir)
    assert bits(resumed) == bits(whole), words
    shutil.rmtree(tmp_path)
