"""Runs whose loss became NaN or infinite: they would do so again, and the way out is another run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dlcli.config.next_command import next_command
from dlcli.config.pasted import override
from dlcli.formatting import number
from dlcli.tracking.ledger import Ledger

# The error of such a run, from training by steps or from a solver.
_DIVERGED = re.compile(
    r"(training|validation) loss (became -?(nan|inf)|has a gradient that is not finite)( in epoch \d+|, of all rows)"
)
_SOLVER = "dlcli.training.penalty_path.PenaltyPath"


def divergence(ledger: Ledger) -> str:
    """Return how a run diverged, as `training loss became nan in epoch 3`; empty if it did not."""
    if ledger.status != "FAILED" or ledger.kind == "sweep":  # whose trials diverge one by one
        return ""
    found = _DIVERGED.search(ledger.error or "")
    return found[0] if found else ""


def way_out(ledger: Ledger, config: Mapping[str, Any]) -> str:
    """Return a command that trains again with other settings, and what they are."""
    rate = config["optimizer"].get("lr")
    if config["optimizer"]["_target_"] == _SOLVER:
        words, about = ["optimizer=adam", "callbacks=default"], "by steps"
    elif isinstance(rate, int | float):
        words, about = (
            [override("optimizer.lr", float(f"{rate / 10:g}"))],
            f"with a tenth of the learning rate {number(rate)}",
        )
    else:
        words, about = ["trainer.gradient_clip_val=1.0"], "with clipped gradients"
    run = (ledger.parent_id or ledger.run_id)[:8]
    return f"To train again {about}: {next_command('train', '--like', run, *words, runs_dir=ledger.runs_dir)}"
