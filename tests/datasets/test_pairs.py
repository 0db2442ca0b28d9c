"""Reading pairs of texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dlcli.checks.leaks import find_split_groups
from dlcli.datasets.pairs import load
from dlcli.errors import DataError
from dlcli.splits.group_kfold import GroupKFold
from dlcli.splits.holdout import Holdout
from tests.pairs_of_sentences import write_pairs

PAIRS = [("Ein Hund.", "A dog."), ("Zwei Hunde.", "Two dogs."), ('Er sagt "ja.', 'He says "yes.')]


def test_columns_of_a_table_with_literal_quotes(tmp_path: Path) -> None:
    data = load(str(write_pairs(tmp_path / "a.tsv", PAIRS)), source="de", target="en")
    assert [*zip(data.x, data.y, strict=True)] == PAIRS
    assert list(data.y.other) == list(data.x)
    assert (data.target_kind, data.kind, len(data)) == ("seq2seq", "tokens", 3)
    assert list(data.x[np.array([2, 0])].other) == [PAIRS[2][1], PAIRS[0][1]]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("en\tde", "en is read as the source and de as the target"),
        ("target\tsource", ""),
        ("tgt\tfoo", "foo is"),
    ],
)
def test_columns_are_found_by_name_or_order(tmp_path: Path, header: str, told: str) -> None:
    data = load(str(write_pairs(tmp_path / "a.tsv", PAIRS, header)))
    first = "Ein Hund." if header == "en\tde" else "A dog."
    assert next(iter(data.x)) == first
    assert [notice.text[: len(told)] for notice in data.notices] == ([told] if told else [])


def test_pairs_in_json_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"src": a, "tgt": b}) + "\n" for a, b in PAIRS))
    assert [*zip(load(str(file)).x, load(str(file)).y, strict=True)] == PAIRS


def test_a_folder_has_a_table_for_each_part(tmp_path: Path) -> None:
    write_pairs(tmp_path / "d" / "train.tsv", PAIRS)
    write_pairs(tmp_path / "d" / "val.tsv", [("Ein Mann.", "A man."), PAIRS[1]])
    write_pairs(tmp_path / "d" / "test_2016_flickr.tsv", [("Drei Hunde.", "Three dogs.")])
    data = load(str(tmp_path / "d"), source="de", target="en")
    assert data.parts is not None
    assert data.parts.tolist() == ["train"] * 3 + ["val"] * 2 + ["test"]
    assert data.val_rows is not None and data.val_rows.tolist() == [3, 4]
    assert data.test_rows is not None and data.test_rows.tolist() == [5]
    assert "1 of 2 val sources are also among the training sources" in [n.text for n in data.notices]
    assert data.groups is None
    write_pairs(tmp_path / "d" / "test_2017.tsv", PAIRS)
    with pytest.raises(
        DataError, match=r"test_2016_flickr\.tsv and test_2017\.tsv are both files of the part test"
    ):
        load(str(tmp_path / "d"))


def test_lines_of_parallel_files_are_pairs(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for side, ending in enumerate(("de", "en")):
            (tmp_path / f"{part}.{ending}").write_text("".join(f"{pair[side]}\n" for pair in PAIRS))
    data = load(str(tmp_path), source="de", target="en")
    assert [*zip(data.x, data.y, strict=True)] == [*PAIRS, *PAIRS]
    (tmp_path / "train.en").write_text("A dog.\nTwo dogs.\n")
    with pytest.raises(DataError, match=r"has 3 lines, but train\.en has 2") as found:
        load(str(tmp_path), source="de", target="en")
    assert found.value.problems[0].where == f"{tmp_path / 'train.de'}:3"
    (tmp_path / "train.en").write_bytes(b"A dog.\n\xe4\nx\n")
    with pytest.raises(DataError, match="is not UTF-8: byte 0xe4") as found:
        load(str(tmp_path), source="de", target="en")
    assert found.value.problems[0].where == f"{tmp_path / 'train.en'}:2"
    (tmp_path / "train.en").unlink()
    with pytest.raises(DataError, match=r"has no counterpart train\.en"):
        load(str(tmp_path), source="de", target="en")


def test_equal_sources_are_a_group(tmp_path: Path) -> None:
    data = load(str(write_pairs(tmp_path / "a.tsv", [*PAIRS, ("Ein Hund.", "One dog.")])), source="de")
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 2, 0]
    assert "1 pair with the source of another one, kept together in splits" in [n.text for n in data.notices]


def test_bad_input_is_named_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    for content, message, line in (
        ("de\ten\nEin Hund.\tA dog.\nZwei.\t \n", "the target is empty", 3),
        ("de\ten\nEin Hund.\tA dog.\nZwei.\n", "has 1 column", 3),
        ("de\ten\nEin Hund.\tA dog.\nZwei.\ta\tb\n", "has 3 columns", 3),
    ):
        file.write_text(content)
        with pytest.raises(DataError, match=message) as found:
            load(str(file), source="de", target="en")
        assert found.value.problems[0].where.startswith(f"{file}:{line}")
    file.write_bytes("de\ten\nMänner\tmen\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8: byte 0xe4") as found:
        load(str(file), source="de", target="en")
    assert found.value.problems[0].where == f"{file}:2"
    assert next(iter(load(str(file), source="de", encoding="latin-1").x)) == "Männer"
    write_pairs(file, [*PAIRS, ("", "nothing")])
    data = load(str(file), source="de", target="en", on_bad="skip")
    assert (len(data), data.notices[-1].key) == (3, "empty_pairs")
    assert f"{file}:5" in data.notices[-1].text


@pytest.mark.parametrize("named", ["test_path", "folder"])
def test_pairs_with_one_source_stay_together_if_only_a_test_part_is_named(tmp_path: Path, named: str) -> None:
    twice = [(f"Satz {row}.", f"{word} {row}.") for row in range(12) for word in ("Sentence", "Phrase")]
    test = [("Satz 3.", "Sentence 3."), ("Neu.", "New."), ("Neu.", "New.")]
    file = write_pairs(tmp_path / "d" / "train.tsv", twice)
    other = write_pairs(tmp_path / "d" / "test.tsv", test)
    data = load(str(file), test_path=str(other)) if named == "test_path" else load(str(tmp_path / "d"))
    texts = {notice.key: notice.text for notice in data.notices}
    assert texts["repeated_sources"] == "12 pairs with the source of another one, kept together in splits"
    assert texts["repeated_test_sources"] == "1 of 3 test sources are also among the training sources"
    sources = np.array(list(data.x))
    splits = [*Holdout(val_size=0.3).splits(data), *GroupKFold(folds=3, val_size=0.2).splits(data)]
    for split in splits:
        assert len(split.val) and not set(sources[split.train]) & set(sources[split.val])
    assert sorted(splits[0].test) == [24, 25, 26]
    assert not list(find_split_groups(data, splits))
    rows = [("Eins.", "One."), ("Ein.", "One."), ("Zwei.", "Two.")]
    (notice,) = load(str(write_pairs(tmp_path / "targets.tsv", rows, "source\ttarget"))).notices
    assert notice.text == "1 target repeated with another source, which may be in another part"


def test_columns_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("id\tde\ten\n1\tEin\tA\n2\tZwei\tTwo\n")
    for settings, message in (
        ({}, "has several columns that may contain the sources"),
        ({"source": "de", "target": "de"}, "is de as well"),
        ({"source": "fr", "target": "en"}, "there is no column fr"),
    ):
        with pytest.raises(DataError, match=message):
            load(str(file), **settings)
    file.write_text("de\nEin\nZwei\n")
    with pytest.raises(DataError, match="a source and a target are required"):
        load(str(file), header=True)


def test_multi30k_is_read_whole() -> None:
    folder = Path(__file__).parents[3] / "shared/data/translation/multi30k"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    data = load(str(folder), source="de", target="en")
    assert data.parts is not None
    assert [int((data.parts == part).sum()) for part in ("train", "val", "test")] == [29_000, 1_014, 1_000]
