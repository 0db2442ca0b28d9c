"""Opening what the library `datasets` reads: local files, or a name on the hub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dlcli.config.suggest import hint, near_files, question
from dlcli.datasets.class_folders import PARTS, Entry, Stored
from dlcli.errors import DataError, first_line
from dlcli.files.paths import typed

if TYPE_CHECKING:
    from datasets import Dataset

# Which of the library's readers is for a single file.
_READERS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
}


# A name on the hub, with its owner's or without.
_HUB = re.compile(r"[\w.-]+(/[\w.-]+)?")

# Seconds in which the hub answers, if it can be reached.
_PATIENCE = 10.0


def open_parts(
    path: str, name: str | None, revision: str | None, cache_dir: str | None
) -> dict[str, Dataset]:
    """The splits by what they are for: train, val, test; a single one, whatever its name, is train.

    Args:
        path: a folder or file; what is not there, and could be one, is a name on the hub.
        name: of one of several datasets that are there.
        revision: of a dataset on the hub.
        cache_dir: where the library keeps things.

    Raises:
        DataError: the library is missing, there is no such data, or it cannot be fetched.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            "dataset=hf needs the library datasets", "dataset", "Install it: pip install 'dlcli[hf]'"
        ) from error
    place = typed(path)
    if place.exists() or not _HUB.fullmatch(path) or place.suffix.lower() in _READERS:
        opened = _local(place, name, cache_dir)
    else:
        opened = _hub(path, name, revision, cache_dir)
    splits = {"train": opened} if isinstance(opened, datasets.Dataset) else dict(opened)
    return _by_part(splits, path)


def _by_part(splits: Mapping[str, Any], where: str) -> dict[str, Dataset]:
    parts = {PARTS[name]: split for name, split in splits.items() if name in PARTS and len(split)}
    if not parts and len(splits) == 1:
        parts = {"train": next(iter(splits.values()))}
    if not parts.get("train"):
        raise DataError(
            f"has no split to train on; it has {', '.join(splits) or 'none'}",
            where,
            "A split called train is wanted, and validation and test where there are any.",
        )
    return parts


def _local(path: Path, name: str | None, cache_dir: str | None) -> Any:
    import datasets

    if not path.exists():
        raise DataError(
            "there is no such file or folder", str(path), hint(_near(path), "dataset.path names it.")
        )
    try:
        if any((path / file).is_file() for file in ("dataset_dict.json", "state.json")):
            return datasets.load_from_disk(str(path))
        if path.is_dir():
            return datasets.load_dataset(str(path), name, cache_dir=cache_dir)
        reader = _READERS.get(path.suffix.lower())
        if reader is not None:
            return datasets.load_dataset(reader, data_files=str(path), cache_dir=cache_dir)
    except Exception as error:  # a reader fails in as many ways as a file can be damaged
        # What a reader met is the cause; around it stands that the dataset could not be made.
        reason = first_line(error.__cause__ or error)
        told = "dataset=table and dataset=text read such files, too, and name the row that is wrong."
        anew = told if path.suffix.lower() in (".csv", ".json", ".jsonl") else "Copy it anew."
        raise DataError(f"cannot be read: {reason}", str(path), anew) from error
    raise DataError(
        f"{path.suffix or path.name} is no format that is read here",
        str(path),
        f"A folder, or a file: {', '.join(_READERS)}.",
    )


def _near(path: Path) -> str:
    """What may have been meant instead of a place that is not there."""
    there = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    return question(near_files(path.name, there))


def _hub(repo: str, name: str | None, revision: str | None, cache_dir: str | None) -> Any:
    import datasets

    try:
        with _patient(repo):
            return datasets.load_dataset(repo, name, revision=revision, cache_dir=cache_dir)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise DataError(
            f"there is no {repo} here, and the hub has no such dataset, or does not show it to you",
            "dataset.path",
            hint(_near(Path(repo)), "Look the name up; for one that is not public, log in: hf auth login"),
        ) from error
    except (ConnectionError, OSError) as error:
        raise DataError(
            f"there is no {repo} here, nor in the cache, and the hub cannot be reached: {first_line(error)}",
            "dataset.path",
            hint(
                _near(Path(repo)),
                f"Where there is a network: hf download {repo} --repo-type dataset --local-dir FOLDER; "
                "bring the folder here, and give dataset.path=FOLDER. The cache is "
                f"{cache_dir or datasets.config.HF_DATASETS_CACHE}; HF_HOME names another.",
            ),
        ) from error
    except ValueError as error:  # such as several subsets, of which none was chosen: they are in its words
        raise DataError(" ".join(str(error).split()), "dataset.name", "Give dataset.name=NAME.") from error


@contextmanager
def _patient(repo: str) -> Iterator[None]:
    """Have the library look into its cache alone where the hub does not answer: it would ask half a minute long."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or not _answers(repo)
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _answers(repo: str) -> bool:
    """Whether the hub says anything, were it that there is no such dataset."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        HfApi().dataset_info(repo, timeout=_PATIENCE)
    except (HfHubHTTPError, HFValidationError):
        return True
    except Exception:  # no network, no name server, a proxy in between: each fails in its own way
        return False
    return True


@dataclass(frozen=True, eq=False)
class Cell:
    """The bytes of one cell, which lie in memory that is mapped from a file."""

    name: str
    column: pa.ChunkedArray
    row: int
    size: int

    @property
    def where(self) -> str:
        """The place of the row."""
        return self.name

    def read(self, most: int | None = None) -> bytes:
        """The bytes, or the first `most` of them."""
        content = self.column[self.row].as_buffer()
        if content is None:
            return b""
        return content.slice(0, self.size if most is None else min(most, self.size)).to_pybytes()


def stored_images(column: pa.ChunkedArray, place: str) -> list[Stored]:
    """The images of a column of structures (`bytes`, `path`), as the library has them: inside, or in files."""
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
        return Entry(path, path, 0, file.stat().st_size if file.is_file() else 0)
    return Cell(f"{place}, row {row + 1}", content, row, size or 0)
