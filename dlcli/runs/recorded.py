"""Files that a run began with, as commands read them: compared with what was recorded, then parsed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dlcli.config.former_names import with_present_names
from dlcli.config.next_command import next_command, resume_command
from dlcli.errors import CorruptRun, DlcliError
from dlcli.gate.documents import read_text, read_yaml
from dlcli.gate.vouching import CONF_DIRS_FILE, CONFIG_FILE, OVERRIDES_FILE
from dlcli.tracking.digests import ANEW, check_code, check_recorded
from dlcli.tracking.ledger import LEDGER_FILE, Ledger

if TYPE_CHECKING:
    from dlcli.splits.split import Split

SPLIT_FILE = "split.npz"


def read_config_text(ledger: Ledger, name: str = CONFIG_FILE) -> str:
    """A configuration of a run's folder as it was written.

    Raises:
        CorruptRun: it is not what was recorded, or cannot be read.
    """
    check_recorded(ledger, name, hint=_instead_of_an_edit(ledger))
    return read_text(ledger.run_dir / name, what="the run's configuration")


def read_config(ledger: Ledger, name: str = CONFIG_FILE) -> dict[str, Any]:
    """The same as plain types.

    Raises:
        CorruptRun: it is not what was recorded, or cannot be read.
    """
    check_recorded(ledger, name, hint=_instead_of_an_edit(ledger))
    return with_present_names(read_yaml(ledger.run_dir / name, "the run's configuration"))


def read_split(ledger: Ledger, rows: int | None = None) -> Split:
    """Which rows a run trains on, and is judged by; `rows` is how many its data has.

    Raises:
        CorruptRun: it is not what was recorded, or cannot be read.
    """
    from dlcli.splits.split import Split

    check_recorded(ledger, SPLIT_FILE)
    split = Split.load(ledger.run_dir / SPLIT_FILE, rows)
    # What knows no digests knows this; it is of one split, where there is one.
    known = ledger.tags.get("dlcli.split_fingerprint", split.fingerprint)
    if ledger.kind in ("run", "fold") and known != split.fingerprint:
        raise CorruptRun(
            "the run's split is not the one that it was started with", str(ledger.run_dir / SPLIT_FILE), ANEW
        )
    return split


def read_words(ledger: Ledger) -> list[str]:
    """The overrides that a run was started with.

    Raises:
        CorruptRun: they are not what was recorded, or cannot be read.
    """
    check_recorded(ledger, OVERRIDES_FILE)
    return read_text(ledger.run_dir / OVERRIDES_FILE, what="the run's overrides").splitlines()


def check_vouched(ledger: Ledger) -> None:
    """Compare what says whose code a run is made of: the conf folders, and the copies of their files.

    Raises:
        CorruptRun: something is not what was recorded.
    """
    of_all = ledger
    if ledger.parent_id is not None and (ledger.sibling(ledger.parent_id) / LEDGER_FILE).is_file():
        of_all = Ledger.load(ledger.sibling(ledger.parent_id))  # it keeps the code of its parts
    for one in {id(ledger): ledger, id(of_all): of_all}.values():
        check_recorded(one, CONF_DIRS_FILE)
        check_code(one)


def _instead_of_an_edit(ledger: Ledger) -> str:
    """What to do where a configuration differs: it may have been changed on purpose."""
    words: list[str] = []
    with suppress(DlcliError):
        words = read_words(ledger)
    command = next_command("sweep" if ledger.kind == "sweep" else "train", *words, runs_dir=ledger.runs_dir)
    return (
        f"Take the change back, or copy the folder anew. Other settings make another run: {command} KEY=VALUE. "
        f"What may change when a run goes on: {resume_command(ledger, 'trainer.max_epochs=N')}"
    )
