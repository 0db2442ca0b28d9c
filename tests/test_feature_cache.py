"""Features that are computed once: the same figures, shared by whatever agrees, by processes and after kills too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dlcli import runner
from dlcli.inference.saved_model import load_model
from dlcli.models.pretrained_image import PretrainedImage
from dlcli.result import Result
from dlcli.training.feature_store import FeatureStore
from dlcli.training.features import MappedRows

MODEL = [
    "model=pretrained_image", "model.architecture=test_resnet", "model.input_size=16",
    "model.hidden=8", "model.dropout=0.2", "dataset.batch_size=128", "trainer.max_epochs=2", "trainer.accelerator=cpu",
    "callbacks=none", "optimizer.lr=0.01",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for runs, with weights of two backbones beside it."""
    folder = tmp_path_factory.mktemp("cache")
    for seed in range(2):
        torch.manual_seed(seed)
        save_file(timm.create_model("test_resnet").state_dict(), folder / f"{seed}.safetensors")
    return folder / "runs"


def train(runs: Path, *overrides: str, weights: int = 0) -> Result:
    file = runs.parent / f"{weights}.safetensors"
    return runner.train([*MODEL, f"model.weights='{file}'", f"runs_dir='{runs}'", *overrides])


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that went through a backbone, batch by batch."""
    rows: list[int] = []
    original = PretrainedImage.features

    def counted(self: PretrainedImage, x: torch.Tensor) -> torch.Tensor:
        rows.append(len(x))
        return original(self, x)

    monkeypatch.setattr(PretrainedImage, "features", counted)
    return rows


def test_the_figures_are_those_without_a_cache(runs: Path, computed: list[int]) -> None:
    plain, cached = train(runs, "finetune.cache=false"), train(runs)
    assert cached.metrics == pytest.approx(plain.metrics, rel=1e-5, abs=1e-5)
    one, other = (load_model(result.run_dir / "model").network.state_dict() for result in (plain, cached))
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)
    computed.clear()
    train(runs, "model.dropout=0.1", "trainer.max_epochs=1")
    assert not [n for n in computed if n > 8]


def test_folds_share_them_and_each_row_is_computed_once(runs: Path, computed: list[int]) -> None:
    result = train(runs, "cv=kfold", "cv.folds=3", "model.input_size=20", "trainer.max_epochs=1")
    assert len(result.folds) == 3
    # Each once: the rest are the few rows of a rehearsal, and single ones that show shapes.
    assert sum(n for n in computed if n > 8) <= 1797


def test_augmented_rows_and_other_weights_are_computed(runs: Path, computed: list[int]) -> None:
    train(runs, "trainer.max_epochs=1")
    before = {folder.name for folder in (runs / ".features").iterdir()}
    computed.clear()
    train(runs, "augmentation=digits", "trainer.max_epochs=1")
    assert sum(computed) > 1797
    assert {folder.name for folder in (runs / ".features").iterdir()} == before
    train(runs, "trainer.max_epochs=1", weights=1)
    assert len(list((runs / ".features").iterdir())) == len(before) + 1


def vectors(rows: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(rows), 4):
        yield np.repeat(rows[first : first + 4, None], 3, axis=1).astype(np.float32)


def test_a_store_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "a", 20, 3)

    def stopped(rows: np.ndarray) -> Iterator[np.ndarray]:
        yield from list(vectors(rows))[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.fill(np.arange(20), stopped)
    asked: list[int] = []

    def rest(rows: np.ndarray) -> Iterator[np.ndarray]:
        asked.extend(rows.tolist())
        yield from vectors(rows)

    store.fill(np.arange(20), rest)
    assert asked == list(range(8, 20))
    assert store.mapped()[:, 0].tolist() == list(range(20))
    (tmp_path / "a" / "known.npy").write_bytes(b"")  # as a kill may leave it
    store.fill(np.arange(3), rest)
    assert asked[-3:] == [0, 1, 2]


def test_two_at_once_compute_nothing_twice(tmp_path: Path) -> None:
    asked: list[int] = []

    def counted(rows: np.ndarray) -> Iterator[np.ndarray]:
        for batch in vectors(rows):
            asked.extend(batch[:, 0].astype(int).tolist())
            yield batch

    threads = [
        threading.Thread(target=FeatureStore(tmp_path / "a", 40, 3).fill, args=(np.arange(40), counted))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(asked) == list(range(40))


def test_the_store_that_was_used_longest_ago_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr("dlcli.training.feature_store._MOST", 20_000.0)
    for age, name in ((3, "old"), (2, "newer")):
        FeatureStore(tmp_path / name, 1000, 3).fill(np.arange(1000), vectors)
        os.utime(tmp_path / name / "known.npy", (age * -1000 + 1e9, age * -1000 + 1e9))
    FeatureStore(tmp_path / "third", 1000, 3).fill(np.arange(1000), vectors)
    assert {folder.name for folder in tmp_path.iterdir()} == {"newer", "third"}


def test_rows_on_the_disk_are_read_as_rows_in_memory() -> None:
    values, rows = torch.arange(30.0).reshape(10, 3), torch.tensor([7, 2, 5, 9])
    field: Any = MappedRows(values, rows)
    assert field.shape == (4, 3)
    assert torch.equal(field[1:3], values[[2, 5]])
    assert torch.equal(field.index_select(0, torch.tensor([3, 0])), values[[9, 7]])
