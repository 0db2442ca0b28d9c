"""Complete runs on sequences of unequal and of equal length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.errors import ConfigError, DataError
from dlcli.preprocessing.sequences import Sequences


def recordings(folder: Path, longest: int) -> Path:
    """Return 120 recordings of a rising or a falling value with 12 to `longest` steps each."""
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


def test_sequences_of_unequal_lengths_are_learned(tmp_path: Path) -> None:
    path = recordings(tmp_path, longest=30)
    plain = ["model=gru", "model.hidden=8", "optimizer.lr=0.02", "trainer.max_epochs=8"]
    result = dlcli.train([*of(path), *plain])
    assert result.metrics["test/accuracy"] > 0.9
    again = dlcli.evaluate(str(result.run_dir))
    assert {name: result.metrics[name] for name in again.values} == again.values
    predictions = dlcli.load_run(str(result.run_dir)).predict(pd.read_csv(path)[["height", "who", "at"]])
    assert len(predictions) == 120
    assert (predictions["prediction"] == np.tile(["down", "up"], 60)).mean() > 0.9


@pytest.mark.parametrize("model", ["mlp", "linear"])
def test_a_model_that_needs_one_length_is_rejected(model: str, tmp_path: Path) -> None:
    path = recordings(tmp_path, longest=30)
    with pytest.raises(
        ConfigError, match="supports only sequences of equal length, but those of walks differ"
    ):
        dlcli.train([*of(path), f"model={model}"])


@pytest.mark.parametrize("model", ["mlp", "tcn", "transformer"])
def test_sequences_of_one_length_are_learned(model: str, tmp_path: Path) -> None:
    path = recordings(tmp_path, longest=12)
    result = dlcli.train([*of(path), f"model={model}", "trainer.max_epochs=6"])
    assert result.metrics["test/accuracy"] > 0.8
    model_of_run = dlcli.load_run(str(result.run_dir))
    assert len(model_of_run.predict(np.zeros((3, 12, 1)))) == 3
    with pytest.raises(DataError, match="a sequence has 11 steps, but all training sequences have 12"):
        model_of_run.predict(np.zeros((3, 11, 1)))


def test_scaling_counts_each_step_of_the_training_rows(tmp_path: Path) -> None:
    from dlcli.datasets import sequences

    data = sequences.load(str(recordings(tmp_path, longest=30)), "who", "way", "at")
    some = data.x[[3, 50, 7]]
    fitted = Sequences().fit(some)
    assert np.allclose(fitted.mean_, some.flat().mean())
    assert np.allclose(fitted.std_, some.flat().std())
    fields = fitted.transform(some)
    assert fields["lengths"].tolist() == some.lengths.tolist()
    assert fields["x"][:].shape == (3, some.lengths.max(), 1)
    assert (fields["x"][:][0, some.lengths[0] :] == 0).all()
    assert (
        Sequences(scaling="none").fit(some).transform(some)["x"][:1][0, :, 0].numpy()
        == some[:1].flat()[:, 0].astype(np.float32)
    ).all()
