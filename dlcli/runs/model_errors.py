"""Translate exceptions that a saved model raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlcli.errors import CorruptRun, DlcliError, first_line


@contextmanager
def model_errors(run_dir: Path) -> Iterator[None]:
    """Translate exceptions of a run's model, whose description may not fit its weights or the rows.

    Raises:
        CorruptRun: The model, its task or one of its metrics has raised an exception other than a DlcliError.
    """
    try:
        yield
    except (DlcliError, OSError):
        raise
    except Exception as error:
        raise CorruptRun(
            f"the run's model fails: {type(error).__name__}: {first_line(error)}",
            str(run_dir / "model"),
            "If the model should accept these rows, copy the folder again or train again. "
            "DLCLI_DEBUG=1 shows the traceback.",
        ) from error
