"""Recordings and their transcripts: tables, LJSpeech's and LibriSpeech's lists, and text files beside recordings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path, PurePosixPath

import pandas as pd

from dlcli.config.suggest import choices
from dlcli.datasets.audio.audio_decoder import audio_suffixes
from dlcli.datasets.folders.archives import is_archive
from dlcli.datasets.folders.class_folders import list_files
from dlcli.datasets.folders.part_words import part_of
from dlcli.datasets.folders.path_groups import groups_of_names
from dlcli.datasets.folders.stored import FileEntry, Stored
from dlcli.datasets.folders.tree import suffix_of
from dlcli.datasets.images.path_tables import groups_of_column, image_entries, read_paths, split_parts
from dlcli.datasets.notices import Notice
from dlcli.datasets.plain_text import not_decoded
from dlcli.datasets.tables.read_table import is_table
from dlcli.errors import DataError
from dlcli.files.paths import is_file, is_folder

# Columns of transcripts that need not be named, and names of a first field that are those of a header.
_TEXTS = ("text", "transcript", "transcription", "sentence", "normalized_text")
_HEADERS = frozenset({"file", "file_name", "path", "audio", "id", "wav", "filename"})
# Words of other names of such a column, as in `audio_path` and `wav_filename`.
_HEADER_WORDS = _HEADERS | {"name", "filepath", "wave", "flac", "recording", "clip", "utterance"}

# Ends of the names of lists: a line is the name of a recording and, after a blank, its transcript.
_LISTS = (".trans.txt",)


@dataclass(eq=False)
class Transcribed:
    """Recordings with their transcripts, before they are read.

    Attributes:
        entries: the recordings.
        texts: their transcripts.
        places: where each transcript is written, for messages.
        parts: train, val or test of each recording, or "".
        groups: the group of each recording; None without groups.
        bad: places and reasons of transcripts without recordings, and of recordings without transcripts.
        notices: what was left out.
    """

    entries: list[Stored] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    groups: list[str] | None = None
    bad: list[tuple[str, str]] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def add(self, entry: Stored, text: str, place: str) -> None:
        """Add a recording."""
        self.entries.append(entry)
        self.texts.append(text)
        self.places.append(place)


def list_transcribed(
    place: Path, text: str | None, audio: str | None, split: str | None, group: str | None, encoding: str
) -> Transcribed:
    """List recordings with their transcripts.

    Args:
        place: a table, a list, or a folder or archive of recordings with a list or text files.
        text: a table's column of transcripts; None for a usual name.
        audio: a table's column of paths; None for the first one.
        split: a table's column with train, val or test.
        group: a table's column, or for others a regular expression whose first group in a name is its group.
        encoding: encoding of text files.

    Raises:
        DataError: there are no recordings, or no transcripts.
    """
    metadata = place / "metadata.csv"
    if is_file(place) and not is_archive(place) and is_table(place):
        if not _is_list(place, encoding):
            return _of_table(place, text, audio, split, group)
        files, notices = list_files(place.parent, audio_suffixes(), "recordings")
        lists: list[Stored] = [FileEntry(place.name, str(place), 0, place.stat().st_size)]
    elif is_folder(place) and is_file(metadata) and not _is_list(metadata, encoding):
        return _of_table(metadata, text, audio, split, group)
    else:
        wanted = {*audio_suffixes(), ".txt", ".csv"}
        both, notices = list_files(place, wanted, "recordings and transcripts")
        files = [file for file in both if suffix_of(file.name) in audio_suffixes()]
        lists = [file for file in both if suffix_of(file.name) not in audio_suffixes()]
        if not files:
            raise DataError("contains no recordings", str(place), "Give a folder with .wav files.")
    found = Transcribed(notices=list(notices))
    lined = [
        one for one in lists if one.name.endswith(_LISTS) or PurePosixPath(one.name).name == "metadata.csv"
    ]
    if is_file(place) and not is_archive(place):
        lined = lists
    if lined:
        _add_lines(found, files, lined, encoding)
    else:
        _add_beside(found, files, [one for one in lists if suffix_of(one.name) == ".txt"], encoding, place)
    found.parts = _parts(found.entries)
    if group:
        found.groups = groups_of_names(found.entries, group)
    return found


def _of_table(
    file: Path, text: str | None, audio: str | None, split: str | None, group: str | None
) -> Transcribed:
    columns = [str(name) for name in read_paths(file, audio).frame.columns]
    lower = {name.lower(): name for name in reversed(columns)}
    text = text or next((lower[name] for name in _TEXTS if name in lower), None)
    if text is None:
        raise DataError("the column of transcripts is not given", "dataset.text", choices(columns))
    source = read_paths(file, audio, (text, split, group))
    source.require([text], "dataset.text")
    source.require([split] if split else [], "dataset.split")
    source.require([group] if group else [], "dataset.group")
    entries, notices = image_entries(source, audio, "dataset.audio", audio_suffixes())
    texts = ["" if pd.isna(cell) else str(cell) for cell in source.frame[text]]
    return Transcribed(
        entries,
        texts,
        [source.place(row, text) for row in range(len(texts))],
        split_parts(source, split),
        groups_of_column(source, group),
        notices=list(notices),
    )


def _is_list(file: Path, encoding: str) -> bool:
    """Return whether a file has lines such as `LJ001-0001|text|normalized text`, or those of a `.trans.txt`."""
    if file.name.endswith(_LISTS):
        return True
    with file.open(encoding=encoding, errors="replace") as lines:
        first = lines.readline().lstrip("\ufeff")
    name, *more = (field.strip().lower() for field in first.split("|"))
    words = re.split(r"[\s_-]+", name)
    names_column = set(words) <= _HEADER_WORDS and (len(words) > 1 or bool({*more} & {*_TEXTS}))
    return bool(more) and name not in _HEADERS and not names_column


def _add_lines(found: Transcribed, files: Sequence[Stored], lists: Sequence[Stored], encoding: str) -> None:
    """Add the recordings that lists of names and transcripts name, and what is named or transcribed only."""
    by_path, by_name = _by_name(files)
    used: set[str] = set()
    for one in lists:
        for place, name, text in _lines(one, encoding):
            stem = str(PurePosixPath(one.name).parent / name).removeprefix("./")
            entry = (
                by_path.get(stem) or by_path.get(_stem(stem)) or by_name.get(PurePosixPath(_stem(name)).name)
            )
            entry = entry or by_name.get(PurePosixPath(name).name)
            if entry is None:
                found.bad.append((place, f"there is no recording {name}"))
            elif entry.name in used:
                found.bad.append((place, f"the recording {name} has another transcript"))
            else:
                used.add(entry.name)
                found.add(entry, text, place)
    found.bad += [(file.where, "has no transcript") for file in files if file.name not in used]


def _lines(one: Stored, encoding: str) -> Iterator[tuple[str, str, str]]:
    """Yield place, name of the recording, and transcript: the last field of a line that is not empty."""
    # Other line breaks of Unicode, such as U+2028, are parts of transcripts.
    for number, line in enumerate(StringIO(_text_of(one, encoding), newline=None), start=1):
        if not line.strip():
            continue
        if one.name.endswith(_LISTS):
            name, _, text = line.strip().partition(" ")
        else:
            name, *fields = (part.strip() for part in line.split("|"))
            text = next((part for part in reversed(fields) if part), "")
        yield f"{one.where}:{number}", name, text


def _add_beside(
    found: Transcribed, files: Sequence[Stored], texts: Sequence[Stored], encoding: str, place: Path
) -> None:
    """Add recordings with a text file of the same name beside them."""
    beside = {_stem(one.name): one for one in texts}
    if not any(_stem(file.name) in beside for file in files):
        raise DataError(
            "contains recordings, but no transcripts",
            str(place),
            "Give a table with a column of paths and one of texts, a folder with metadata.csv (id|text), or text files "
            "next to the recordings: one.wav and one.txt.",
        )
    for file in files:
        own = beside.pop(_stem(file.name), None)
        if own is None:
            found.bad.append((file.where, "has no transcript: there is no text file of its name"))
        else:
            found.add(file, _text_of(own, encoding), own.where)
    if beside:
        names = sorted(one.name for one in beside.values())
        text = f"{len(names):,} text files without a recording of their name left out: {', '.join(names[:3])}"
        found.notices.append(Notice("loose_texts", len(names), text, str(place)))


def _text_of(one: Stored, encoding: str) -> str:
    content = one.read()
    try:
        return content.decode(encoding).lstrip("\ufeff")
    except LookupError as error:
        raise DataError(f"there is no encoding {encoding}", "dataset.encoding") from error
    except UnicodeDecodeError as error:
        raise not_decoded(content, error, one.where, encoding) from error


def _stem(name: str) -> str:
    """Return a path without the ending of a recording or a text."""
    return name[: -len(suffix_of(name))] if suffix_of(name) in {*audio_suffixes(), ".txt"} else name


def _by_name(files: Sequence[Stored]) -> tuple[dict[str, Stored], dict[str, Stored]]:
    """Return the recordings by their path without its ending, and those whose name occurs once by their name."""
    by_path = {_stem(file.name): file for file in files}
    names = pd.Series([PurePosixPath(stem).name for stem in by_path])
    once = ~names.duplicated(keep=False)
    by_name = {name: file for name, file, alone in zip(names, by_path.values(), once, strict=True) if alone}
    return by_path, by_name


def _parts(entries: Sequence[Stored]) -> list[str]:
    """Return the part of each recording, if a folder above all of them names parts; else ""."""
    folders = [PurePosixPath(entry.name).parts[:-1] for entry in entries]
    for depth in range(min(map(len, folders), default=0)):
        parts = [part_of(own[depth]) for own in folders]
        if all(parts) and len(set(parts)) > 1:
            return [str(part) for part in parts]
    return [""] * len(entries)
