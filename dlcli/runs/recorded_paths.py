"""Paths that a run has recorded, as they are once its runs folder lies elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlcli.datasets.raw_rows import DATA_PATHS


def relocated(config: Mapping[str, Any], then: Path, runs_dir: Path) -> tuple[dict[str, Any], list[str]]:
    """A run's configuration with its paths as they are now, and a sentence for each that has changed.

    A project is moved or copied as a whole: what lay beside the runs folder lies beside it again. Where nothing lies
    there, the recorded path stays, but for `dataset.root` in the project, to which data may be written: never to
    another project's.

    Args:
        config: as it was recorded.
        then: the runs folder at that time.
        runs_dir: the runs folder now.
    """
    found: dict[str, Any] = {**config, "runs_dir": str(runs_dir)}
    told: list[str] = []
    if then == runs_dir:
        return found, told
    for section, keys in (("dataset", DATA_PATHS), ("model", ("weights",))):
        values = config.get(section)
        if not isinstance(values, Mapping):
            continue
        for key in keys:
            was = values[key] if isinstance(values.get(key), str) else ""
            now = moved_path(was, then, runs_dir, is_made=key == "root")
            if now != was:
                found[section] = {**found[section], key: now}
                told.append(f"{section}.{key} is {now}, beside the runs folder; it was {was}.")
    return found, told


def recorded_in(config: Mapping[str, Any], former: str | None, runs_dir: Path) -> Path:
    """The runs folder of when a configuration was written: as it says, or as ledgers of before said.

    It is `runs_dir` where neither is known.
    """
    then = config.get("runs_dir")
    if isinstance(then, str) and Path(then).is_absolute():
        return Path(then)
    return Path(former) if former else runs_dir


def moved_path(path: str, then: Path, now: Path, *, is_made: bool = False) -> str:
    """An absolute path from when the runs folder was `then`, as it is with the runs folder `now`.

    `is_made`: what it names is made where it is missing.
    """
    if not Path(path).is_absolute():
        return path
    there = os.path.normpath(now / os.path.relpath(path, then))
    if Path(there).exists() or (is_made and Path(path).is_relative_to(then.parent)):
        return there
    return path
