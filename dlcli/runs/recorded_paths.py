"""Translate a run's recorded paths after its runs folder was moved or copied."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlcli.datasets.raw_rows import DATA_PATHS


def relocated(config: Mapping[str, Any], then: Path, runs_dir: Path) -> tuple[dict[str, Any], list[str]]:
    """Return a run's configuration with current paths, and a sentence for each path that has changed.

    A project is moved or copied together with its data, so each path is interpreted relative to the runs folder. If
    nothing exists there, the recorded path is kept. The exception is a `dataset.root` within the project: data may be
    written there, so it must never be the folder of another project.

    Args:
        config: the recorded configuration.
        then: the runs folder at the time of recording.
        runs_dir: the current runs folder.
    """
    found: dict[str, Any] = {**config, "runs_dir": str(runs_dir)}
    notes: list[str] = []
    if then == runs_dir:
        return found, notes
    for section, keys in (("dataset", DATA_PATHS), ("model", ("weights",))):
        values = config.get(section)
        if not isinstance(values, Mapping):
            continue
        for key in keys:
            was = values[key] if isinstance(values.get(key), str) else ""
            now = moved_path(was, then, runs_dir, is_made=key == "root")
            if now != was:
                found[section] = {**found[section], key: now}
                notes.append(f"{section}.{key} is now {now}, relative to the runs folder; it was {was}.")
    return found, notes


def recorded_in(config: Mapping[str, Any], former: str | None, runs_dir: Path) -> Path:
    """Return the runs folder at the time a configuration was recorded.

    Args:
        config: the recorded configuration; earlier versions did not record the folder in it.
        former: the folder according to such an earlier version's ledger.
        runs_dir: returned if neither is known.
    """
    then = config.get("runs_dir")
    if isinstance(then, str) and Path(then).is_absolute():
        return Path(then)
    return Path(former) if former else runs_dir


def moved_path(path: str, then: Path, now: Path, *, is_made: bool = False) -> str:
    """Translate an absolute path from the runs folder `then` to the runs folder `now`.

    If nothing exists there, return the original path, unless `is_made` says that it is created when missing.
    """
    if not Path(path).is_absolute():
        return path
    moved = os.path.normpath(now / os.path.relpath(path, then))
    if Path(moved).exists() or (is_made and Path(path).is_relative_to(then.parent)):
        return moved
    return path
