"""Complete runs on words with tags: models from scratch and pretrained models, folds, files, resuming, comparison."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.errors import ConfigError, DataError
from dlcli.result import Result
from dlcli.runs.ensembles import open_model
from dlcli.serving.bodies import CSV, JSON, TEXT, Body, UnsupportedType
from dlcli.serving.predictor import Answer, NotAnswered, Predictor
from tests.same_figures import check_same_figures
from tests.tiny_bert import save_tiny_bert

PEOPLE, PLACES = ["Ada", "Bob", "Cy", "Dee"], ["Rome", "Oslo", "Lima", "Bonn"]
FILLING = ["the", "sun", "is", "warm"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 60 sentences in columns and a tiny model. `May` is a name or a month, by its place."""
    folder = tmp_path_factory.mktemp("tags")
    chance = random.Random(0)
    lines = []
    for number in range(60):
        if number % 15 == 0:
            lines += ["-DOCSTART- O", ""]
        who, where = chance.choice([*PEOPLE, "May"]), chance.choice(PLACES)
        words = [(who, "B-PER"), ("lives", "O"), ("in", "O"), ("New", "B-LOC"), (where, "I-LOC")]
        words += [("in", "O"), ("May", "O")] if chance.random() < 0.5 else []
        words += [(word, "O") for word in chance.choices(FILLING, k=chance.randint(0, 5))]
        lines += [*(f"{word} {tag}" for word, tag in words), ""]
    (folder / "t.conll").write_text("\n".join(lines))
    save_tiny_bert(folder / "bert", [*PEOPLE, *PLACES, *FILLING, "lives", "in", "New", "May"])
    return folder


def of(place: Path, *more: str) -> list[str]:
    return [
        "dataset=tags",
        f"dataset.path='{place}/t.conll'",
        "model.hidden=16",
        "dataset.batch_size=8",
        "optimizer.lr=0.02",
        "trainer.accelerator=cpu",
        "callbacks=none",
        f"runs_dir='{place}/runs'",
        *more,
    ]


@pytest.fixture(scope="module")
def trained(place: Path) -> Result:
    return dlcli.train(of(place, "trainer.max_epochs=10", "run_name=one"))


@pytest.fixture(scope="module")
def short(place: Path) -> Result:
    """Return a run like `trained` that was stopped after 2 epochs; resuming it changes it."""
    return dlcli.train(of(place, "trainer.max_epochs=2", "run_name=short"))


def test_its_figures_do_not_depend_on_batches_and_place(trained: Result, tmp_path: Path) -> None:
    check_same_figures(trained, tmp_path)


def test_it_learns_from_the_places_of_words_and_is_evaluated_from_its_files(trained: Result) -> None:
    assert trained.metrics["test/tag_accuracy"] > 0.8
    assert 0.5 < trained.baselines["test/entity_f1"] <= 1
    again = dlcli.evaluate(trained.run_dir)
    for name in ("loss", "entity_f1", "entity_precision", "entity_recall", "tag_accuracy"):
        assert again.metrics[f"test/{name}"] == trained.metrics[f"test/{name}"]
    table = pd.read_parquet(trained.run_dir / "predictions.parquet")
    test = table[table["split"] == "final test"]
    sums = {
        what: test[[f"{what}(PER)", f"{what}(LOC)"]].to_numpy().sum()
        for what in ("given", "predicted", "right")
    }
    f1 = 2 * sums["right"] / (sums["given"] + sums["predicted"])
    assert trained.metrics["test/entity_f1"] == pytest.approx(f1)
    breakdown = pd.read_csv(trained.run_dir / "breakdown.csv")
    assert set(breakdown["class"]) == {"PER", "LOC"}
    assert {"entities.png", "confusion_matrix.png"} <= {
        file.name for file in (trained.run_dir / "plots").iterdir()
    }


def test_a_pretrained_model_reads_the_first_token_of_each_word(place: Path) -> None:
    words = [word for word in of(place) if word != "model.hidden=16"]
    found = dlcli.train(
        [
            *words,
            "model=pretrained_text",
            f"model.name='{place}/bert'",
            "finetune.backbone_lr=0.5",
            "trainer.max_epochs=4",
        ]
    )
    assert found.metrics["test/tag_accuracy"] > 0.7
    assert dlcli.evaluate(found.run_dir).metrics["test/loss"] == found.metrics["test/loss"]


def test_new_sentences_are_predicted_from_files_and_from_memory(
    trained: Result, place: Path, tmp_path: Path
) -> None:
    text = "Bob lives in New Oslo"
    (tmp_path / "new.txt").write_text(f"{text}\n\nthe sun is warm in May\n")
    (tmp_path / "new.jsonl").write_text(json.dumps({"text": text}) + "\n")
    (tmp_path / "new.conll").write_text("\n".join(text.split()) + "\n")
    found = [dlcli.predict(trained.run_dir, tmp_path / f"new.{kind}") for kind in ("txt", "jsonl", "conll")]
    tables = [table for table in found if table is not None]
    assert len(tables) == 3
    for table in tables:
        assert table["tags"][0] == "B-PER O O B-LOC I-LOC"
        entities = [
            (text[one["start"] : one["end"]], one["label"]) for one in json.loads(table["entities"][0])
        ]
        assert entities == [("Bob", "PER"), ("New Oslo", "LOC")]
    assert len(tables[0]) == 3
    assert tables[0]["tags"][1] == ""
    for rows in (
        [text],
        [text.split()],
        pd.DataFrame({"n": [1], "text": [text]}),
        pd.DataFrame({"x": [text]}),
    ):
        own = dlcli.load_run(trained.run_dir).predict(rows)
        assert own["tags"].tolist() == [tables[0]["tags"][0]]
    with pytest.raises(DataError, match="there is no column text among a, b"):
        dlcli.load_run(trained.run_dir).predict(pd.DataFrame({"a": [text], "b": [text]}))
    with pytest.raises(DataError, match="row 0: nan is no text"):
        dlcli.load_run(trained.run_dir).predict(pd.DataFrame({"text": [np.nan]}))
    (tmp_path / "bad.jsonl").write_text('{"words": []}\n')
    with pytest.raises(DataError, match="1, column text: is missing"):
        dlcli.predict(trained.run_dir, tmp_path / "bad.jsonl")


def test_requests_are_texts_and_never_tables(trained: Result) -> None:
    opened = open_model(str(trained.run_dir), trained.run_dir)
    predictor = Predictor(opened.run, opened.model, device="cpu")
    text = "Bob lives in New Oslo"
    bodies = [
        Body(json.dumps([text]).encode(), JSON),
        Body(f"{text}\n".encode(), TEXT),
        Body(json.dumps([{"text": text}, {"text": 5}]).encode(), JSON),
        Body(f"text\n{text}\n".encode(), CSV),
    ]
    strings, lines, wrong, table = predictor.answer(bodies)
    for answer in (strings, lines):
        assert isinstance(answer, Answer)
        assert [one["tags"] for one in answer.predictions] == ["B-PER O O B-LOC I-LOC"]
    assert isinstance(wrong, NotAnswered) and isinstance(wrong.cause, DataError)
    (problem,) = wrong.cause.problems
    assert (problem.where, problem.message) == ("request:2, column text", "5 is no text")
    assert isinstance(table, NotAnswered) and isinstance(table.cause, UnsupportedType)


def test_a_transformer_tags_and_its_report_lists_sentences_with_wrong_tags(
    place: Path, tmp_path: Path
) -> None:
    words = [word for word in of(place) if not word.startswith("optimizer.lr")]
    found = dlcli.train([*words, "model=transformer", "trainer.max_epochs=1", "optimizer.lr=1e-6"])
    dlcli.report(found.run_dir, output=tmp_path / "r.html")
    assert "Sentences with the most wrong tags" in (tmp_path / "r.html").read_text()


def test_another_file_is_evaluated_and_unknown_tags_are_refused(trained: Result, tmp_path: Path) -> None:
    longer = "Ada B-PER\n" + "is O\n" * 40
    (tmp_path / "other.conll").write_text(longer)
    found = dlcli.evaluate(trained.run_dir, file=tmp_path / "other.conll")
    assert 0 <= found.metrics["test/entity_f1"] <= 1
    (tmp_path / "other.conll").write_text("Ada B-CAT\nis O\n")
    with pytest.raises(DataError, match="the class B-CAT is unknown to the model"):
        dlcli.evaluate(trained.run_dir, file=tmp_path / "other.conll")


def test_folds_by_document_are_pooled_and_runs_compared(trained: Result, short: Result, place: Path) -> None:
    found = dlcli.train(of(place, "cv=group_kfold", "cv.folds=2", "trainer.max_epochs=1"))
    assert 0 <= found.metrics["cv/entity_f1_mean"] <= 1
    table = pd.read_parquet(found.run_dir / "predictions.parquet")
    assert sorted(table["row"]) == list(range(60))
    assert (found.run_dir / "plots" / "entities.png").exists()
    explained = dlcli.explain(found.run_dir, runs_dir=place / "runs")
    person = next(one for one in explained.slices if (one.column, one.value) == ("class", "PER"))
    numbers = {what: table[f"{what}(PER)"] for what in ("given", "predicted", "right")}
    f1 = (2 * numbers["right"] / (numbers["given"] + numbers["predicted"])).dropna()
    assert (person.rows, person.error) == (len(f1), pytest.approx(1 - f1.mean()))
    compared = dlcli.compare([trained.run_dir, short.run_dir], runs_dir=place / "runs")
    assert compared.metric == "entity_f1"
    assert "bootstrap" in compared.pairs[0].difference.test


def test_a_run_that_was_stopped_ends_with_the_same_bits(trained: Result, short: Result) -> None:
    resumed = dlcli.resume(short.run_dir, ["trainer.max_epochs=10"])
    weights = [(one.run_dir / "model" / "weights.safetensors").read_bytes() for one in (trained, resumed)]
    assert weights[0] == weights[1]
    assert resumed.metrics["test/loss"] == trained.metrics["test/loss"]


def test_incompatible_settings_are_refused(place: Path) -> None:
    for change, message in (
        ("model=textcnn", "TextCNN takes"),
        ("task/loss=cross_entropy", "CrossEntropy is for"),
        ("task=answer_span", "AnswerSpan is for answer_span targets"),
    ):
        with pytest.raises(ConfigError, match=message):
            dlcli.check([word for word in of(place) if not word.startswith("model.")] + [change])
