"""`dlcli check`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from dlcli.cli.common import ConfDirs, Json, Overrides, RunsDir, session
from dlcli.console import amount, counted, duration

if TYPE_CHECKING:
    from dlcli.training.rehearsal import Rehearsal


def check(
    overrides: Overrides = None, conf_dir: ConfDirs = None, runs_dir: RunsDir = None, json: Json = False
) -> None:
    """Find every mistake without training, and say what the training would need.

    Reads configuration and data, trains a few batches that nobody records, and reports all mistakes at once (exit
    code 2), or else parameters, memory, time an epoch and disk.
    """
    with session(json) as terminal:
        from dlcli import runner

        found = runner.check(overrides or (), conf_dir or (), runs_dir=runs_dir)
        if json:
            terminal.document({"status": "OK", **asdict(found)})
            return
        terminal.panel("dlcli check", _rows(found))
        terminal.note("No mistake was found.")


def _rows(found: Rehearsal) -> dict[str, str]:
    trains = "" if found.trainable == found.parameters else f", {found.trainable:,} train"
    memory = ", ".join(f"{what} {amount(size)}" for what, size in found.memory.items())
    return {
        "parameters": f"{found.parameters:,}{trains}",
        "device": found.device,
        "memory": f"{amount(sum(found.memory.values()))} ({memory})",
        "epoch": f"about {duration(found.seconds_per_epoch)}, {counted(found.steps_per_epoch, 'step')}",
        "disk": f"{amount(found.disk)} for checkpoints, {amount(found.disk_peak)} while they are written",
    }
