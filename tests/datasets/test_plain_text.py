"""Plain text as blocks and lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlcli.datasets.language import load
from dlcli.datasets.passages import LINE_FEED, Passages
from dlcli.errors import DataError
from dlcli.splits.holdout import Holdout
from dlcli.splits.kfold import KFold

TEXT = "".join(f"{number} is the number {number}.\n" for number in range(40))


def file_of(folder: Path, content: str | bytes, name: str = "a.txt") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_each_character_is_in_one_block(tmp_path: Path) -> None:
    x = load(str(file_of(tmp_path, TEXT)), block=32).x
    assert "".join(x.texts()) == TEXT
    assert set(x.characters[:-1]) == {32}
    assert 0 < x.characters[-1] <= 32
    before = ["\n", *(text[-1] for text in list(x.texts())[:-1])]
    assert [chr(code) for code in x.before()] == before


def test_parts_are_consecutive(tmp_path: Path) -> None:
    data = load(str(file_of(tmp_path, TEXT)), block=16)
    (split,) = Holdout(test_size=0.2, val_size=0.1).splits(data)
    parts = np.concatenate([split.train, split.val, split.test])
    assert parts.tolist() == list(range(len(data)))
    for fold in KFold(folds=3).splits(data):
        assert (np.diff(fold.test) == 1).all()
        assert (np.diff(fold.train) != 1).sum() <= 1
        assert (np.diff(fold.val) != 1).sum() <= 1
    with pytest.raises(DataError, match="repeated folds without shuffling"):
        KFold(folds=3, repeats=2).splits(data)


def test_no_block_is_in_two_files(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        file_of(tmp_path, name * 50, f"{name}.txt")
    file_of(tmp_path, b"\x00", "d.bin")
    data = load(str(tmp_path), block=20, by_file=True)
    assert [len(set(text)) for text in data.x.texts()] == [1] * 9
    assert list(data.x.texts())[2] == "a" * 10
    assert [chr(code) for code in data.x.before()] == ["\n", "a", "a", "\n", "b", "b", "\n", "c", "c"]
    assert data.x.runs().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sorted({Path(name).name for name in data.groups}) == ["a.txt", "b.txt", "c.txt"]
    assert [notice.key for notice in data.notices] == ["other_files"]


def test_equal_lines_are_one_group(tmp_path: Path) -> None:
    long = "x" * 50
    data = load(str(file_of(tmp_path, f"ann\nbob\n\nann\r\n{long}\nbob")), rows="lines", block=16)
    assert list(data.x.texts()) == ["ann\n", "bob\n", "ann\n", *["x" * 16] * 3, "xx\n", "bob\n"]
    groups = [str(name) for name in data.groups]
    assert groups[:3] == ["ann", "bob", "ann"]
    assert groups[7] == "bob"
    assert len(set(groups[3:7])) == 1
    counts = {notice.key: notice.count for notice in data.notices}
    assert counts == {"empty_lines": 1, "continued_lines": 1, "converted_line_ends": 1}
    names = [f"n{number % 30}" for number in range(90)]
    data = load(str(file_of(tmp_path, "\n".join(names))), rows="lines")
    (split,) = Holdout().splits(data)
    parts = [set(np.array(names)[split.rows(part)]) for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == 30


@pytest.mark.parametrize(
    ("content", "message", "where"),
    [
        (b"", "is empty", "a.txt"),
        (b" \n\n", "has only whitespace", "a.txt"),
        (b"one\ntwo\nthr\xe9e", "is not utf-8: byte 0xe9 at 11", "a.txt:3"),
        (b"one\nt\0wo", "is a binary file: byte 0x00 at 5", "a.txt:2"),
        ("text".encode("utf-16"), "is not utf-8: byte 0xff at 0", "a.txt:1"),
        (b"abcdefg", "has 7 characters, fewer than three blocks of 4", "a.txt"),
    ],
)
def test_bad_files_are_named_with_their_line(
    content: bytes, message: str, where: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(str(file_of(tmp_path, content)), block=4)
    assert caught.value.problems[0].where.endswith(where)


def test_a_text_in_utf_16_is_read_as_a_whole(tmp_path: Path) -> None:
    file = file_of(tmp_path, ("Straße\n" * 9).encode("utf-16"))
    assert "".join(load(str(file), block=8, encoding="utf-16").x.texts()) == "Straße\n" * 9
    with pytest.raises(DataError, match="cannot be split by file"):
        load(str(file), block=8, encoding="utf-16", by_file=True)


def test_passages_of_texts() -> None:
    rows = Passages.of(["ab", "𝄞"])
    assert list(rows.texts()) == ["ab", "𝄞"]
    assert rows.before().tolist() == [LINE_FEED] * 2
    assert list(rows[[1, 0]].texts()) == ["𝄞", "ab"]
    assert list(Passages.of(["ab\n", "c"], are_documents=True).texts()) == ["ab\n", "c\n"]


def test_files_and_folders_named_like_parts_are_parts(tmp_path: Path) -> None:
    for name, text in (("train", "abcd" * 30), ("valid", "efgh" * 10), ("test", "ijkl" * 10)):
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / f"{name}.txt").write_text(text)
        (tmp_path / "folders" / name).mkdir(parents=True)
        (tmp_path / "folders" / name / "1.txt").write_text(text)
    for folder in ("files", "folders"):
        data = load(str(tmp_path / folder), block=8, parts="auto")
        split = next(iter(Holdout().splits(data)))
        letters = {
            part: set("".join(data.x[getattr(split, part)].texts())) for part in ("train", "val", "test")
        }
        assert letters == {"train": set("abcd"), "val": set("efgh"), "test": set("ijkl")}
        assert "in the parts train, val, test by the names of the files" in data.note
        assert load(str(tmp_path / folder), block=8, parts=False).test_rows is None
        with pytest.raises(DataError, match="by_file would draw"):
            load(str(tmp_path / folder), block=8, by_file=True, parts="auto")
    (tmp_path / "files" / "README.md").write_text("About")
    with pytest.raises(DataError, match=r"test.txt is named like a part of a split, but README.md is not"):
        load(str(tmp_path / "files"), block=8, parts="auto")
    for name in ("README.md", "train.txt"):
        (tmp_path / "files" / name).unlink()
    with pytest.raises(DataError, match="has files of the parts test, val, but none of train"):
        load(str(tmp_path / "files"), block=8, parts="auto")


def test_lines_in_several_parts_are_counted(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("ada\nbob\ncyd\n")
    (tmp_path / "test.txt").write_text("bob\ndan\n")
    data = load(str(tmp_path), rows="lines", parts="auto")
    assert data.test_rows is not None
    assert list(data.x[data.test_rows].texts()) == ["bob\n", "dan\n"]
    (notice,) = (one for one in data.notices if one.key == "shared_lines")
    assert notice.warns and notice.text == "1 validation or test line also in the training files"
