"""`dlcli export`: write a run's network to a file that needs no dlcli."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlcli.exporting.bundle import Bundled, export_bundle
from dlcli.exporting.export import Exported, export_network
from dlcli.runner import runs_directory
from dlcli.runs.folder import open_run


def export(
    run: str,
    output: Path,
    overrides: Sequence[str] = (),
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
) -> Exported:
    """Write a run's network as a file that needs no dlcli; `overrides` say where the run's rows are now."""
    opened = open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
    return export_network(opened, opened.load_model(), output, overrides)


def bundle(
    run: str,
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
) -> Bundled:
    """Write a folder that predicts raw rows without dlcli; `overrides` say where the run's rows are now."""
    opened = open_run(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
    return export_bundle(opened, opened.load_model(), folder, overrides)
