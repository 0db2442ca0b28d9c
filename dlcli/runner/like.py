"""`dlcli train --like RUN`: the overrides of an earlier run, changed by the user's overrides."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from dlcli.config.kept_words import kept_words
from dlcli.config.next_command import resume_command
from dlcli.errors import InputError
from dlcli.gate.gate import Gate
from dlcli.resumption import open_whole, relocated_words
from dlcli.runner import runs_directory
from dlcli.runner.former_words import former_words
from dlcli.runs.find import find_run
from dlcli.runs.overview import repeating_command
from dlcli.runs.recorded import read_config, read_words
from dlcli.runs.trial_words import words_of_child
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import LIKE_TAG


class Like(NamedTuple):
    """The overrides of a new run that is based on another run.

    Attributes:
        words: overrides.
        folders: conf folders.
        gate: the gate in which the experiment must be composed and trained; None if no name comes from a run's folder.
        tags: tags that link the new run to the other one.
        notes: lines for the user.
    """

    words: tuple[str, ...]
    folders: tuple[Path, ...]
    gate: Gate | None
    tags: dict[str, str]
    notes: tuple[str, ...]

    def closed(self) -> AbstractContextManager[Any]:
        """Return the context for composing and training."""
        return nullcontext() if self.gate is None else self.gate.closed()


def like(
    run: str, overrides: Sequence[str], conf_dirs: Sequence[Path] = (), runs_dir: Path | None = None
) -> Like:
    """Return the overrides with which a run was started, changed by new ones.

    A recorded override is left out if a new one sets the same key, or another option of the key's group. The recorded
    name is left out. For a fold, the overrides are those of its whole run; for a trial of a sweep or its refitted
    winner, they contain the values of the searched keys, and nothing that concerns the search.

    Raises:
        InputError: The run is a sweep or an ensemble.
    """
    place = runs_directory(runs_dir)
    opened = open_whole(run, place, conf_dirs)
    part = _trial(Ledger.load(find_run(run, place).run_dir))
    whole = opened.ledger
    ledger = part if part is not None and part.parent_id == whole.run_id else whole
    if ledger.kind in ("sweep", "ensemble"):
        raise InputError(
            f"is {'an' if ledger.kind == 'ensemble' else 'a'} {ledger.kind}",
            ledger.run_name,
            _instead(ledger),
        )
    words = read_words(ledger) if ledger is whole else words_of_child(whole, ledger)
    recorded = [
        word for word in relocated_words(words, opened.config["dataset"]) if not word.startswith("run_name=")
    ]
    gate, folders = opened.claim.to_resume(opened.config, "reproduce")
    notes = []
    if not gate.sealed and not gate.is_open:  # a run from elsewhere: its overrides are not trusted
        gate.admit_all(opened.config)
        if ledger is not whole:
            gate.admit_all(read_config(ledger))
        notes.append(
            "The run does not have your seal: names in it are checked as those of any folder from elsewhere."
        )
    with nullcontext() if gate.sealed else gate.closed():
        was = opened.config if ledger is whole else read_config(ledger)
        former = former_words(
            recorded, overrides, tuple(conf_dirs) or folders, was, is_refit=ledger.kind == "refit"
        )
    kept, left_out = kept_words([*former, *recorded], overrides)
    notes += left_out
    if told := [word for word in former if word in kept]:
        notes.append(f"Keeps defaults of the run that are others today: {' '.join(told)}")
    changed = f", with {' '.join(overrides)}" if overrides else ""
    return Like(
        (*kept, *overrides),
        tuple(conf_dirs) or folders,
        None if gate.sealed else gate,
        {LIKE_TAG: ledger.run_id},
        (*opened.notes, *notes, f"Like {ledger.run_name} ({ledger.run_id[:8]}){changed}."),
    )


def _trial(ledger: Ledger) -> Ledger | None:
    """Return the trial, or the refitted winner of a sweep, that a run is or belongs to; None if there is none."""
    while ledger.parent_id is not None:
        parent = Ledger.load(ledger.sibling(ledger.parent_id))
        if parent.kind == "sweep":
            return ledger
        ledger = parent
    return None


def _instead(ledger: Ledger) -> str:
    if ledger.kind == "ensemble":
        return f"Name one of its members. Select again: {resume_command(ledger)}"
    best = (ledger.result.get("best") or {}).get("command")
    if isinstance(best, str):
        return f"Its best trial is trained by: {best}"
    line = repeating_command(ledger)
    return f"Repeat it by: {line}" if line else "Name a run or a cross-validation."
