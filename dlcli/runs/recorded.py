"""Read the initial files of a run, after comparing each with its recorded digest."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.former_names import with_present_names
from dlcli.config.next_command import next_command, resume_command
from dlcli.config.plain_secrets import recorded_words
from dlcli.config.validate import OPTIONAL
from dlcli.errors import CorruptRun, DlcliError
from dlcli.files.paths import is_file
from dlcli.gate.documents import read_text, read_yaml
from dlcli.gate.vouching import CONF_DIRS_FILE, CONFIG_FILE, OVERRIDES_BYTES, OVERRIDES_FILE
from dlcli.splits.split import Split
from dlcli.tracking.digests import ANEW, check_code, check_recorded
from dlcli.tracking.ledger import LEDGER_FILE, Ledger

if TYPE_CHECKING:
    import numpy as np

SPLIT_FILE = "split.npz"

_LEVELS = 5  # of runs within runs


def read_config_text(ledger: Ledger, name: str = CONFIG_FILE) -> str:
    """Return the text of a configuration in a run's folder.

    Raises:
        CorruptRun: The file differs from what was recorded, or cannot be read.
    """
    check_recorded(ledger, name, hint=partial(_instead_of_an_edit, ledger))
    return read_text(ledger.run_dir / name, what="the run's configuration")


def read_config(ledger: Ledger, name: str = CONFIG_FILE) -> dict[str, Any]:
    """Return a configuration in a run's folder as nested dicts.

    Raises:
        CorruptRun: The file differs from what was recorded, or cannot be read.
    """
    check_recorded(ledger, name, hint=partial(_instead_of_an_edit, ledger))
    config = with_present_names(read_yaml(ledger.run_dir / name, "the run's configuration"))
    # An empty section in YAML is null.
    return {key: {} if value is None and key in OPTIONAL else value for key, value in config.items()}


def read_split(ledger: Ledger, rows: int | None = None) -> Split:
    """Return a run's split.

    Args:
        ledger: ledger of the run.
        rows: number of rows of its data, if known.

    Raises:
        CorruptRun: The file differs from what was recorded, or cannot be read.
    """
    check_recorded(ledger, SPLIT_FILE)
    split = Split.load(ledger.run_dir / SPLIT_FILE, rows)
    # This also detects changes in runs without digests. The tag describes a single split, so only runs with one split
    # are checked.
    known = ledger.tags.get("dlcli.split_fingerprint", split.fingerprint)
    if ledger.kind in ("run", "fold") and known != split.fingerprint:
        raise CorruptRun(
            "the run's split differs from the one it was started with", str(ledger.run_dir / SPLIT_FILE), ANEW
        )
    return split


def read_final_test(ledger: Ledger, rows: int | None = None) -> np.ndarray:
    """Return the final test rows of a run; for a fold, those of its cross-validation.

    For a fold whose cross-validation is missing, because it was copied alone, they are its test rows.

    Args:
        ledger: ledger of the run.
        rows: number of rows of its data, if known.

    Raises:
        CorruptRun: The file differs from what was recorded, or cannot be read.
    """
    if ledger.kind == "fold" and ledger.parent_id is not None:
        parent = ledger.sibling(ledger.parent_id)
        ledger = Ledger.load(parent) if parent.is_dir() else ledger
    return read_split(ledger, rows).test


def read_words(ledger: Ledger) -> list[str]:
    """Return the overrides that a run was started with.

    Raises:
        CorruptRun: The file differs from what was recorded, or cannot be read.
    """
    check_recorded(ledger, OVERRIDES_FILE)
    file = ledger.run_dir / OVERRIDES_FILE
    text = read_text(file, OVERRIDES_BYTES, what="the run's list of overrides")
    try:
        return recorded_words(text)
    except ValueError as error:
        raise CorruptRun(
            "holds an override that is not closed", str(file), "Copy the folder again."
        ) from error


def check_user_code(ledger: Ledger) -> None:
    """Compare the list of conf folders and the copies of user code with what was recorded.

    Raises:
        CorruptRun: A file differs from what was recorded.
    """
    owner = code_owner(ledger)
    for one in {id(ledger): ledger, id(owner): owner}.values():
        check_recorded(one, CONF_DIRS_FILE)
        check_code(one)


def code_owner(ledger: Ledger) -> Ledger:
    """Return the ledger of the run that was started: its folder holds the code of its folds, trials and their folds."""
    for _ in range(_LEVELS):
        if ledger.parent_id is None or is_file(ledger.run_dir / OVERRIDES_FILE):
            break
        parent = ledger.sibling(ledger.parent_id)
        if not is_file(parent / LEDGER_FILE):
            break
        ledger = Ledger.load(parent)
    return ledger


def _instead_of_an_edit(ledger: Ledger) -> str:
    """Return the hint for a configuration that differs from what was recorded, perhaps by an intended edit."""
    words: list[str] = []
    with suppress(DlcliError):
        words = read_words(ledger)
    command = next_command("sweep" if ledger.kind == "sweep" else "train", *words, runs_dir=ledger.runs_dir)
    return (
        f"Undo the change, or copy the folder again. To train with other settings, start a new run: {command} "
        f"KEY=VALUE. Settings that may change on resumption: {resume_command(ledger, 'trainer.max_epochs=N')}"
    )


def check_subfolders(run_dir: Path) -> None:
    """Check that subfolders which the run needs are folders, if they exist.

    Raises:
        CorruptRun: Something else has its name.
    """
    for name in ("checkpoints", "model", "plots", "samples"):
        place = run_dir / name
        if not place.is_dir() and (place.exists() or place.is_symlink()):
            raise CorruptRun("is not a folder, but the run needs one there", str(place), "Move it away.")
