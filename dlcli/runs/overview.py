"""The contents of `dlcli runs show`."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dlcli.config.next_command import next_command, resume_command
from dlcli.config.plain_secrets import words_text
from dlcli.datasets.reading.columns import Columns
from dlcli.errors import CorruptRun
from dlcli.files.paths import is_file, is_folder
from dlcli.gate.seal import is_sealed
from dlcli.gate.vouching import CONF_DIRS_FILE, OVERRIDES_FILE, Claim
from dlcli.inference.columns_file import recorded_columns
from dlcli.result import Result
from dlcli.runs.folder import read_result
from dlcli.runs.inventory import duration_of, size_on_disk, time_of, with_true_status
from dlcli.runs.recorded import read_words
from dlcli.runs.registered_versions import RegisteredVersion, versions_by_run
from dlcli.sanitize.redact import redact
from dlcli.tracking.ledger import Ledger

_PICTURES = (".png", ".svg")

# Kinds of child runs, and the maximum levels of nesting.
_PARTS, _LEVELS = ("fold", "trial", "refit"), 5

# Words that Hydra does not read as text.
_NOT_TEXTS = {"true", "false", "null", "nan", "inf"}


@dataclass(frozen=True)
class Overview:
    """A run as `dlcli runs show` shows it.

    Attributes:
        ledger: the run's ledger.
        status: its status; KILLED if its process is gone.
        created_at: when it was created.
        duration: seconds that it took, with those before it was resumed, or until now; None if it has not started.
        result: its metrics and messages.
        files: name of each file or folder in the run's folder to its size in bytes.
        pictures: the folder with its pictures, which may be that of its parent; None if there are none.
        columns: description of the columns of its model; None if the model has none.
        repeat: the command that repeats it; None if the recorded overrides cannot be read.
        remarks: notes on files that could not be read, and on the command.
        registered: the versions of registered models that come from it.
    """

    ledger: Ledger
    status: str
    created_at: datetime | None
    duration: float | None
    result: Result
    files: dict[str, int]
    pictures: Path | None
    columns: Columns | None
    repeat: str | None
    remarks: tuple[str, ...]
    registered: tuple[RegisteredVersion, ...] = ()


def overview(run_dir: Path, now: datetime) -> Overview:
    """Return the overview of the run in a folder.

    Raises:
        CorruptRun: The ledger cannot be read. Other files that cannot be read are named in the remarks.
    """
    ledger, status = with_true_status(Ledger.load(run_dir))
    remarks: list[str] = []
    repeat = None
    try:
        repeat = _repeating(ledger, remarks)
    except CorruptRun as damage:
        remarks.append(f"The command that repeats the run is unknown: {_reason(damage)}.")
    return Overview(
        ledger,
        status,
        time_of(ledger.created_at),
        duration_of(ledger, status, now),
        _result(ledger, remarks),
        _files(run_dir),
        _pictures(ledger),
        _columns(run_dir / "model", remarks),
        repeat,
        tuple(remarks),
        tuple(versions_by_run(ledger.runs_dir).get(ledger.run_id, ())) if ledger.is_in_place else (),
    )


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder, by name."""
    with suppress(OSError):
        return sorted(file for file in folder.iterdir() if file.suffix in _PICTURES and is_file(file))
    return []


def _reason(damage: CorruptRun) -> str:
    return damage.problems[0].line


def _result(ledger: Ledger, remarks: list[str]) -> Result:
    try:
        return read_result(ledger.run_dir)
    except CorruptRun as damage:  # of a fold; the run's own metrics are those of its ledger
        remarks.append(f"A part of the run cannot be read: {_reason(damage)}.")
        alone = {name: value for name, value in ledger.result.items() if name not in ("folds", "chosen")}
        return Result.of(
            ledger,
            ledger.run_dir,
            status=ledger.status,
            values={name: ledger.metrics[name] for name in alone.get("metrics", ())},
            duration_s=alone.get("duration_s", 0.0),
            messages=tuple(alone.get("messages", ())),
        )


def _files(run_dir: Path) -> dict[str, int]:
    found = {}
    with suppress(OSError), os.scandir(run_dir) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    found[f"{entry.name}/"] = size_on_disk(Path(entry.path), of_contents=True)
                else:
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
    return dict(sorted(found.items()))


def _pictures(ledger: Ledger) -> Path | None:
    folders = [ledger.run_dir, *([ledger.sibling(ledger.parent_id)] if ledger.parent_id else [])]
    plots = (folder / "plots" for folder in folders)
    return next((folder for folder in plots if is_folder(folder) and pictures_in(folder)), None)


def _columns(model: Path, remarks: list[str]) -> Columns | None:
    if not is_file(model / "columns.json"):
        return None
    try:
        return recorded_columns(model)
    except CorruptRun as damage:
        remarks.append(f"The model's columns cannot be read: {_reason(damage)}.")
        return None


def repeating_command(ledger: Ledger) -> str | None:
    """Return the command that repeats a run; None if its recorded overrides cannot be read."""
    try:
        return _repeating(ledger, [])
    except CorruptRun:
        return None


def _repeating(ledger: Ledger, remarks: list[str]) -> str | None:
    """Return the command that repeats a run; for a child run, the command of its outermost parent."""
    whole = ledger
    for _ in range(_LEVELS):
        if whole.kind not in _PARTS or whole.parent_id is None:
            break
        whole = Ledger.load(whole.sibling(whole.parent_id))
    if whole is not ledger:
        remarks.append(f"It is a child run of {whole.run_name}, which the command repeats as a whole.")
    if whole.kind == "ensemble":
        return redact(resume_command(whole))
    words = read_words(whole)
    sealed = is_sealed(whole.run_dir, OVERRIDES_FILE, words_text(words))
    folders = Claim(whole.run_dir, None, whole.runs_dir, whole.runs_dir).recorded()
    if not folders and is_file(whole.run_dir / CONF_DIRS_FILE):
        remarks.append("The run was started with its own conf folders: add -C DIR to the command.")
    if not sealed:
        remarks.append("The run does not have your seal. Read the command before you run it.")
    named = [part for folder in folders for part in ("-C", str(folder))]
    command = "sweep" if whole.kind == "sweep" else "train"
    return redact(next_command(command, *map(_plain, _last_of_each(words)), *named, runs_dir=whole.runs_dir))


def _last_of_each(words: Sequence[str]) -> list[str]:
    """Return overrides without those that a later one of the same key replaces; mappings are merged."""
    last = {word.partition("=")[0]: at for at, word in enumerate(words) if "={" not in word}
    return [word for at, word in enumerate(words) if last.get(word.partition("=")[0], at) <= at]


def _plain(word: str) -> str:
    """Return an override without quotes that are not needed: `run_name=first` for `run_name='first'`."""
    found = re.fullmatch(r"((?:run|experiment)_name=)'([A-Za-z][\w-]*)'", word)
    return f"{found[1]}{found[2]}" if found and found[2].lower() not in _NOT_TEXTS else word
