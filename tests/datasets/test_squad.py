"""Questions with answers: SQuAD's JSON and tables, and errors with their place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dlcli.checks.profile import find_warnings
from dlcli.datasets.questions.squad_json import read_squad
from dlcli.datasets.squad import load
from dlcli.errors import DataError
from dlcli.splits.split import Split

CONTEXT = "Ada lived in Rome. Bob lived in Oslo, not in Rome."


def squad(**question: Any) -> dict[str, Any]:
    asked = {
        "id": "1",
        "question": "Where did Ada live?",
        "answers": [{"text": "Rome", "answer_start": 13}],
    }
    paragraph = {"context": CONTEXT, "qas": [asked | question]}
    return {"version": "1.1", "data": [{"title": "People", "paragraphs": [paragraph]}]}


def written(folder: Path, document: Any, name: str = "q.json") -> Path:
    file = folder / name
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def test_answers_are_spans_of_their_context_and_articles_are_groups(tmp_path: Path) -> None:
    document = squad()
    other = squad(question="Where did Bob live?", answers=[{"text": "Oslo", "answer_start": 32}])["data"][0]
    document["data"].append(other | {"title": "Others"})
    data = load(str(written(tmp_path, document)))
    assert data.target_kind == "answer_span"
    assert list(data.x) == [("Where did Ada live?", CONTEXT), ("Where did Bob live?", CONTEXT)]
    assert data.y.texts() == [["Rome"], ["Oslo"]]
    assert len(data.x.contexts) == 1
    assert [notice.key for notice in data.notices] == ["repeated_ids"]
    assert data.groups is not None and data.groups[0] != data.groups[1]
    assert data.y[[1]].texts() == [["Oslo"]]
    assert data.note == "1 context of 2 articles"


def test_files_of_validation_and_test(tmp_path: Path) -> None:
    file = str(written(tmp_path, squad()))
    data = load(file, val_path=file, test_path=file)
    assert (len(data), data.val_rows, data.test_rows) == (3, [1], [2])


def test_unanswerable_questions_are_reported(tmp_path: Path) -> None:
    document = squad()
    document["data"][0]["paragraphs"][0]["qas"].append(
        {"question": "Why?", "id": "2", "is_impossible": True, "answers": []}
    )
    data = load(str(written(tmp_path, document)))
    assert data.y.lengths.tolist() == [1, 0]
    assert data.notices[0].key == "unanswerable_questions"
    assert "1 of 2 questions are unanswerable" in data.notices[0].text


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"answers": [{"text": "Rome", "answer_start": 14}]}, "qas[0].answers[0]", "'Rome' is not at 14"),
        ({"answers": [{"text": "Paris", "answer_start": 3}]}, "qas[0].answers[0]", "'Paris' is not at 3"),
        ({"answers": [{"text": " ", "answer_start": 3}]}, "qas[0].answers[0]", "the answer is empty"),
        ({"answers": [{"text": "Rome"}]}, "qas[0].answers[0]", "has no integer answer_start"),
        ({"answers": [{"text": "Rome", "answer_start": "13"}]}, "answers[0]", "has no integer"),
        ({"answers": []}, "qas[0]", "has an empty list of answers"),
        ({"answers": {}}, "qas[0]", "has no list answers"),
        ({"is_impossible": True}, "qas[0]", "is marked as unanswerable but has answers"),
        ({"is_impossible": "false"}, "qas[0]", "is_impossible is neither true nor false"),
        ({"question": None}, "qas[0]", "has no text question"),
        ({"question": "  "}, "qas[0]", "the question is empty"),
    ],
)
def test_mistakes_are_named_with_their_place(
    tmp_path: Path, change: dict[str, Any], where: str, message: str
) -> None:
    file = written(tmp_path, squad(**change))
    with pytest.raises(DataError) as caught:
        load(str(file))
    (problem,) = caught.value.problems
    assert message in problem.message
    assert problem.where.startswith(f"{file}: data[0].paragraphs[0].qas[0]"[: len(str(file)) + 3])
    assert problem.where.endswith(where)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": [', "is not JSON"),
        ('{"data": 3}', "has no list data"),
        ('{"data": []}', "holds no question"),
        ('{"data": [{"title": "x"}]}', "has no list paragraphs"),
        ('{"data": [{"paragraphs": [{"qas": []}]}]}', "has no text context"),
        ('{"data": [7]}', "is a number, not an object"),
    ],
)
def test_files_that_are_not_squad(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        load(str(file))
    assert caught.value.problems[0].where.startswith(str(file))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_of_questions_is_read(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame(
        {
            "question": ["Where did Ada live?", "Where did Bob live?", "Why?"],
            "context": CONTEXT,
            "answer": ["Rome", "Oslo", ""],
            "start": [13, 32, None],
            "topic": ["a", "b", "b"],
        }
    )
    file = tmp_path / f"q.{suffix}"
    {
        "csv": lambda: table.to_csv(file, index=False),
        "jsonl": lambda: table.to_json(file, orient="records", lines=True),
        "parquet": lambda: table.to_parquet(file),
    }[suffix]()
    data = load(str(file), group="topic")
    assert data.y.texts() == [["Rome"], ["Oslo"], []]
    assert data.groups is not None and data.groups.tolist() == [0, 1, 1]


def test_answers_without_a_start_are_found_once(tmp_path: Path) -> None:
    file = tmp_path / "q.csv"
    table = pd.DataFrame({"question": ["Where?"], "context": [CONTEXT], "answer": ["Oslo"]})
    table.to_csv(file, index=False)
    assert load(str(file), start=None).y.texts() == [["Oslo"]]
    for answer, message in (("Rome", "occurs 2 times"), ("Paris", "occurs 0 times")):
        table.assign(answer=answer).to_csv(file, index=False)
        with pytest.raises(DataError, match=message) as caught:
            load(str(file), start=None)
        assert caught.value.problems[0].where == f"{file}:2, column answer"


def test_wrong_cells_are_named_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "q.csv"
    good = {"question": "Where?", "context": CONTEXT, "answer": "Rome", "start": "13"}
    for change, column, message in (
        ({"start": "12"}, "start", "is not at 12"),
        ({"start": "x"}, "start", "'x' is not an integer"),
        ({"answer": ""}, "answer", "the answer is empty, but has a start"),
        ({"question": ""}, "question", "the cell is empty"),
    ):
        pd.DataFrame([good, good | change]).to_csv(file, index=False)
        with pytest.raises(DataError, match=message) as caught:
            load(str(file))
        assert caught.value.problems[0].where == f"{file}:3, column {column}"
    pd.DataFrame([good]).drop(columns="answer").to_csv(file, index=False)
    with pytest.raises(DataError, match="there is no column answer"):
        load(str(file))


def test_json_lines_with_long_lines_and_other_columns_are_tables(tmp_path: Path) -> None:
    context = f"{CONTEXT} {'More. ' * 1000}"
    line = json.dumps({"q": "Where did Ada live?", "text": context, "answer": "Rome", "start": 13})
    file = written(tmp_path, f"\n{line}\n{line}\n", "q.jsonl")
    data = load(str(file), question="q", context="text")
    assert data.y.texts() == [["Rome"], ["Rome"]]
    with pytest.raises(DataError, match="there is no column question"):
        load(str(file))


def test_json_of_another_encoding_is_refused_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "q.json"
    file.write_bytes(
        json.dumps(squad(), indent=1, ensure_ascii=False).replace("Ada", "Ad\u00e4").encode("latin-1")
    )
    with pytest.raises(DataError, match="is not utf-8: byte 0xe4") as refused:
        load(str(file))
    assert refused.value.problems[0].where.startswith(f"{file}:")


@pytest.mark.parametrize("answers", [None, [], [{"text": "Paris", "answer_start": 1}], "Rome"])
def test_answers_of_new_questions_are_not_read(tmp_path: Path, answers: Any) -> None:
    file = written(tmp_path, squad(answers=answers))
    assert read_squad(file, with_answers=False).spans == [None]


def test_questions_on_contexts_of_training_and_new_unanswerable_ones_are_warned_of(tmp_path: Path) -> None:
    document = squad()
    del document["data"][0]["title"]  # otherwise, the article is a group, which is warned of as well
    questions = document["data"][0]["paragraphs"][0]["qas"]
    questions.append({"question": "Why?", "id": "2", "is_impossible": True, "answers": []})
    data = load(str(written(tmp_path, document)))
    rows = np.arange(2)
    found = [problem.message for problem in find_warnings(data, [Split(rows[:1], rows[:0], rows[1:])])]
    assert found == [
        "1 of 1 final test questions are on contexts of training questions",
        "1 of 1 final test questions are unanswerable, but none for training",
    ]
    assert list(find_warnings(data, [Split(rows, rows[:0], rows[:0])])) == []
