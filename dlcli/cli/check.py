"""`dlcli check`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dlcli.cli.common import ConfDirs, Json, Overrides, RunsDir, session
from dlcli.formatting import amount, counted, duration

if TYPE_CHECKING:
    from dlcli.checks.profile import Profile
    from dlcli.training.rehearsal import Rehearsal

# Maximum numbers of columns and classes that are shown.
_COLUMNS, _CLASSES = 40, 12


def check(
    overrides: Overrides = None,
    conf_dir: ConfDirs = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time", metavar="TIME", help="With effort=best: the time of the search: 90s, 30m, 2h."
        ),
    ] = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Find all mistakes without training, and estimate what training needs.

    Reads configuration and data, trains on a few batches without recording them, and reports all mistakes together
    (exit code 2). If there are none, it describes the data, warns of problems that make results misleading, and
    estimates memory, disk space and the time of an epoch.
    """
    with session(json, supervised=True) as terminal:
        from dlcli.config.pasted import override
        from dlcli.runner import check as runner

        asked = [*(overrides or ()), *([override("sweep.timeout", time)] if time is not None else [])]
        found, data = runner.check(asked, conf_dir or (), runs_dir=runs_dir)
        if json:
            terminal.document({"status": "OK", **asdict(found), "data": asdict(data)})
            return
        terminal.panel(data.name, _figures(data))
        terminal.panel("dlcli check", _rows(found))
        for warning in data.warnings:
            terminal.warning(str(warning), asked_for=True)
        also = f"; {counted(len(data.warnings), 'warning')}" if data.warnings else ""
        terminal.note(f"No mistake was found{also}.")


def _figures(data: Profile) -> dict[str, str]:
    """Return the lines of the panel about the data: rows, classes or targets, and the first columns of a table."""
    rows = {"data": f"{data.rows:,} {data.rows_are}"} | ({"note": data.note} if data.note else {})
    if data.classes:
        shown = [f"{name} {count:,}" for name, count in list(data.classes.items())[:_CLASSES]]
        more = f", ... ({len(data.classes)} in all)" if len(data.classes) > _CLASSES else ""
        rows["classes"] = ", ".join(shown) + more
    rows |= {f"target {target.name}": target.describe() for target in data.targets}
    rows |= {column.name: column.describe() for column in data.columns[:_COLUMNS]}
    rows |= {f"left out: {name}": why for name, why in data.left_out.items()}
    rows |= {f"read: {name}": how for name, how in data.read.items()}
    rows |= {
        f"unseen: {name}": f"{count:,} validation or test rows have a category that does not occur in training"
        for name, count in data.unseen.items()
    }
    if len(data.columns) > _COLUMNS:
        rows["..."] = f"{len(data.columns) - _COLUMNS:,} more columns: --json has them all"
    return rows


def _rows(found: Rehearsal) -> dict[str, str]:
    trains = "" if found.trainable == found.parameters else f" ({found.trainable:,} train)"
    memory = ", ".join(f"{what} {amount(size)}" for what, size in found.memory.items())
    features = {}
    if found.features_bytes:
        time, room = duration(found.features_seconds), amount(found.features_bytes)
        features["features"] = f"about {time} before the first epoch, once; {room} on the disk"
    reading = "; ".join(notice.text for notice in found.notices if not notice.warns)
    folds = f"; {amount(found.runs * found.disk)} for {found.runs} runs" if found.runs > 1 else ""
    return {
        **({"reading": reading} if reading else {}),
        **({"model": found.model} if found.model else {"parameters": f"{found.parameters:,}{trains}"}),
        **{key.rpartition(".")[2]: f"auto: {told}" for key, told in found.automatic.items()},
        "device": found.device,
        "memory": f"{amount(sum(found.memory.values()))} ({memory})",
        **features,
        **(
            {"judge": f"{_about(found.judge_seconds)} to train it before the first epoch"}
            if found.judge_seconds
            else {}
        ),
        **({"batches": found.batches} if found.batches else {}),
        "epoch": f"{_about(found.seconds_per_epoch)}, {counted(found.steps_per_epoch, 'step')}",
        **(
            {
                "after": f"{_about(found.images * found.seconds_per_row)} to make {counted(found.images, 'image')}"
            }
            if found.images
            else {}
        ),
        "disk": f"{amount(found.disk)} for checkpoints, {amount(found.disk_peak)} while they are written{folds}",
    }


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}" if seconds >= 0.1 else "less than 0.1 s"
