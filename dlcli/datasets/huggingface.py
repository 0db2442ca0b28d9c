"""Open datasets with the library `datasets`, from local files or the hub. This module requires the library."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Dataset, Image
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from dlcli.config.pasted import pasted
from dlcli.config.suggest import hint, near_files, question
from dlcli.datasets.folders.part_words import part_of
from dlcli.datasets.folders.stored import FileEntry, Stored
from dlcli.datasets.tables.json_lines import check_rows
from dlcli.errors import DataError, first_line
from dlcli.files.paths import is_file, typed
from dlcli.formatting import shell_line
from dlcli.gate.gate import may_download

# The library's reader for a single file, by suffix.
_READERS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
}


# A name on the hub, with or without the owner.
_HUB = re.compile(r"[\w.-]+(/[\w.-]+)?")

# Timeout in seconds for checking whether the hub can be reached.
_TIMEOUT = 10.0


def open_parts(
    path: str, name: str | None, revision: str | None, cache_dir: str | None
) -> tuple[dict[str, Dataset], list[str]]:
    """Return the splits as train, val and test, and the names of others; a single split is train, whatever its name.

    Args:
        path: a folder or file; if it does not exist and is a valid name, a dataset on the hub.
        name: configuration name, if there are several datasets.
        revision: branch, tag or commit of a dataset on the hub.
        cache_dir: cache folder of the library.

    Raises:
        DataError: the data does not exist, or it cannot be downloaded.
    """
    place = typed(path)
    if place.exists() or not _HUB.fullmatch(path) or place.suffix.lower() in _READERS:
        opened = _local(place, name, cache_dir)
    else:
        opened = _hub(path, name, revision, cache_dir)
    splits = {"train": opened} if isinstance(opened, datasets.Dataset) else dict(opened)
    return _by_part(splits, path)


def _by_part(splits: Mapping[str, Any], where: str) -> tuple[dict[str, Dataset], list[str]]:
    parts: dict[str, Any] = {}
    for name, split in splits.items():
        part = part_of(name) if len(split) else None
        if part in parts:
            raise DataError(
                f"has two splits of {part} rows: {', '.join(n for n in splits if part_of(n) == part)}",
                where,
                "Leave one out, or rename it.",
            )
        if part is not None:
            parts[part] = split
    if not parts and len(splits) == 1:
        return {"train": next(iter(splits.values()))}, []
    if not parts.get("train"):
        raise DataError(
            f"has no training split; its splits are: {', '.join(splits) or 'none'}",
            where,
            "Name the splits train and, optionally, validation and test.",
        )
    return parts, [name for name, split in splits.items() if len(split) and part_of(name) is None]


def _local(path: Path, name: str | None, cache_dir: str | None) -> Any:
    if not path.exists():
        raise DataError(
            "there is no such file or folder", str(path), hint(_near(path), "Check dataset.path.")
        )
    for file in [path] if path.is_file() else path.rglob("*.json*"):
        if _READERS.get(file.suffix.lower()) == "json" and is_file(file):
            check_rows(file)
    try:
        if any((path / file).is_file() for file in ("dataset_dict.json", "state.json")):
            return datasets.load_from_disk(str(path))
        if path.is_dir():
            return datasets.load_dataset(str(path), name, cache_dir=cache_dir)
        reader = _READERS.get(path.suffix.lower())
        if reader is not None:
            return datasets.load_dataset(reader, data_files=str(path), cache_dir=cache_dir)
    except Exception as error:  # readers raise various exceptions for damaged files
        # The cause is the reader's own error; the outer one only says that the dataset could not be generated.
        reason = first_line(error.__cause__ or error)
        by_row = "Read it with dataset=table or dataset=text, whose errors name the row."
        advice = by_row if path.suffix.lower() in (".csv", ".json", ".jsonl") else "Copy it again."
        raise DataError(f"cannot be read: {reason}", str(path), advice) from error
    raise DataError(
        f"{path.suffix or path.name} is not a supported format",
        str(path),
        f"Give a folder, or a file with one of the suffixes {', '.join(_READERS)}.",
    )


def _near(path: Path) -> str:
    """Return a question that suggests similar names for a missing path."""
    names = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    return question(near_files(path.name, names))


def _hub(repo: str, name: str | None, revision: str | None, cache_dir: str | None) -> Any:
    try:
        with _offline_if_unreachable(repo):
            return datasets.load_dataset(repo, name, revision=revision, cache_dir=cache_dir)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(
            f"there is no local {repo}, and no such dataset on the hub, or no access to it",
            "dataset.path",
            hint(_near(Path(repo)), "Check the name; for a private dataset, log in: hf auth login"),
        ) from error
    except (ConnectionError, OSError) as error:
        if not may_download():
            raise DataError(
                f"{repo} is neither a local path nor in the cache, and only a run's folder names it",
                "dataset.path",
                f"Download it: {_download(repo)}; then give {pasted('dataset.path', _folder(repo))}. Or, if you trust "
                "the run, add --trust.",
            ) from error
        raise DataError(
            f"{repo} is neither a local path nor in the cache, and the hub cannot be reached: {first_line(error)}",
            "dataset.path",
            hint(
                _near(Path(repo)),
                f"On a machine with network access run: {_download(repo)}; then copy the folder here, and give "
                f"{pasted('dataset.path', _folder(repo))}. The cache is "
                f"{cache_dir or datasets.config.HF_DATASETS_CACHE}; HF_HOME sets another one.",
            ),
        ) from error
    except ValueError as error:  # such as a missing configuration name; the message lists the names
        text = " ".join(str(error).split())
        first = re.search(r"available configs: \[(['\"])(.+?)\1", text)
        example = pasted("dataset.name", first[2]) if first else "dataset.name=NAME"
        raise DataError(text, "dataset.name", f"Give one of its names, such as {example}") from error


def _folder(repo: str) -> str:
    """Return the folder into which messages propose to download a dataset."""
    return repo.partition("@")[0].rstrip("/").rpartition("/")[2]


def _download(repo: str) -> str:
    return shell_line("hf", "download", repo, "--repo-type", "dataset", "--local-dir", _folder(repo))


@contextmanager
def _offline_if_unreachable(repo: str) -> Iterator[None]:
    """Make the library use only its cache if the hub does not respond or may not be asked.

    Otherwise the library would retry for half a minute.
    """
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or not may_download() or not _is_reachable(repo)
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _is_reachable(repo: str) -> bool:
    """Return whether the hub responds, even if only that there is no such dataset."""
    try:
        HfApi().dataset_info(repo, timeout=_TIMEOUT)
    except (HfHubHTTPError, HFValidationError):
        return True
    except Exception:  # network, DNS and proxy failures raise various exceptions
        return False
    return True


@dataclass(frozen=True, eq=False)
class Cell:
    """The bytes of one cell of a memory-mapped column."""

    name: str
    column: pa.ChunkedArray
    row: int
    size: int

    @property
    def where(self) -> str:
        """Place of the row, for messages."""
        return self.name

    def read(self, most: int | None = None) -> bytes:
        """Return all bytes, or the first `most`."""
        content = self.column[self.row].as_buffer()
        if content is None:
            return b""
        return content.slice(0, self.size if most is None else min(most, self.size)).to_pybytes()


def class_names(feature: object) -> tuple[str, ...] | None:
    """Return the names of a column of classes, or of lists of classes; None for other columns."""
    item = getattr(feature, "feature", feature)
    return tuple(item.names) if isinstance(item, ClassLabel) else None


def is_image(feature: object) -> bool:
    """Return whether a column contains images."""
    return isinstance(feature, Image)


def stored_images(column: pa.ChunkedArray, place: str) -> list[Stored]:
    """Return the images of the library's image column (structs of `bytes` and `path`), embedded or in files."""
    content = pa.chunked_array([chunk.field("bytes") for chunk in column.chunks], pa.binary())
    paths = [path for chunk in column.chunks for path in chunk.field("path").to_pylist()]
    sizes = pc.binary_length(content).to_pylist()
    return [
        _entry(content, row, path, size, place)
        for row, (path, size) in enumerate(zip(paths, sizes, strict=True))
    ]


def _entry(content: pa.ChunkedArray, row: int, path: str | None, size: int | None, place: str) -> Stored:
    if size is None and path:
        file = Path(path)
        return FileEntry(path, path, 0, file.stat().st_size if file.is_file() else 0)
    return Cell(f"{place}, row {row + 1}", content, row, size or 0)
