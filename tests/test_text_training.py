"""Complete runs on texts: training, evaluation, the saved vocabulary, predictions for raw texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.errors import ConfigError
from dlcli.result import Result
from dlcli.sweeps.planning import plan_sweep
from dlcli.tracking.ledger import Ledger
from tests.processes import start

GOOD, BAD = ("fine", "lovely", "great", "works"), ("broke", "awful", "useless", "slow")
WORDS = ("it", "the", "is", "a", "was", "and", "so", "very", "thing", "today")


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return 240 reviews of 3 to 24 words, one of which determines the class."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(240):
        words = list(random.choice(WORDS, random.integers(2, 24)))
        telling = random.choice(GOOD if number % 2 else BAD)
        words.insert(int(random.integers(len(words) + 1)), str(telling))
        rows.append({"label": "good" if number % 2 else "bad", "review": " ".join(words)})
    file = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    pd.DataFrame(rows).to_csv(file, index=False)
    return file


def of(reviews: Path, *more: str) -> list[str]:
    data = ["dataset=text", f"dataset.path='{reviews}'", "dataset.target=label"]
    return [*data, "trainer.accelerator=cpu", *more]


@pytest.fixture(scope="module")
def trained(reviews: Path) -> Result:
    return dlcli.train([*of(reviews), f"runs_dir='{reviews.parent / 'runs'}'"])


def test_the_default_is_a_linear_model_of_n_grams_of_the_training_rows(trained: Result) -> None:
    assert trained.metrics["test/f1"] > 0.95
    vocabulary = json.loads((trained.run_dir / "model" / "vocabulary.json").read_text())
    assert vocabulary[:2] == ["<pad>", "<unk>"]
    first = next(place for place, ngram in enumerate(vocabulary) if "_" in ngram)  # of those of characters
    assert {ngram for ngram in vocabulary[2:first] if " " not in ngram} == {*WORDS, *GOOD, *BAD}
    assert {"_gre", "grea", "reat", "eat_"} <= set(vocabulary[first:])
    tag = Ledger.load(trained.run_dir).tags["dlcli.auto.preprocessing.characters"]
    assert tag.startswith("4 for texts of ")
    tags = Ledger.load(trained.run_dir).tags
    assert tags["dlcli.auto.optimizer.class_ratios"] == "0.5 for classes of texts"
    assert tags["dlcli.auto.optimizer.tolerance"] == "0.0005 as the tolerance for texts"


@pytest.mark.filterwarnings("ignore:.*known to the model", "ignore:.*tokens are unknown to the model")
def test_raw_texts_are_predicted_in_their_order_and_none_is_dropped(trained: Result) -> None:
    model = dlcli.load_run(trained.run_dir)
    texts = ["it is very slow and so on " * 5, "", "lovely", "never seen"]
    found = model.predict(texts)
    assert len(found) == 4
    assert found["prediction"].tolist()[0] == "bad"
    assert found["prediction"].tolist()[2] == "good"
    named = pd.DataFrame({"n": range(4), "review": texts})
    for form in (pd.Series(texts), named, named[["review"]], np.array(texts)):
        pd.testing.assert_frame_equal(model.predict(form), found)
    single = pd.concat([model.predict([text]) for text in texts], ignore_index=True)
    pd.testing.assert_frame_equal(single, found, rtol=1e-5)


def test_a_table_without_the_text_column_is_rejected(trained: Result) -> None:
    model = dlcli.load_run(trained.run_dir)
    with pytest.raises(dlcli.errors.DataError, match="there is no column review"):
        model.predict(pd.DataFrame({"reviews": ["a"], "n": [1]}))


def test_an_image_model_is_rejected(reviews: Path) -> None:
    with pytest.raises(ConfigError, match="CNN takes audio or image data, but reviews is tokens data"):
        dlcli.train(of(reviews, "model=cnn"))


def test_keys_of_the_chosen_preprocessing_are_known(reviews: Path) -> None:
    with pytest.raises(ConfigError, match=r"preprocessing\.token: .*\n.*preprocessing\.tokens"):
        dlcli.train(of(reviews, "model=mlp", "preprocessing.token=bpe"))
    plan = plan_sweep(of(reviews, "model=mlp", "preprocessing.tokens=words,characters"))
    assert [plan.trial_config(point)["preprocessing"]["tokens"] for _, point in plan.space.neighbours()] == [
        "words",
        "characters",
    ]


def weights(folder: str) -> list[bytes]:
    return sorted(file.read_bytes() for file in Path(folder).rglob("weights.safetensors"))


def test_training_in_chunks_gives_the_weights_of_single_steps(reviews: Path) -> None:
    """Batches of similar lengths have the same order in both cases."""
    small = ["model=transformer", "model.hidden=8", "model.feedforward=8", "model.layers=1", "model.heads=2"]
    words = of(reviews, *small, "trainer.max_epochs=2")
    dlcli.train([*words, "runs_dir=chunks"])
    dlcli.train([*words, "trainer.max_steps=100000", "runs_dir=steps"])
    assert weights("chunks") == weights("steps") != []


@pytest.mark.slow
def test_resumed_parallel_folds_are_bit_identical(reviews: Path) -> None:
    words = of(reviews, "model=gru", "model.hidden=8", "cv=kfold", "cv.folds=2")
    one = dlcli.train([*words, "trainer.max_epochs=2", "runs_dir=one"])
    process = start(["train", *words, "trainer.max_epochs=1", "executor.jobs=2", "runs_dir=two"], Path.cwd())
    _, err = process.communicate()
    assert process.returncode == 0, err
    two = dlcli.resume("last", ["trainer.max_epochs=2", "executor.jobs=1"], runs_dir="two")
    assert [fold.values for fold in one.folds] == [fold.values for fold in two.folds]
    assert weights("one") == weights("two") != []
