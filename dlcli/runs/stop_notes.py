"""Notes for the user on what stops a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dlcli.config.next_command import resume_command
from dlcli.errors import Interrupted, Pruned, TrainingError, in_own_code
from dlcli.files.paths import display
from dlcli.tracking.ledger import Ledger
from dlcli.training.epoch_state import LAST


@contextmanager
def noting_stops(ledger: Ledger) -> Iterator[None]:
    """Add notes to an exception that stops a job: where its record is, and how to resume it or its parent."""
    where = display(ledger.run_dir)
    kept = f"The run is FAILED; its results so far are kept in {where}"
    try:
        yield
    except Pruned:
        raise
    except Interrupted as interrupt:
        if (ledger.run_dir / "checkpoints" / LAST).exists():
            interrupt.add_note(f"Its last checkpoint is kept in {where}")
        interrupt.add_note(f"Resume it: {resume_command(ledger)}")
        raise
    except SystemExit as end:  # a model that exits must fail its own job only, not the whole sweep
        # Lightning exits on a KeyboardInterrupt; that of Ctrl-C is an Interrupted here.
        cause = end.__context__ if isinstance(end.__context__, KeyboardInterrupt) else end
        what = f"{type(cause).__name__}: {cause}".removesuffix(": ")
        place = in_own_code(cause)
        hint = "To end the training only, set trainer.should_stop = True in a callback."
        failed = TrainingError(f"your own code ended the program: {what}", place.where if place else "", hint)
        failed.add_note(kept)
        raise failed from end
    except Exception as error:
        error.add_note(kept)
        raise
