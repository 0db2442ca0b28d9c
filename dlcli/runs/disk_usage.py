"""Disk usage of a runs folder: of each run, and of other files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dlcli.files.unfinished import list_abandoned
from dlcli.runs.inventory import ListedRun, size_on_disk
from dlcli.tracking.connection import DATABASE
from dlcli.tracking.places import FEATURES_DIR
from dlcli.tracking.trash import TRASH

# Name of a file or folder in a run's folder to its kind; all others are `other`.
_KINDS = {
    "checkpoints": "checkpoints",
    "model": "model",
    "outputs.npz": "outputs",
    "predictions.parquet": "outputs",
    "plots": "pictures",
}
KINDS = ("checkpoints", "model", "outputs", "pictures", "other")


@dataclass(frozen=True)
class Usage:
    """Disk usage of a run and its child runs, in bytes by kind of file."""

    run: ListedRun
    sizes: dict[str, int]


def usage_of(run: ListedRun) -> Usage:
    """Return the disk usage of a run and its child runs."""
    sizes = dict.fromkeys(KINDS, 0)
    for part in run.all():
        counted = 0
        for path, size in _entries(part.folder):
            kind = _KINDS.get(path.name, "other")
            sizes[kind] += size
            counted += size
        # Files beside `artifacts`, and the blocks of the folders themselves.
        sizes["other"] += max(0, size_on_disk(part.folder.parent) - counted)
    return Usage(run, sizes)


def beside_the_runs(runs_dir: Path) -> dict[str, int]:
    """Return the bytes of everything other than runs: store, cached features, trash, abandoned temporary files."""
    store = 0
    for file in runs_dir.glob(f"{DATABASE}*"):
        with suppress(OSError):
            store += file.lstat().st_blocks * 512
    return {
        "MLflow's store": store,
        "cached features": size_on_disk(runs_dir / FEATURES_DIR),
        "trash": sum(map(size_on_disk, _subfolders(runs_dir / TRASH))),
        "temporary files": sum(size_of(place) for place in temporary_files(runs_dir)),
    }


def temporary_files(runs_dir: Path) -> Iterator[Path]:
    """Yield the temporary files that killed processes have left. Links are not followed."""
    level = [runs_dir]
    for _ in range(5):  # the runs folder, experiments, runs, artifacts, and their subfolders
        for folder in level:
            yield from list_abandoned(folder)
        level = [below for folder in level for below in _subfolders(folder)]


def size_of(place: Path) -> int:
    """Return the bytes on disk of a file or a folder."""
    try:
        if place.is_dir() and not place.is_symlink():
            return size_on_disk(place)
        return place.lstat().st_blocks * 512
    except OSError:
        return 0


def _entries(folder: Path) -> Iterator[tuple[Path, int]]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        yield path, size_of(path)


def _subfolders(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
