"""`dlcli export`: write a run's network to a file for use without dlcli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dlcli.errors import InputError
from dlcli.exporting.bundle import Bundled, export_bundle
from dlcli.exporting.export_decoding import export_decoding
from dlcli.exporting.export_generator import export_generator
from dlcli.exporting.export_network import Exported, export_network
from dlcli.runner import runs_directory
from dlcli.runs.ensembles import Use, open_model
from dlcli.tasks.generate import Generate


def export(
    run: str,
    output: Path,
    overrides: Sequence[str] = (),
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    use: Use | None = None,
) -> Exported:
    """Write a run's network as a file for use without dlcli; `overrides` contain the current location of the data."""
    found = open_model(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides, use=use)
    if isinstance(found.model.task, Generate):
        exported = export_generator(found.run, found.model, output)
    else:
        found.model.check_predicts_rows()
        write = export_decoding if found.model.task.outputs_of == "text" else export_network
        exported = write(found.run, found.model, output, overrides)
    return replace(exported, messages=tuple(dict.fromkeys((*found.notes, *exported.messages))))


def bundle(
    run: str,
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    use: Use | None = None,
) -> Bundled:
    """Write a folder that predicts raw rows without dlcli; `overrides` contain the current location of the data."""
    found = open_model(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides, use=use)
    if isinstance(found.model.task, Generate):
        name = type(found.model.network.model).__name__
        hint = f"Export the program that makes them: dlcli export {run} --output images.onnx"
        raise InputError(f"{name} makes images, and a bundle predicts rows", "--bundle", hint)
    found.model.check_predicts_rows()
    exported = export_bundle(found.run, found.model, folder, overrides)
    return replace(exported, messages=tuple(dict.fromkeys((*found.notes, *exported.messages))))
