"""Runs of each kind of data that a server is tested with, trained for one epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dlcli
from dlcli.runs.folder import open_run
from dlcli.serving.api import Service
from dlcli.serving.contract import Contract
from dlcli.serving.limits import ServeLimits
from dlcli.serving.model_worker import ModelWorker
from dlcli.serving.predictor import Predictor
from tests.tones import write_tones

Serve = Callable[..., Service]


def _pets(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "size": [f"{value:.2f}".replace(".", ",") for value in random.normal(5, 1, 60)],
            "coat": random.choice(["long", "short", "<b>&amp;"], 60),
            "tame": random.choice(["true", "false"], 60),
            "born": pd.date_range("2020-01-01", periods=60, freq="53D").strftime("%d.%m.%Y"),
            "kind": random.choice(["<i>cat", "dog"], 60),
        }
    )
    table.loc[3, "size"] = None
    table.to_csv(folder / "pets.csv", index=False, sep=";")
    return ["dataset=table", f"dataset.path={folder}/pets.csv", "dataset.target=kind", "model.hidden=4"]


def _weights(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(60, 3)), columns=["a", "b", "weight"])
    table.to_csv(folder / "weights.csv", index=False)
    words = ["dataset=table", f"dataset.path={folder}/weights.csv", "dataset.target=weight"]
    return [*words, "task/loss=quantile", "task.loss.quantiles=[0.1,0.5,0.9]", "model.hidden=4"]


def _labels(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"a": random.normal(size=60), "red": [0, 1] * 30, "big": [0, 0, 1] * 20})
    table.to_csv(folder / "labels.csv", index=False)
    return [
        "dataset=table",
        f"dataset.path={folder}/labels.csv",
        "dataset.target=[red,big]",
        "model.hidden=4",
    ]


def _texts(folder: Path) -> list[str]:
    texts = ["a good film", "a bad film", "good good", "bad bad bad"] * 15
    table = pd.DataFrame({"review": texts, "mood": ["up", "down"] * 30})
    table.to_csv(folder / "texts.csv", index=False)
    return ["dataset=text", f"dataset.path={folder}/texts.csv", "dataset.target=mood", "model=linear"]


def _images(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    for number in range(24):
        file = folder / "images" / ("dark", "light")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 100, (8, 8, 3), dtype=np.uint8) + np.uint8(100 * (number % 2))
        Image.fromarray(pixels).save(file)
    return ["dataset=image_folder", f"dataset.path={folder}/images", "dataset.size=8", "model=linear"]


def _tones(folder: Path) -> list[str]:
    write_tones(folder / "tones", 24)
    words = ["dataset=audio_folder", f"dataset.path={folder}/tones", 'dataset.pattern="{class}_{who}_{n}"']
    return [*words, "preprocessing.n_mels=8", "model=linear"]


def _series(folder: Path) -> list[str]:
    times = pd.date_range("2024-01-01", periods=80, freq="h")
    table = pd.DataFrame({"when": times, "load": np.sin(np.arange(80) / 4), "wind": np.cos(np.arange(80))})
    table.to_csv(folder / "series.csv", index=False)
    words = ["dataset=series", f"dataset.path={folder}/series.csv", "dataset.target=load"]
    return [*words, "dataset.lookback=6", "dataset.horizon=2", "model=linear"]


_WORDS = {
    "pets": _pets,
    "weights": _weights,
    "labels": _labels,
    "texts": _texts,
    "images": _images,
    "tones": _tones,
    "series": _series,
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that returns the folder of a run, trained when it is first asked for."""
    folder, found = tmp_path_factory.mktemp("served"), {}

    def of(name: str) -> Path:
        if name not in found:
            words = [*_WORDS[name](folder), "trainer.max_epochs=1", f"run_name={name}"]
            found[name] = dlcli.train(words, runs_dir=folder / "runs").run_dir
        return found[name]

    return of


@pytest.fixture(scope="session")
def serve(trained: Callable[[str], Path]) -> Serve:
    """Return a function that returns the service of a run, with limits of its own."""

    def service(name: str, token: str = "", only_local: bool = True, **limits: float) -> Service:
        own = ServeLimits(**limits)  # type: ignore[arg-type]
        opened = open_run(str(trained(name)), trained(name).parents[2])
        predictor = Predictor(opened, opened.load_model(), limits=own, device="cpu")
        worker = ModelWorker(predictor.answer, own.queue)
        return Service(Contract(opened, predictor, own), worker, own, token, only_local)

    return service
