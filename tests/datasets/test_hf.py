"""Hugging Face datasets that the tests create, without downloads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import datasets as hugging
import numpy as np
import pandas as pd
import pytest

from dlcli.datasets.data import Data
from dlcli.datasets.hf import load
from dlcli.datasets.images.image_files import ImageFiles
from dlcli.datasets.shared_memory import SharedData, read_shared
from dlcli.datasets.text_rows import Texts
from dlcli.errors import ConfigError, DataError
from dlcli.runner.load_run import load_run
from dlcli.runner.model_by_rows import plan_for_rows
from dlcli.runner.train import train
from dlcli.splits.holdout import Holdout
from dlcli.splits.kfold import KFold

TEXT = hugging.Features({"text": hugging.Value("string"), "label": hugging.ClassLabel(names=["ham", "spam"])})


@pytest.fixture(autouse=True)
def _quiet() -> None:
    hugging.disable_progress_bars()


def texts(part: str, rows: int, labels: list[int] | None = None) -> hugging.Dataset:
    words = ["see you", "free prize"]
    codes = labels or [row % 2 for row in range(rows)]
    said = [f"{words[row % 2]} {part} {row}" for row in range(rows)]
    return hugging.Dataset.from_dict({"text": said, "label": codes}, features=TEXT)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a folder of texts in three splits, written by `save_to_disk`."""
    splits = {"train": texts("a", 20), "validation": texts("b", 6), "test": texts("c", 8)}
    hugging.DatasetDict(splits).save_to_disk(tmp_path / "messages")
    return tmp_path / "messages"


def read(path: Path, **arguments: Any) -> Data:
    return load(str(path), cache_dir=str(path.parent / "cache"), **arguments)


def problem(caught: Any) -> Any:
    return caught.value.problems[0]


def test_lists_of_classes_are_labels(tmp_path: Path) -> None:
    classes = hugging.ClassLabel(names=["joy", "fear", "anger"])
    features = hugging.Features({"text": hugging.Value("string"), "label": hugging.List(classes)})
    rows = {"text": ["so it is", "it was not", "who knows that"], "label": [[1], [], [1, 2]]}
    hugging.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "said")
    data = read(tmp_path / "said")
    assert (data.target_kind, data.classes) == ("multilabel", ("joy", "fear", "anger"))
    assert data.y.tolist() == [[0, 1, 0], [0, 0, 0], [0, 1, 1]]
    pd.DataFrame({**rows, "label": [["b"], [], ["b", "a"]]}).to_parquet(tmp_path / "words.parquet")
    assert read(tmp_path / "words.parquet").y.tolist() == [[0, 1], [0, 0], [1, 1]]


def test_texts_keep_their_own_splits(saved: Path) -> None:
    data = read(saved)
    assert (data.kind, data.classes, len(data)) == ("tokens", ("ham", "spam"), 34)
    assert list(data.x[[0, 20, 33]]) == ["see you a 0", "see you b 0", "free prize c 7"]
    (split,) = Holdout(test_size=0.5, val_size=0.5).splits(data)
    assert split.sizes == {"train": 20, "val": 6, "test": 8}
    assert split.val.tolist() == list(range(20, 26))
    folds = KFold(folds=2).splits(data)
    assert (
        sum(len(fold.test) for fold in folds) == 26
    )  # folds also use the validation rows, but never the test rows


def test_splits_and_columns_that_are_not_used_are_reported(tmp_path: Path) -> None:
    splits = {
        "train": texts("a", 20),
        "dev": texts("b", 6),
        "test": texts("c", 8, [-1] * 8),
        "extra": texts("d", 2),
    }
    splits = {name: split.add_column("id", list(range(len(split)))) for name, split in splits.items()}
    hugging.DatasetDict(splits).save_to_disk(tmp_path / "messages")
    data = read(tmp_path / "messages", text="text")
    assert (len(data), data.test_rows) == (26, None)
    assert data.val_rows is not None
    assert {notice.key: notice.text for notice in data.notices} == {
        "unused_splits": "splits that are neither training, validation nor test rows left out: extra",
        "unlabelled_splits": "splits without labels left out: test (8 rows)",
        "unused_columns": "1 column not used: id",
    }
    splits["validation"] = splits["dev"]
    hugging.DatasetDict(splits).save_to_disk(tmp_path / "two")
    with pytest.raises(DataError, match="has two splits of val rows: dev, validation"):
        read(tmp_path / "two")


def test_classes_without_training_rows_are_reported_for_splits(tmp_path: Path) -> None:
    splits = {"train": texts("a", 3, [1, 1, 1]), "test": texts("b", 2, [1, 0])}
    hugging.DatasetDict(splits).save_to_disk(tmp_path / "messages")
    (notice,) = [told for told in read(tmp_path / "messages").notices if told.key == "untrained_classes"]
    assert notice.text == "1 of 5 texts are of classes that no training row has: ham"


def test_a_shuffled_dataset_is_read_in_its_order(tmp_path: Path) -> None:
    shuffled = texts("a", 10).shuffle(seed=1)
    shuffled.save_to_disk(tmp_path / "one")
    assert list(read(tmp_path / "one").x) == shuffled["text"][:]


@pytest.mark.parametrize("what", ["a folder", "a file"])
def test_parquet_files_with_parts_are_read(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    texts("a", 12).to_parquet(folder / "train.parquet")
    texts("c", 4).to_parquet(folder / "test.parquet")
    data = read(folder if what == "a folder" else folder / "train.parquet")
    assert len(data) == (16 if what == "a folder" else 12)
    assert data.test_rows is None if what == "a file" else data.test_rows.tolist() == [12, 13, 14, 15]


def test_workers_map_texts_and_do_not_copy_them(saved: Path, tmp_path: Path) -> None:
    data = read(saved)
    shared = SharedData(data, tmp_path)
    copy = read_shared(shared.fd)
    assert isinstance(copy.x, Texts)
    assert copy.fingerprint == data.fingerprint
    shared.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 6, 5, 3), dtype=np.uint8)
    features = hugging.Features({"image": hugging.Image(), "label": hugging.ClassLabel(names=["cat", "dog"])})
    rows = {"image": list(pixels), "label": [row % 2 for row in range(16)]}
    hugging.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "pictures")
    np.save(tmp_path / "pixels.npy", pixels)
    return tmp_path / "pictures"


def test_images_are_equal_in_memory_and_in_files(pictures: Path) -> None:
    at_once, when_read = read(pictures, in_memory=True), read(pictures, in_memory=False)
    assert isinstance(when_read.x, ImageFiles)
    assert np.array_equal(at_once.x, np.load(pictures.parent / "pixels.npy"))
    assert np.array_equal(np.asarray(when_read.x[[3, 1]]), at_once.x[[3, 1]])
    assert at_once.fingerprint == when_read.fingerprint


def test_a_table_of_numbers(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = {"id": list(range(30)), "a": random.normal(size=30), "y": random.normal(size=30)}
    hugging.Dataset.from_dict(rows).save_to_disk(tmp_path / "numbers")
    data = read(tmp_path / "numbers", target="y", drop=["id"])
    assert (data.kind, data.target_kind, list(data.x.columns)) == ("table", "regression", ["a"])


def test_splits_without_labels_are_left_out(tmp_path: Path) -> None:
    splits = {"train": texts("a", 8), "test": texts("c", 4, labels=[-1] * 4)}
    hugging.DatasetDict(splits).save_to_disk(tmp_path / "contest")
    data = read(tmp_path / "contest")
    assert len(data) == 8
    assert data.test_rows is None


@pytest.mark.parametrize("name", ["saved", "pictures"])
def test_it_trains_with_the_matching_preprocessing(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(name)
    words = ["dataset=hf", f"dataset.path={folder}", "trainer.max_epochs=1", "tracking.system_metrics=false"]
    words += ["preprocessing.tokens=characters"] if name == "saved" else ["preprocessing.scaling=none"]
    result = train([*words, "trainer.accelerator=cpu"], runs_dir=tmp_path / "runs")
    assert 0 <= result.values["test/accuracy"] <= 1
    model = load_run(str(result.run_dir))
    assert repr(model.preprocessing) == (
        "Text(tokens='characters')" if name == "saved" else "Image(scaling='none')"
    )


def test_the_model_follows_from_the_kind_of_rows(saved: Path, pictures: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(40), "label": ["x", "y"] * 20})
    frame.to_parquet(tmp_path / "t.parquet")

    def model(path: Path, *words: str) -> tuple[str, str]:
        found = plan_for_rows(["dataset=hf", f"dataset.path={path}", *words], (), tmp_path / "runs")
        told = [choice.told for choice in found.choices if choice.key == "model"]
        return found.composed.choices["model"], "; ".join(told)

    assert model(saved) == ("linear", "Linear for texts")
    assert model(tmp_path / "t.parquet") == ("tabm", "TabM for rows of a table")
    assert model(saved, "scheduler=cosine") == (
        "mlp", "MLP as other settings do not fit linear, the default for texts"
    )  # fmt: skip
    for words in (["model=mlp"], ["model.hidden=8"], ["preprocessing.tokens=characters"]):
        assert model(saved, *words) == ("mlp", "")
    assert model(pictures, "dataset.size=16")[0] == "vgg"
    assert model(pictures, "dataset.size=8") == ("mlp", "")


def test_without_a_network_the_download_command_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def unreachable(*_: Any, **how: Any) -> None:
        asked.append(how)
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", unreachable)
    with pytest.raises(DataError, match="the hub cannot be reached") as caught:
        load("some/reviews")
    assert problem(caught).where == "dataset.path"
    assert "hf download some/reviews --repo-type dataset --local-dir reviews" in problem(caught).hint
    assert "dataset.path=reviews" in problem(caught).hint
    assert str(hugging.config.HF_DATASETS_CACHE) in problem(caught).hint
    assert "HF_HOME" in problem(caught).hint
    assert len(asked) == 1  # the hub is requested once, without retries
    assert not hugging.config.HF_HUB_OFFLINE  # the library's setting is restored


def test_a_missing_library_is_reported_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.delitem(sys.modules, "dlcli.datasets.huggingface", raising=False)
    with pytest.raises(DataError) as caught:
        load("some/reviews")
    assert "pip install datasets" in problem(caught).hint


def test_mistakes_are_reported(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder") as caught:
        read(tmp_path / "mesages")
    assert "messages" in problem(caught).hint
    with pytest.raises(DataError, match="there is no column lable") as caught:
        read(saved, target="lable")
    assert "label" in problem(caught).hint
    (tmp_path / "broken.parquet").write_bytes(b"no table at all")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "broken.parquet")


def test_an_empty_text_is_reported_with_its_row(tmp_path: Path) -> None:
    rows = {"text": ["a b", "  ", "c"], "label": [0, 1, 1]}
    hugging.Dataset.from_dict(rows, features=TEXT).save_to_disk(tmp_path / "some")
    with pytest.raises(DataError, match="the text is empty") as caught:
        read(tmp_path / "some")
    assert problem(caught).where.endswith("row 2, column text")
    assert len(read(tmp_path / "some", on_empty="keep")) == 3


def test_preprocessing_for_other_data_is_rejected(pictures: Path, tmp_path: Path) -> None:
    words = ["dataset=hf", f"dataset.path={pictures}", "preprocessing=text"]
    with pytest.raises(ConfigError, match="Text takes tokens data, but pictures is image data"):
        train([*words, "trainer.accelerator=cpu"], runs_dir=tmp_path / "runs")


def test_a_class_may_be_named_none_and_numbers_may_denote_a_missing_value(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, -999, 2.5, -999] * 3, "label": ["None", "some", "many"] * 4})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError) as caught:
        read(tmp_path / "t.parquet")
    assert problem(caught).hint.endswith(
        "If a word such as NA or None is a class: dataset.missing_values=[]."
    )
    data = read(tmp_path / "t.parquet", missing_values={"label": []})
    assert data.classes == ("None", "many", "some")
    assert data.notices[-1].hint == "If it does: 'dataset.missing_values={label: [], a: [-999]}'"
    again = read(tmp_path / "t.parquet", missing_values={"label": [], "a": [-999]})
    assert again.x["a"].isna().sum() == 6
    with pytest.raises(DataError, match="there is no column b"):
        read(tmp_path / "t.parquet", missing_values={"b": []})
