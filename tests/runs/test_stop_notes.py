"""What is told of a job that its own code stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.errors import TrainingError
from dlcli.runs.stop_notes import noting_stops
from dlcli.tracking.ledger import Ledger


def _exit_as_lightning_does() -> None:
    try:
        raise KeyboardInterrupt("enough")
    except KeyboardInterrupt:
        raise SystemExit(1) from None


def test_code_that_exits_or_raises_an_interrupt_fails_the_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, run_id="a", run_name="toy", experiment="e", kind="run", token="t")
    interrupted = "your own code ended the program: KeyboardInterrupt: enough"
    with pytest.raises(TrainingError, match=interrupted), noting_stops(ledger):
        _exit_as_lightning_does()
    with pytest.raises(TrainingError, match="ended the program: SystemExit: 3") as told, noting_stops(ledger):
        raise SystemExit(3)
    assert told.value.problems[0].hint.startswith("To end the training only, set trainer.should_stop")
