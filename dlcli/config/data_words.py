"""Words of a command that name a file or a folder of data, and the dataset that reads it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dlcli.config.pasted import assignment

_TABLES = (
    ".csv",
    ".tsv",
    ".parquet",
    ".feather",
    ".arrow",
    ".json",
    ".jsonl",
    ".ndjson",
    ".xlsx",
    ".xls",
    ".txt",
    ".gz",
)
_TAGS = (".conll", ".conllu", ".bio", ".iob", ".iob2")

_HEAD = 1 << 16  # bytes of a file


def is_data(value: str) -> bool:
    """Return whether a word names a file or a folder of data."""
    if value.lower().endswith((*_TABLES, *_TAGS)):
        return True
    return os.sep in value and Path(value).exists() and not _is_run(Path(value))


def data_meant(value: str) -> list[str]:
    """Return the overrides that read a file or a folder of data."""
    path = Path(value)
    if path.is_dir():
        dataset = "image_folder"
    elif value.lower().endswith(_TAGS):
        dataset = "tags"
    else:
        dataset = "squad" if value.lower().endswith(".json") and _has_questions(path) else "table"
    return [assignment("dataset", dataset), assignment("dataset.path", value)]


def described_images(value: str) -> list[str]:
    """Return the overrides that read the images and boxes of which a YAML file of yolo tells the folder.

    Of a file that is not there, such as those that yolo downloads, the folder of its name.
    """
    file = Path(value)
    folder = file.parent if file.is_file() else file.with_suffix("")
    named = re.search(r"^path:\s*[\"']?([^\"'#\n]+)", _head(file).decode(errors="replace"), re.MULTILINE)
    if named and (place := file.parent / named[1].strip()).is_dir():
        folder = place
    return ["dataset=detection", assignment("dataset.path", str(folder))]


def _is_run(folder: Path) -> bool:
    """Return whether a folder is a run's folder, which `dlcli show` accepts."""
    return any((folder / place / "ledger.json").is_file() for place in (".", "artifacts"))


def _has_questions(file: Path) -> bool:
    """Return whether a JSON file begins like SQuAD's; tables that pandas has written also have the key `data`."""
    head = _head(file)
    return bool(re.search(rb'"data"\s*:\s*\[', head) and re.search(rb'"(paragraphs|qas)"\s*:\s*\[', head))


def _head(file: Path) -> bytes:
    """Return the first bytes of a file; nothing if it cannot be read."""
    try:
        if not file.is_file():
            return b""
        with file.open("rb") as opened:
            return opened.read(_HEAD)
    except OSError:
        return b""
