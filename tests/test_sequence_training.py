"""Whole runs on sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.datasets import sequences
from dlcli.errors import ConfigError, DataError
from dlcli.preprocessing.sequences import Sequences


def recordings(folder: Path, longest: int) -> Path:
    """120 recordings of a rising or a falling value, 12 to `longest` steps each."""
    rng = np.random.default_rng(0)
    tables = []
    for number in range(120):
        length, up = int(rng.integers(12, longest + 1)), number % 2
        walk = np.cumsum(rng.normal(size=length) + (0.8 if up else -0.8))
        tables.append(
            pd.DataFrame({"who": number, "at": np.arange(length), "height": walk, "way": ("down", "up")[up]})
        )
    path = folder / "walks.csv"
    pd.concat(tables).to_csv(path, index=False)
    return path


def of(path: Path) -> list[str]:
    columns = ["dataset.id=who", "dataset.time=at", "dataset.target=way"]
    return ["dataset=sequences", f"dataset.path='{path}'", *columns, "trainer.accelerator=cpu"]


def test_unequal_lengths_are_refused(tmp_path: Path) -> None:
    path = recordings(tmp_path, longest=30)
    with pytest.raises(ConfigError, match="sequences have 12 to 30 steps"):
        dlcli.train([*of(path), "model=gru"])


@pytest.mark.parametrize("model", ["gru", "mlp"])
def test_one_length(model: str, tmp_path: Path) -> None:
    path = recordings(tmp_path, longest=12)
    result = dlcli.train([*of(path), f"model={model}", "trainer.max_epochs=6"])
    assert result.metrics["test/accuracy"] > 0.8
    model_of_run = dlcli.load_run(str(result.run_dir))
    assert len(model_of_run.predict(np.zeros((3, 12, 1)))) == 3
    with pytest.raises(DataError, match="a sequence has 11 steps; those that the model has learnt have 12"):
        model_of_run.predict(np.zeros((3, 11, 1)))


def test_a_table_of_steps_is_predicted(tmp_path: Path) -> None:
    path = recordings(tmp_path, longest=12)
    data = sequences.load(str(path), "who", "way", "at")
    some = data.x[[3, 50, 7]]
    fitted = Sequences().fit(some)
    assert np.allclose(fitted.mean_, some.flat().mean())
    assert np.allclose(fitted.std_, some.flat().std())
    steps = pd.read_csv(path).sample(frac=1, random_state=0)[["height", "who", "at"]]
    order = steps.who.drop_duplicates().to_numpy()
    assert np.allclose(fitted.transform(steps)["x"], fitted.transform(data.x[order])["x"])
