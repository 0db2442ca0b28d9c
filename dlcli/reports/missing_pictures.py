"""Pictures that cannot be drawn: they are reported, and do not fail a run that has been trained."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlcli.config.next_command import next_command
from dlcli.datasets.notices import Notice
from dlcli.errors import DlcliError
from dlcli.files.disk import means_full
from dlcli.sanitize.presentable import print_traceback
from dlcli.tracking.ledger import Ledger

ALL_PLOTS = "all plots"  # name of the pictures of a report whose modules cannot be imported


class MissingPictures:
    """The pictures of a run that could not be drawn, with the reasons."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    @contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Note an exception in this context, which draws the picture `name`, instead of passing it on.

        A full disk is passed on, because the rest of the record cannot be written either.
        """
        try:
            yield
        except DlcliError:
            raise
        except Exception as error:
            if means_full(error):
                raise
            if os.environ.get("DLCLI_DEBUG") == "1":
                print_traceback()
            first = (str(error).splitlines() or [""])[0]
            reason = f"{type(error).__name__}: {first}".removesuffix(": ")
            self._names.setdefault(reason, []).append(name)

    def notices(self, run_dir: Path) -> list[Notice]:
        """Return a notice if pictures of the run in this folder are missing."""
        if not self._names:
            return []
        why = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in self._names.items())
        ledger = Ledger.load(run_dir)
        command = next_command("report", ledger.run_id[:8], runs_dir=ledger.runs_dir)
        text = f"pictures are missing in plots/: {why}. All values are recorded: {command} shows them with charts"
        count = sum(map(len, self._names.values()))
        return [Notice("missing_pictures", count, text, "plots", "DLCLI_DEBUG=1 shows the traceback.")]
