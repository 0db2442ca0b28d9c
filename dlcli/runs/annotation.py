"""Changes of a run's name, tags and note by its user: first in the ledger, then in MLflow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dlcli.errors import InputError
from dlcli.runs.inventory import with_true_status
from dlcli.sanitize.escapes import visible, visible_name
from dlcli.sanitize.redact import redact, redact_value
from dlcli.tracking.amend import locked_ledger
from dlcli.tracking.by_name import refresh_links
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import MLFLOW_NOTE_TAG, NOTE_TAG, TAG_LENGTH
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.resume_target import check_no_link_out

# MLflow's rule for names of tags. Tags of the record cannot be set by the user.
_TAG = re.compile(r"[\w./ -]{1,250}")
_OF_THE_RECORD = ("dlcli.", "mlflow.")

_LONGEST_NAME = 1000


class AnnotatedRun(NamedTuple):
    """A run after a change.

    Attributes:
        ledger: its ledger.
        in_mlflow: whether MLflow has the change; otherwise the next command that reaches the store sends it.
        notes: notes for the user from updating MLflow.
    """

    ledger: Ledger
    in_mlflow: bool
    notes: tuple[str, ...]


def set_tags(run_dir: Path, words: list[str]) -> AnnotatedRun:
    """Set tags from words `KEY=VALUE`; an empty value empties a tag.

    Raises:
        InputError: A word is not a valid tag, or the run cannot be changed now.
    """
    tags = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not _TAG.fullmatch(key) or not key.strip():
            hint = "A tag is KEY=VALUE; KEY consists of letters, digits, _ - . / and blanks."
            raise InputError("is not a tag", word, hint)
        if key.startswith(_OF_THE_RECORD):
            raise InputError("belongs to the record", key, "Choose another name, without dlcli. or mlflow.")
        tags[key] = _checked(visible(redact_value(key, value)), key)
    return _changed(run_dir, tags)


def set_note(run_dir: Path, text: str) -> AnnotatedRun:
    """Set a run's note; MLflow shows it above the run's own messages.

    Raises:
        InputError: The text is too long, or the run cannot be changed now.
    """
    text = _checked(visible(redact(text)).strip(), "TEXT")
    messages = Ledger.load(run_dir).result.get("messages", ())
    whole = "\n\n".join(filter(None, [text, "\n".join(messages)]))
    return _changed(run_dir, {NOTE_TAG: text, MLFLOW_NOTE_TAG: whole[:TAG_LENGTH]})


def rename(run_dir: Path, name: str) -> AnnotatedRun:
    """Give a run another name; its child runs keep theirs.

    Raises:
        InputError: The name cannot be used to refer to a run, or the run cannot be changed now.
    """
    name = visible_name(redact(name)).strip()
    if not name or len(name) > _LONGEST_NAME or name in ("last", "best") or name.startswith(("best:", "-")):
        hint = f"A name has 1 to {_LONGEST_NAME:,} characters; last and best mean other runs."
        raise InputError("cannot be the name of a run", name or "NAME", hint)
    if "/" in name or name.startswith((".", "~")):
        raise InputError("cannot be the name of a run", name, "It would be taken for a path.")
    return _changed(run_dir, {}, name)


def _checked(text: str, where: str) -> str:
    if len(text) > TAG_LENGTH:
        hint = f"At most {TAG_LENGTH:,} characters can be recorded."
        raise InputError(f"has {len(text):,} characters", where, hint)
    return text


def _changed(run_dir: Path, tags: Mapping[str, str], name: str | None = None) -> AnnotatedRun:
    """Write the ledger while no process records the run, then bring MLflow up to date.

    The run's entry is created before and kept until MLflow has the change, so that after a kill the next command
    completes it.
    """
    ledger, status = with_true_status(Ledger.load(run_dir))
    if not ledger.is_in_place:
        hint = "Move it to RUNS/EXPERIMENT/RUN_ID/artifacts, in a runs folder."
        raise InputError(
            "is a folder outside of a runs folder, to which nothing is written", str(run_dir), hint
        )
    check_no_link_out(ledger)
    notes = reconcile(ledger.runs_dir)
    if status in ("RUNNING", "SCHEDULED"):
        raise InputError(f"the run is {status}", ledger.run_name, "Change it when it has ended.")
    with locked_ledger(run_dir) as ledger:
        if name is None:
            ledger.add_tags(tags)
        else:
            sent = ledger.projected.get("name", ledger.run_name)
            ledger.update(run_name=name, projected={**ledger.projected, "name": sent})
    if name is not None:
        refresh_links(ledger.runs_dir)
    notes += reconcile(ledger.runs_dir)
    ledger = Ledger.load(run_dir)
    sent = ledger.projected
    in_mlflow = sent.get("tags") == ledger.tags and sent.get("name", ledger.run_name) == ledger.run_name
    return AnnotatedRun(ledger, in_mlflow, tuple(notes))
