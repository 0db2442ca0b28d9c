"""Texts in tables and folders: reading, errors with their place, and sharing with other processes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlcli.datasets.data import Data, take
from dlcli.datasets.evaluation_only import Expected, evaluating
from dlcli.datasets.shared_memory import SharedData, read_shared
from dlcli.datasets.text import load
from dlcli.datasets.text_rows import Texts
from dlcli.errors import DataError
from dlcli.splits.holdout import Holdout
from dlcli.splits.predefined import Predefined

ROWS = [("good", "Well made, I like it"), ("bad", "It broke"), ("good", "Fine"), ("bad", "No!")]


def write(name: str, text: str | bytes) -> str:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def tsv(rows: list[tuple[str, str]] = ROWS) -> str:
    return write("t.tsv", "".join(f"{label}\t{text}\n" for label, text in rows))


def refused(path: str, **options) -> tuple[str, str, str]:
    with pytest.raises(DataError) as caught:
        load(path, **options)
    (problem,) = caught.value.problems
    return problem.where, problem.message, problem.hint


def labelled_texts(data: Data) -> list[tuple[str, str]]:
    return [(data.classes[code], text) for code, text in zip(data.y, data.x, strict=True)]


def table_of(kind: str) -> str:
    frame = pd.DataFrame(ROWS, columns=["label", "text"])
    if kind == "parquet":
        frame.to_parquet("t.parquet")
    elif kind == "csv":
        frame.to_csv("t.csv", index=False)
    else:
        write("t.jsonl", "".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    return f"t.{kind}"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_text_column_is_the_only_remaining_one(kind: str) -> None:
    data = load(table_of(kind), target="label")
    assert (data.kind, data.target_kind, data.x.shape) == ("tokens", "binary", (4,))
    assert labelled_texts(data) == ROWS
    assert labelled_texts(load(table_of(kind), text="text", target="label")) == ROWS


def test_the_index_of_a_frame_is_no_text() -> None:
    frame = pd.DataFrame({"text": ["a b", "c d", "e f", "g h"], "y": ["u", "v", "u", "v"]})
    frame.set_index(pd.Index([f"text number {row}" for row in range(4)], name="name")).to_parquet("t.parquet")
    assert list(load("t.parquet", target="y").x) == frame["text"].tolist()
    assert next(iter(load("t.parquet", target="y", text="name").x)) == "text number 0"


def test_no_header_and_literal_quotes() -> None:
    rows = [*ROWS, ("good", '"Great" she said'), ("bad", '"Never again'), ("bad", 'I said "no"')]
    data = load(tsv(rows), target="c0")
    assert labelled_texts(data) == rows


def test_quoted_cells_may_hold_separators_and_quotes() -> None:
    assert labelled_texts(load(write("t.tsv", 'good\t"a\tb"\nbad\t"c ""d"""\ngood\te\n'), target="c0")) == [
        ("good", "a\tb"),
        ("bad", 'c "d"'),
        ("good", "e"),
    ]
    rows = [("good", '"a"'), ("bad", '"b"'), ("bad", "c")]
    assert labelled_texts(load(tsv(rows), target="c0", header=False, quotes=False)) == rows


def test_strings_for_missing_numbers_are_texts() -> None:
    rows = [("good", "NA"), ("bad", "None"), ("bad", "nan")]
    assert labelled_texts(load(tsv(rows), target="c0", header=False)) == rows


def test_words_for_missing_targets_are_those_of_tables() -> None:
    path = write("t.csv", "text,mood\nNA,up\nb,down\nc,NA\nd,k.A.\n")
    hint = refused(path, target="mood")[2]
    assert (
        "dataset.missing_target=drop. If a word such as NA or None is a class: dataset.missing_values=[]."
        in hint
    )
    assert load(path, target="mood", missing_values=[]).classes == ("NA", "down", "k.A.", "up")
    found = load(path, target="mood", missing_values=["k.A."], missing_target="drop")
    assert labelled_texts(found) == [("up", "NA"), ("down", "b")]
    assert len(load(path, target="mood", missing_values={"mood": []})) == 4


def test_numeric_targets_and_several_labels() -> None:
    stars = load(write("t.csv", "text,stars\na,1.5\nb,4\n"), target="stars")
    assert (stars.target_kind, stars.y.tolist()) == ("regression", [1.5, 4.0])
    labels = load(write("t.csv", "text,rude,long\na,1,0\nb,0,1\n"), target=["rude", "long"])
    assert (labels.target_kind, labels.classes) == ("multilabel", ("rude", "long"))


def label_lists(name: str, *labels: list[str] | None) -> str:
    frame = pd.DataFrame({"text": [f"text {row}" for row in range(len(labels))], "labels": labels})
    frame.to_parquet(name) if name.endswith("parquet") else frame.to_json(name, orient="records", lines=True)
    return name


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_target_of_lists_has_the_labels_of_each_text(suffix: str) -> None:
    path = label_lists(f"t.{suffix}", ["wind", "rain"], [], ["rain"], ["sun"])
    data = load(path, target="labels")
    assert (data.target_kind, data.classes) == ("multilabel", ("rain", "sun", "wind"))
    assert data.y.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    later = load(path, target="labels", test_path=label_lists(f"new.{suffix}", ["sun"], []))
    assert (later.y[4:].tolist(), later.test_rows.tolist()) == ([[0, 1, 0], [0, 0, 0]], [4, 5])
    with evaluating(Expected("categorical", data.columns, data.classes)):
        assert load(label_lists(f"new.{suffix}", ["wind"]), target="labels").y.tolist() == [[0, 0, 1]]
        refused(label_lists(f"new.{suffix}", ["snow"]), target="labels")
    missing = label_lists(f"t.{suffix}", ["wind", "rain"], None, ["rain"])
    assert refused(missing, target="labels")[1] == "the target is missing"
    assert load(missing, target="labels", missing_target="drop").y.tolist() == [[1, 1], [1, 0]]


def test_labels_are_separated_by_a_sign_if_it_is_given() -> None:
    path = write("t.csv", "text,labels\na,wind| rain\nb,\nc,rain\nd,sun|rain|\n")
    data = load(path, target="labels", label_separator="|")
    assert (data.target_kind, data.classes) == ("multilabel", ("rain", "sun", "wind"))
    assert data.y.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0], [1, 1, 0]]
    (doubt,) = data.warnings
    assert (doubt.where, doubt.message) == ("t.csv, column labels", "1 row with an empty cell has no labels")
    with evaluating(Expected("categorical", data.columns, data.classes)):
        new = write("new.csv", "text,labels\na,wind\nb,\n")
        assert load(new, target="labels", label_separator="|").y.tolist() == [[0, 0, 1], [0, 0, 0]]
    words = refused(write("t.csv", "text,labels\na,wind\nb,rain\n"), target="labels", label_separator="|")
    assert words[1] == "no cell has labels that are joined by '|'"
    several = refused(path, target=["labels", "text"], label_separator="|")
    assert several[:2] == ("dataset.label_separator", "splits the cells of one target, not of several")
    assert refused(path, target="lable", label_separator="|")[1] == "there is no column lable in t.csv"


def test_combinations_name_the_key_that_separates_them() -> None:
    rows = ["a|b", "a", "b|c", "c|a", "b", "c"] * 2
    path = write("t.csv", "text,labels\n" + "".join(f"text {n},{row}\n" for n, row in enumerate(rows)))
    assert "set 'dataset.label_separator=\"|\"'" in load(path, target="labels").note
    assert load(path, target="labels", label_separator="|").classes == ("a", "b", "c")


def test_lists_that_are_no_labels_are_reported() -> None:
    path = label_lists("t.jsonl", ["a", "b"], ["a"])
    where, message, _ = refused(path, target="labels", test_path=label_lists("new.jsonl", ["c"]))
    assert (where, message) == ("new.jsonl, column labels", "the label c is not one of the training rows")
    assert (
        refused(label_lists("t.jsonl", ["a"], []), target="labels")[1] == "there are fewer than two labels: a"
    )
    named = refused(label_lists("t.jsonl", ["text"], ["b"]), target="labels")
    assert named[1] == "the label text has the name of a column"
    assert refused(write("t.jsonl", '{"text": "a", "labels": ["a", null]}\n'), target="labels")[1] == (
        "a list contains null"
    )
    assert refused(write("t.jsonl", '{"text": "a", "labels": [0.5]}\n'), target="labels")[1].startswith(
        "contains list<item: double>"
    )


def test_a_test_file_and_columns_of_splits() -> None:
    write("new.csv", "text,label,who\nd,no,x\n")
    path = write("t.csv", "text,label,who\na,no,x\nb,yes,y\nc,no,y\n")
    data = load(path, target="label", group="who", test_path="new.csv")
    assert list(data.x) == ["a", "b", "c", "d"]
    assert data.test_rows is not None
    assert data.test_rows.tolist() == [3]
    assert data.groups is not None
    assert data.groups.tolist() == ["x", "y", "y", "x"]


def test_classes_of_texts_without_training_rows_are_reported() -> None:
    rows = [("good", "1", "train"), ("bad", "0", "train"), ("so so", "2", "test")]
    path = write("t.tsv", "said\tstars\tpart\n" + "".join("\t".join(row) + "\n" for row in rows))
    data = load(path, text="said", target="stars", split="part", types="{stars: categorical}")
    assert [notice.key for notice in data.notices] == ["untrained_classes"]
    assert "1 of 3 texts are of classes that no training row has: 2" in data.notices[0].text


def test_one_folder_per_class() -> None:
    for part, label, name, text in [
        ("train", "good", "1", "Fine"),
        ("train", "bad", "2", "It broke\nat once"),
        ("test", "good", "3", "Well"),
    ]:
        write(f"reviews/{part}/{label}/{name}.txt", text)
    write("reviews/train/good/.notes.txt", "")
    data = load("reviews")
    assert labelled_texts(data) == [("good", "Well"), ("bad", "It broke\nat once"), ("good", "Fine")]
    assert data.test_rows is not None
    assert data.test_rows.tolist() == [0]


def test_invalid_data_is_reported_with_file_row_and_column() -> None:
    rows = [*ROWS, ("bad", " "), ("good", "")]
    assert refused(tsv(rows), target="c0")[:2] == ("t.tsv:5, column c1", "the text is empty (and 1 more)")
    assert refused(tsv([("good", "a"), ("good", "b")]), target="c0")[1] == "all rows are of one class, good"
    assert refused(tsv(), target="c0", text="c2")[0] == "dataset.text"
    assert refused(tsv())[0] == "dataset.target"
    path = write("t.csv", "text,label,more\na,no,x\nb,yes,y\n")
    assert refused(path, target="lable") == (
        "dataset.target",
        "there is no column lable in t.csv",
        "Did you mean label? Choices: label, more, text.",
    )
    assert refused(path, target="label") == (
        "dataset.text",
        "t.csv has several columns that may contain the texts",
        "Choices: more, text.",
    )
    where, message, hint = refused(write("t.tsv", "good\tf\xfcr\nbad\tx\n".encode("latin-1")), target="c0")
    assert (where, message[:20]) == ("t.tsv:1", "is not UTF-8: byte 0")
    assert "dataset.encoding=cp1252" in hint


def test_invalid_folders_are_reported_with_the_file() -> None:
    write("r/good/1.txt", "a")
    assert refused("r")[1] == "there is only one class: good"
    Path("r/bad").mkdir()
    assert refused("r")[:2] == ("r/bad", "the class folder contains no text")
    write("r/bad/2.txt", b"caf\xe9")
    assert refused("r")[:2] == ("r/bad/2.txt:1", "is not utf-8: byte 0xe9 at 3")
    assert labelled_texts(load("r", encoding="latin-1")) == [("bad", "caf\xe9"), ("good", "a")]
    write("r/bad/3.txt", "\n")
    assert refused("r", encoding="latin-1")[0] == "r/bad/3.txt"


def test_folders_define_validation_and_test_rows() -> None:
    for part, rows in (("train", 3), ("val", 2), ("test", 1)):
        for row in range(rows):
            for label in ("good", "bad"):
                write(f"r/{part}/{label}/{row}.txt", f"{part} {row}")
    data = load("r")
    for strategy in (Holdout(), Predefined()):
        (split,) = strategy.splits(data)
        assert split.sizes == {"train": 6, "val": 4, "test": 2}
    assert {text.split()[0] for text in data.x[split.val]} == {"val"}


def test_empty_texts_are_kept_if_configured() -> None:
    data = load(tsv([*ROWS, ("bad", "")]), target="c0", on_empty="keep")
    assert list(data.x)[-1] == ""
    assert data.note == "1 texts are empty"


def test_rows_are_selected_in_any_order_and_define_the_fingerprint() -> None:
    data = load(tsv(), target="c0")
    assert list(take(data.x, np.array([2, 0]))) == ["Fine", "Well made, I like it"]
    assert load(tsv(), target="c0").fingerprint == data.fingerprint
    assert load(table_of("csv"), target="label").fingerprint == data.fingerprint
    for other in ([*ROWS[:3], ("bad", "No?")], [ROWS[1], ROWS[0], *ROWS[2:]]):
        assert load(tsv(other), target="c0").fingerprint != data.fingerprint


def test_other_processes_map_the_texts(tmp_path: Path) -> None:
    data = load(tsv(ROWS * 500), target="c0")
    buffers: list[pickle.PickleBuffer] = []
    assert (
        len(pickle.dumps(data.x, protocol=5, buffer_callback=buffers.append)) < 1000
    )  # the texts are not pickled
    shared = SharedData(data, tmp_path)
    copy = read_shared(shared.fd)
    assert copy.fingerprint == data.fingerprint
    assert isinstance(copy.x, Texts)
    shared.close()


def test_all_messages_of_the_sms_collection_are_read(shared_data: Path) -> None:
    data = load(str(shared_data / "text" / "sms.tsv"), target="c0")
    assert (len(data), data.classes) == (5574, ("ham", "spam"))
    assert np.bincount(data.y).tolist() == [4827, 747]


def test_a_broken_link_is_an_empty_text() -> None:
    write("texts/good/1.txt", "fine")
    write("texts/bad/1.txt", "broke")
    Path("texts/bad/2.txt").symlink_to("nowhere.txt")
    assert refused("texts")[:2] == ("texts/bad/2.txt", "the text is empty")


def test_the_encoding_that_is_proposed_reads_texts_in_utf16() -> None:
    for name in ("bad", "good"):
        (Path("u") / name).mkdir(parents=True)
        (Path("u") / name / "1.txt").write_text(f"{name} café", encoding="utf-16")
    assert "dataset.encoding=utf-16." in refused("u")[2]
    assert labelled_texts(load("u", encoding="utf-16")) == [("bad", "bad café"), ("good", "good café")]
