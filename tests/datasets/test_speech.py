"""Datasets of recordings with transcripts: layouts, mistakes with their place, and strings of joined recordings."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from dlcli.datasets import spoken_strings
from dlcli.datasets.audio.joining import join
from dlcli.datasets.speech import load
from dlcli.errors import DataError
from tests.tones import tone, write_tones, write_wav


def recordings(folder: Path, names: str = "a b c") -> Path:
    for number, name in enumerate(names.split()):
        write_wav(folder / f"{name}.wav", tone(400 + 100 * number, seconds=0.2 + number / 50))
    return folder


def test_every_layout_gives_equal_rows(tmp_path: Path) -> None:
    texts = {"a": "one", "b": "02", "c": "two three"}
    folder = recordings(tmp_path / "lj" / "wavs").parent
    (folder / "metadata.csv").write_text("".join(f"{name}|RAW|{text}\n" for name, text in texts.items()))
    beside = recordings(tmp_path / "beside")
    for name, text in texts.items():
        (beside / f"{name}.txt").write_text(f" {text}\n")
    libri = recordings(tmp_path / "libri" / "1" / "2").parent.parent
    lines = "".join(f"{name} {text}\n" for name, text in texts.items())
    (libri / "1" / "2" / "1-2.trans.txt").write_text(lines)
    table = recordings(tmp_path / "table") / "rows.tsv"
    table.write_text("path\tsentence\n" + "".join(f"{name}.wav\t{text}\n" for name, text in texts.items()))
    named = recordings(tmp_path / "hub")
    (named / "metadata.csv").write_text(
        "file_name,transcription\n" + "".join(f"{name}.wav,{text}\n" for name, text in texts.items())
    )
    with tarfile.open(tmp_path / "lj.tar", "w") as archive:
        archive.add(folder, "lj")
    for place in (folder, folder / "metadata.csv", beside, libri, table, named, tmp_path / "lj.tar"):
        data = load(str(place))
        assert list(data.y) == list(texts.values()), place
        assert data.x.lengths.tolist() == [800, 880, 960], place
        assert data.target_kind == "ctc"


def test_folders_of_parts_and_columns_of_parts(tmp_path: Path) -> None:
    for part, name in (("train", "a b"), ("test", "c")):
        recordings(tmp_path / part, name)
        for one in name.split():
            (tmp_path / part / f"{one}.txt").write_text(one.upper())
    data = load(str(tmp_path), lowercase=True)
    assert list(data.y) == ["c", "a", "b"]
    assert data.test_rows is not None and data.test_rows.tolist() == [0]
    assert any(notice.key == "changed_transcripts" and notice.count == 3 for notice in data.notices)


@pytest.mark.parametrize(
    ("lines", "place", "message"),
    [
        ("a|one\nb|\nc|three\n", "metadata.csv:2", "the transcript is empty"),
        ("a|one\nb|two\nc|three\nd|four\n", "metadata.csv:4", "there is no recording d"),
        ("a|one\nc|three\n", "b.wav", "has no transcript"),
        ("a|one\nb|two\nb|two\nc|three\n", "metadata.csv:3", "the recording b has another transcript"),
        (
            f"a|one\nb|{'x' * 90}\nc|three\n",
            "metadata.csv:2",
            "has 90 characters, but the recording is 0.22 s",
        ),
    ],
)
def test_mistakes_are_named_or_left_out(tmp_path: Path, lines: str, place: str, message: str) -> None:
    recordings(tmp_path / "wavs")
    (tmp_path / "metadata.csv").write_text(lines)
    with pytest.raises(DataError) as found:
        load(str(tmp_path))
    (problem,) = found.value.problems
    assert message in problem.message
    assert problem.where.endswith(place)
    data = load(str(tmp_path), on_bad="skip")
    (notice,) = [one for one in data.notices if one.key == "bad_transcripts"]
    assert notice.count == 1 and message in notice.text
    assert len(data) == len(data.x) == len(data.y)


@pytest.mark.parametrize("header", ["audio_path|text", "wav_filename|transcript", "recording|sentence"])
def test_headers_of_other_names_are_those_of_tables(tmp_path: Path, header: str) -> None:
    recordings(tmp_path)
    (tmp_path / "metadata.csv").write_text(f"{header}\na.wav|one\nb.wav|two\nc.wav|three\n")
    assert list(load(str(tmp_path)).y) == ["one", "two", "three"]


def test_line_breaks_of_unicode_are_parts_of_transcripts(tmp_path: Path) -> None:
    recordings(tmp_path / "wavs")
    text = "a|one\u2028more\r\nb|two\u0085more\r\nc|three\x0cmore\r\n"
    (tmp_path / "metadata.csv").write_bytes(text.encode())
    assert [one.split() for one in load(str(tmp_path)).y] == [
        ["one", "more"],
        ["two", "more"],
        ["three", "more"],
    ]


def test_recordings_without_a_group_are_refused(tmp_path: Path) -> None:
    recordings(tmp_path)
    (tmp_path / "rows.csv").write_text("path,text,who\na.wav,one,x\nb.wav,two,\nc.wav,three,\n")
    with pytest.raises(DataError, match=r"the value for dataset\.group is missing"):
        load(str(tmp_path / "rows.csv"), group="who")


def test_recordings_without_any_transcript_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains recordings, but no transcripts"):
        load(str(recordings(tmp_path)))
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="is not utf-8: byte 0xff at 0"):
        load(str(tmp_path))


def strings(folder: Path, **more: object) -> spoken_strings.Data:
    return spoken_strings.load(str(folder), "{text}_{speaker}_{n}", words=(2, 3), separator=" ", **more)  # type: ignore[arg-type]


def test_no_recording_is_in_two_parts(tmp_path: Path) -> None:
    folder = write_tones(tmp_path / "tones", 64)
    data = strings(folder, same="speaker", test={"n": [0]}, val={"n": [1]}, repeats=3, block=4)
    assert data.groups is not None and data.parts is not None
    used: dict[str, list[tuple[str, int]]] = {}
    for row, files in enumerate(data.y.files):
        names = files.split(" ")
        assert len({name.split("_")[1] for name in names}) == 1
        assert data.y[[row]].values[0].as_py().split(" ") == [name.split("_")[0] for name in names]
        for name in names:
            used.setdefault(name, []).append((str(data.parts[row]), int(data.groups[row])))
    assert len(used) == 64
    for name, places in used.items():
        assert len(set(places)) == 1, name
        assert len(places) == (1 if places[0][0] in ("val", "test") else 3)
    again = strings(folder, same="speaker", test={"n": [0]}, val={"n": [1]}, repeats=3, block=4)
    assert again.fingerprint == data.fingerprint
    other = strings(folder, same="speaker", test={"n": [0]}, val={"n": [1]}, repeats=3, block=4, join_seed=1)
    assert other.fingerprint != data.fingerprint


def test_rows_are_the_recordings_one_after_the_other(tmp_path: Path) -> None:
    folder = write_tones(tmp_path / "tones", 16)
    data = strings(folder, pause=0.0)
    alone = lengths(folder)
    for row, files in enumerate(data.y.files):
        assert data.x.lengths[row] == sum(alone[name] for name in files.split(" "))
    assert data.groups is None
    paused = strings(folder, pause=0.5)
    assert paused.x.lengths.sum() > data.x.lengths.sum()


def lengths(folder: Path) -> dict[str, int]:
    return {file.name: (file.stat().st_size - 44) // 2 for file in folder.iterdir()}


def test_every_recording_is_used() -> None:
    for total in range(1, 40):
        rows = list(join(["pool"] * total, (3, 7), 2, 50, 0, 0))
        members = np.concatenate([row.members for row in rows])
        assert np.bincount(members).tolist() == [2] * total
        assert all(len(row.members) <= 7 + (total < 12) for row in rows)
        assert total < 3 or all(len(row.members) >= 3 for row in rows)


def test_settings_that_contradict_each_other(tmp_path: Path) -> None:
    folder = write_tones(tmp_path / "tones", 8)
    with pytest.raises(DataError, match="a row may have recordings of several values of speaker"):
        strings(folder, group="speaker")
    with pytest.raises(DataError, match="has no field word"):
        strings(folder, text="word")
    with pytest.raises(DataError, match="the smallest number, 5, exceeds the largest, 3"):
        spoken_strings.load(str(folder), "{text}_{speaker}_{n}", words=(5, 3))
