"""Sentences with tags: columns and labelled spans, schemes of tags, and errors with their line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlcli.datasets.data import Data
from dlcli.datasets.tags import load
from dlcli.datasets.words.schemes import entities_of, scheme_of, to_iob2
from dlcli.datasets.words.sentences import word_spans
from dlcli.errors import DataError

COLUMNS = """-DOCSTART- -X- O

Ada NNP B-PER
lives VBZ O
in IN O
New NNP B-LOC
York NNP I-LOC

-DOCSTART- -X- O

# a comment of another length
Bob NNP B-PER
left VBD O
"""


def written(folder: Path, content: str, name: str = "t.conll") -> Path:
    file = folder / name
    file.write_text(content)
    return file


def tags_of(data: Data) -> list[list[str]]:
    return [[data.classes[code] for code in data.y[[row]].flat()] for row in range(len(data))]


def test_columns_of_words_and_tags(tmp_path: Path) -> None:
    data = load(str(written(tmp_path, COLUMNS)))
    assert data.target_kind == "tag"
    assert list(data.x.texts) == ["Ada lives in New York", "Bob left"]
    assert tags_of(data) == [["B-PER", "O", "O", "B-LOC", "I-LOC"], ["B-PER", "O"]]
    assert data.classes == ("O", "B-LOC", "I-LOC", "B-PER")
    assert data.groups is not None and data.groups.tolist() == [0, 1]
    assert [notice.key for notice in data.notices] == ["comments"]
    parts_of_speech = load(str(tmp_path / "t.conll"), tag=1)
    assert set(parts_of_speech.classes) == {"NNP", "VBZ", "IN", "VBD"}
    assert list(data.x[[1]].words()) == [["Bob", "left"]]


@pytest.mark.parametrize(("first", "comments"), [("# O\n", 0), ("# text = a\n# sent 1 of 2\n", 2)])
def test_a_number_sign_in_the_first_line_is_a_word_if_it_has_a_tag(
    first: str, comments: int, tmp_path: Path
) -> None:
    data = load(str(written(tmp_path, f"{first}Ada B-PER\n\n# O\nlives O\n")))
    assert list(data.x.texts) == ["Ada" if comments else "# Ada", "# lives"]
    assert sum(notice.count for notice in data.notices if notice.key == "comments") == comments


def test_each_file_has_its_own_scheme(tmp_path: Path) -> None:
    iob1 = written(tmp_path, "Ada I-PER\nBob B-PER\nsat O\n", "one")
    iobes = written(tmp_path, "Ada S-PER\nNew B-LOC\nYork E-LOC\n", "two")
    none = written(tmp_path, "sat O\n", "three")
    data = load(str(iob1), str(iobes), str(none))
    assert tags_of(data) == [["B-PER", "B-PER", "O"], ["B-PER", "B-LOC", "I-LOC"], ["O"]]
    (notice,) = data.notices
    assert notice.text == "the tags are IOB1 (one) and IOBES (two): 3 were converted to IOB2"


def test_files_of_validation_and_test(tmp_path: Path) -> None:
    file = str(written(tmp_path, COLUMNS))
    data = load(file, val_path=file, test_path=file)
    assert data.val_rows is not None and data.val_rows.tolist() == [2, 3]
    assert data.test_rows is not None and data.test_rows.tolist() == [4, 5]
    assert data.groups is not None and data.groups.tolist() == [0, 1, 2, 3, 4, 5]


def test_spans_become_tags_of_words(tmp_path: Path) -> None:
    rows = [
        {"text": "Ada, of New York.", "spans": [{"start": 0, "end": 3, "label": "PER"}, [8, 16, "LOC"]]},
        {"text": "An Oslofjord", "spans": [[3, 7, "LOC"]]},
        {"text": "None here", "spans": []},
    ]
    data = load(str(written(tmp_path, "\n".join(map(json.dumps, rows)), "t.jsonl")))
    assert next(iter(data.x.words())) == ["Ada", ",", "of", "New", "York", "."]
    assert tags_of(data) == [
        ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"],
        ["O", "B-LOC"],
        ["O", "O"],
    ]
    assert data.notices[0].text == "1 span ends within a word, and was extended to whole words"


@pytest.mark.parametrize(
    ("tags", "scheme", "converted"),
    [
        ("I-PER I-PER O I-LOC B-LOC", "iob1", "B-PER I-PER O B-LOC B-LOC"),
        ("B-PER I-PER O B-LOC B-LOC", "iob2", "B-PER I-PER O B-LOC B-LOC"),
        ("B-PER E-PER O S-LOC S-LOC", "iobes", "B-PER I-PER O B-LOC B-LOC"),
        ("B-PER L-PER O U-LOC U-LOC", "bilou", "B-PER I-PER O B-LOC B-LOC"),
        ("NOUN VERB O", "plain", "NOUN VERB O"),
        ("I-PER I-LOC", "iob1", "B-PER B-LOC"),
    ],
)
def test_schemes_are_recognised_and_converted(tags: str, scheme: str, converted: str) -> None:
    rows = [tags.split()]
    assert scheme_of(rows) == scheme
    found = to_iob2(rows, scheme_of(rows))
    assert found.rows == [converted.split()]
    assert found.unopened == 0


def test_entities_that_do_not_begin_are_reported_with_the_line(tmp_path: Path) -> None:
    data = load(str(written(tmp_path, "a B-X\nb O\n\nc O\nd I-X\n")))
    (notice,) = data.notices
    assert notice.key == "unopened_entities"
    assert notice.warns
    assert notice.text.endswith("t.conll:5")
    assert tags_of(data)[1] == ["O", "B-X"]


def test_tags_are_joined_to_entities() -> None:
    assert entities_of(["B-A", "I-A", "O", "I-A", "B-B", "I-A"]) == [
        (0, 2, "A"),
        (3, 4, "A"),
        (4, 5, "B"),
        (5, 6, "A"),
    ]
    assert entities_of(["NOUN", "O", "VERB"]) == [(0, 1, "NOUN"), (2, 3, "VERB")]


@pytest.mark.parametrize(
    ("content", "options", "line", "message"),
    [
        ("a O\nb x O\n", {}, 2, "has 3 columns separated by blanks, the lines before have 2"),
        ("a O\nb B_X\nc B-X\n", {}, 2, "the tag B_X is not O, and has no mark"),
        ("a O\nb X\n", {"scheme": "iob2"}, 2, "the tag X is not O, and has no mark"),
        ("a O\n", {"tag": 5}, 1, "there is no column 5: the line has 2"),
        ("a\nb\n", {}, 1, "words and tags would be the same column"),
        ("a\tO\nb\t\n", {}, 2, "the tag is empty"),
    ],
)
def test_wrong_columns_are_named_with_their_line(
    tmp_path: Path, content: str, options: dict, line: int, message: str
) -> None:
    file = written(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        load(str(file), **options)
    assert caught.value.problems[0].where == f"{file}:{line}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not an object"),
        ('{"spans": []}', "column text: is missing"),
        ('{"text": "a b"}', "has no list spans, but text"),
        ('{"text": "a b", "spans": [[0, 9, "X"]]}', "is not within the text of 3 characters"),
        ('{"text": "a b", "spans": [[1, 2, "X"]]}', "holds no character"),
        ('{"text": "a b", "spans": [[0, 1, ""]]}', "has an empty label"),
        ('{"text": "a b", "spans": [[0, 3, "X"], [2, 3, "Y"]]}', "overlap"),
        ('{"text": "ab", "spans": [[0, 1, "X"], [1, 2, "Y"]]}', "two spans lie within the word 'ab'"),
        ('{"text": "a b", "spans": [[0, "1", "X"]]}', "is no span"),
    ],
)
def test_wrong_spans_are_named_with_their_line(tmp_path: Path, line: str, message: str) -> None:
    good = json.dumps({"text": "Ada", "spans": [[0, 3, "PER"]]})
    file = written(tmp_path, f"{good}\n{line}\n", "t.jsonl")
    with pytest.raises(DataError, match=message) as caught:
        load(str(file))
    assert caught.value.problems[0].where.startswith(f"{file}:2")


def test_combining_marks_belong_to_their_word() -> None:
    for words in (["cafe\u0301s", "au", "lait", "!"], ["\u0939\u093f\u0928\u094d\u0926\u0940", ",", "x"]):
        text = " ".join(words)
        assert [text[first:end] for first, end in word_spans(text)] == words


def test_sentences_before_the_first_document_are_one_and_so_is_a_file_without(tmp_path: Path) -> None:
    first = written(
        tmp_path,
        f"Cy B-PER\nis O\n\n{COLUMNS}".replace(" NNP", "")
        .replace(" VBZ", "")
        .replace(" IN", "")
        .replace(" VBD", ""),
    )
    other = written(tmp_path, "Dee B-PER\n\nis O\n", "other.conll")
    data = load(str(first), test_path=str(other))
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 2, 3, 3]


def test_contractions_and_empty_nodes_of_conll_u_are_left_out(tmp_path: Path) -> None:
    lines = [
        f"{number}\t{word}\t_\t{tag}" + "\t_" * 6
        for number, word, tag in (
            ("1-2", "al", "_"),
            ("1", "a", "ADP"),
            ("2", "el", "DET"),
            ("2.1", "x", "_"),
        )
    ]
    data = load(str(written(tmp_path, "\n".join(lines))), word=1, tag=3)
    assert tags_of(data) == [["ADP", "DET"]]
    assert [(notice.key, notice.count) for notice in data.notices] == [("unnumbered_lines", 2)]


def test_marks_in_another_spelling_are_warned_of(tmp_path: Path) -> None:
    data = load(str(written(tmp_path, "Ada B_PER\nis O\n")))
    assert [notice.key for notice in data.notices] == ["spelt_marks"]
    assert load(str(written(tmp_path, "Ada NNP\nis B.X\n"))).notices == ()


def test_json_lines_of_another_encoding(tmp_path: Path) -> None:
    line = '{"text": "Zo\u00eb is", "spans": [{"start": 0, "end": 3, "label": "PER"}]}'
    file = tmp_path / "t.jsonl"
    file.write_bytes(line.encode("latin-1"))
    assert tags_of(load(str(file), encoding="latin-1")) == [["B-PER", "O"]]
    with pytest.raises(DataError, match="is not utf-8: byte 0xeb at 12 of the line"):
        load(str(file))
    (tmp_path / "one.conll").write_text("-DOCSTART- O\n\nAda B-PER\n\nIda B-PER\nis O\n")
    assert load(str(tmp_path / "one.conll")).groups is None
