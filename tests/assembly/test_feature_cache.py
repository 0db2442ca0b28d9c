"""Cached features: same metrics as without the cache; shared between runs, processes and after kills."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from dlcli.datasets.data import Data
from dlcli.events import Event, FeaturesComputed, JobEvent, TrainingStarted
from dlcli.inference.saved_model import load_model
from dlcli.models.pretrained_image import PretrainedImage
from dlcli.preprocessing.image import Image
from dlcli.runner.check import check
from dlcli.runner.train import train
from dlcli.training.feature_store import FeatureStore
from dlcli.training.features import Features, MappedRows
from dlcli.training.finetuning import FeatureExtraction
from dlcli.training.network import Network

MODEL = [
    "model=pretrained_image", "model.architecture=test_resnet", "model.input_size=16", "trainer=debug",
    "model.hidden=8", "model.dropout=0.2", "trainer.accelerator=cpu", "callbacks=none", "optimizer.lr=0.01",
]  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a small backbone's weights."""
    file = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), file)
    return file


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of rows of each batch that a backbone computes."""
    rows: list[int] = []
    original = PretrainedImage.features

    def counted(self: PretrainedImage, x: torch.Tensor) -> torch.Tensor:
        rows.append(len(x))
        return original(self, x)

    monkeypatch.setattr(PretrainedImage, "features", counted)
    return rows


class Told:
    """Listener that stores its events."""

    def __init__(self) -> None:
        self.computed_so_far: list[tuple[int, int]] = []
        self.panel: dict[str, str] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case JobEvent(_, FeaturesComputed(done, total)):
                self.computed_so_far.append((done, total))
            case JobEvent(_, TrainingStarted(description)):
                self.panel = dict(description)


def test_the_figures_are_those_without_a_cache(weights: Path, computed: list[int]) -> None:
    overrides, told = [*MODEL, f"model.weights='{weights}'"], Told()
    plain = train([*overrides, "finetune.cache=false"])
    cached = train(overrides, listen=told)
    assert cached.values == pytest.approx(plain.values, rel=1e-5, abs=1e-5)
    one, other = (load_model(result.run_dir / "model").network.state_dict() for result in (plain, cached))
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)
    assert (told.computed_so_far[0], told.computed_so_far[-1]) == ((0, 3 * 128), (3 * 128, 3 * 128))
    assert told.panel["features"].startswith("96 per row, computed once, cached in runs/.features/")
    computed.clear()
    again = Told()
    train([*overrides, "model.dropout=0.1", "trainer.max_epochs=1"], listen=again)
    assert not [n for n in computed if n > 8]
    assert not again.computed_so_far


def test_folds_share_them_and_each_row_is_computed_once(weights: Path, computed: list[int]) -> None:
    overrides = [
        *MODEL,
        f"model.weights='{weights}'",
        "cv=kfold",
        "trainer.max_epochs=1",
        "trainer.limit_rows=null",
    ]
    assert len(train(overrides).folds) == 2
    # Each row once; the others are the few rows of a rehearsal, and single rows that determine shapes.
    assert sum(n for n in computed if n > 8) <= 1797


def test_check_tells_of_the_epochs_that_go_by_features(weights: Path, computed: list[int]) -> None:
    found, _ = check([*MODEL, f"model.weights='{weights}'"])
    assert found.features_seconds > 0
    assert found.features_bytes == 3 * 128 * 96 * 4
    # One row determines the shape, 64 rows the time; no training step computes features.
    assert sum(computed) == 1 + 64
    assert found.parameters > found.trainable == (96 * 8 + 8) + (8 * 10 + 10)


def test_augmented_rows_have_them_computed_in_each_epoch(weights: Path, computed: list[int]) -> None:
    told = Told()
    overrides = [*MODEL, f"model.weights='{weights}'", "augmentation=digits", "trainer.max_epochs=1"]
    train(overrides, listen=told)
    assert told.panel["features"] == "computed in each epoch: augmentation changes the rows"
    assert sum(n for n in computed if n > 8) >= 3 * 128
    assert not Path("runs", ".features").exists()


def features(folder: Path, weights: Path, precision: Any = None, first: int = 0) -> tuple[Features, Data]:
    images = np.random.default_rng(0).integers(0, 256, (70, 8, 8), np.uint8)
    data = Data("noise", "image", images, np.arange(70) % 2, ("a", "b"))
    torch.manual_seed(0)
    model = PretrainedImage(
        (1, 8, 8), 2, "test_resnet", weights=str(weights), input_size=16, normalization="own"
    )
    preprocessing = Image().fit(images[first:])
    network = Network(model, preprocessing.on_device(), FeatureExtraction())
    return Features(network, preprocessing, data, folder, torch.device("cpu"), precision), data


def test_they_are_computed_as_the_trainer_would(weights: Path, tmp_path: Path) -> None:
    rows = np.array([3, 69, 5])
    found, data = features(tmp_path, weights, "bf16-mixed")
    x = torch.from_numpy(data.x[rows][:, None])
    model = features(tmp_path, weights)[0]._network.model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = model.features(x)  # type: ignore[operator]
    assert torch.equal(found.read(rows)[:], expected.float())
    full, _ = features(tmp_path, weights)
    assert full.in_full and not found.in_full
    assert not torch.equal(full.read(rows)[:], expected.float())


def test_what_they_depend_on_tells_them_apart(weights: Path, tmp_path: Path) -> None:
    kept, _ = features(tmp_path, weights, 32)
    assert features(tmp_path, weights, "32-true", first=20)[0].store.folder == kept.store.folder
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_file(timm.create_model("test_resnet").state_dict(), other)
    places = {features(tmp_path, *changed)[0].store.folder for changed in ((other,), (weights, "16-mixed"))}
    assert len({kept.store.folder, *places}) == 3


def test_other_targets_of_the_same_rows_share_them(weights: Path, tmp_path: Path) -> None:
    kept, data = features(tmp_path, weights)
    kept.compute(np.arange(4))

    def missing(changed: Data) -> int:
        args = changed, tmp_path, torch.device("cpu")
        return len(Features(kept._network, kept._preprocessing, *args).store.missing(np.arange(4)))

    assert missing(replace(data, y=np.arange(70) % 3, classes=("a", "b", "c"), test_rows=np.arange(5))) == 0
    assert missing(replace(data, x=data.x[::-1].copy())) == 4


class Own(Image):
    """A user's own preprocessing, whose fields depend on an attribute with the name of one that is only told."""

    only_told = frozenset()
    transform_is_fitted = True

    def fit(self, x: Any) -> Own:
        self.measured_ = {"mean": float(np.mean(x))}
        return super().fit(x)


def test_fitted_attributes_of_ones_own_preprocessing_tell_features_apart(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(features.__globals__, "Image", Own)
    one, other = (features(tmp_path, weights, first=first)[0].store.folder for first in (0, 20))
    assert one != other


def vectors(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return each row's number three times, with the rows in another order than requested."""
    for first in range(len(rows), 0, -4):
        some = rows[max(0, first - 4) : first]
        yield some, np.repeat(some[:, None], 3, axis=1).astype(np.float32)


def test_an_interrupted_store_is_filled_from_where_it_stopped(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "a", 20, 3)

    def stopped(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from list(vectors(rows))[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.fill(np.arange(20), stopped)
    asked: list[int] = []

    def rest(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        asked.extend(rows.tolist())
        yield from vectors(rows)

    advanced: list[int] = []
    store.fill(np.arange(20), rest, advanced.append)
    assert asked == list(range(12))
    assert sum(advanced) == 12
    assert store.mapped()[:, 0].tolist() == list(range(20))
    (tmp_path / "a" / "known").write_bytes(b"")  # as a power cut may leave it
    store.fill(np.arange(3), rest)
    assert asked[-3:] == [0, 1, 2]


def test_several_at_once_share_the_work_and_compute_nothing_twice(tmp_path: Path) -> None:
    asked: list[list[int]] = [[], []]
    both_work = threading.Barrier(2)

    def counted(which: int, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if not asked[which]:
            both_work.wait(60)
        for some, values in vectors(rows):
            asked[which].extend(some.tolist())
            yield some, values

    def fill(which: int) -> None:
        FeatureStore(tmp_path / "a", 600, 3).fill(np.arange(600), partial(counted, which))
        assert FeatureStore(tmp_path / "a", 600, 3).mapped()[:, 0].tolist() == list(range(600))

    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(2)))
    assert sorted(asked[0] + asked[1]) == list(range(600))
    assert asked[0] and asked[1]


def test_the_store_that_was_used_longest_ago_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr("dlcli.training.feature_store._MOST", 20_000.0)
    for age, name in ((3, "old"), (2, "newer")):
        FeatureStore(tmp_path / name, 1000, 3).fill(np.arange(1000), vectors)
        os.utime(tmp_path / name / "known", (age * -1000 + 1e9, age * -1000 + 1e9))
    FeatureStore(tmp_path / "third", 1000, 3).fill(np.arange(1000), vectors)
    assert {folder.name for folder in tmp_path.iterdir()} == {"newer", "third"}


def test_rows_on_the_disk_are_read_as_rows_in_memory() -> None:
    values, rows = torch.arange(30.0).reshape(10, 3), torch.tensor([7, 2, 5, 9])
    field: Any = MappedRows(values, rows)
    assert field.shape == (4, 3)
    assert torch.equal(field[1:3], values[[2, 5]])
    assert torch.equal(field.index_select(0, torch.tensor([3, 0])), values[[9, 7]])
