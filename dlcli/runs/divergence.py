"""Runs that diverged (loss NaN or infinite): since resuming would diverge again, suggest a new run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dlcli.config.kept_words import kept_words
from dlcli.config.next_command import next_command
from dlcli.config.pasted import override
from dlcli.errors import CorruptRun
from dlcli.formatting import number, shell_line
from dlcli.gate.vouching import Claim
from dlcli.runs.trial_words import words_of_child
from dlcli.sanitize.redact import redact
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import FOUND_TAG

# The error message of such a run, by training or by a solver.
_DIVERGED = re.compile(
    r"(training|validation) loss (became -?(nan|inf)|has a gradient that is not finite)( in epoch \d+|, of all rows)"
)
_SOLVER = "dlcli.training.penalty_path.PenaltyPath"


def divergence(ledger: Ledger) -> str:
    """Return how a run diverged, such as `training loss became nan in epoch 3`; empty if it did not."""
    if ledger.status != "FAILED" or ledger.kind == "sweep":  # single trials of a sweep diverge, not the sweep
        return ""
    found = _DIVERGED.search(ledger.error or "")
    return found[0] if found else ""


def way_out(ledger: Ledger, config: Mapping[str, Any]) -> str:
    """Return the hint: a command that trains again with other settings."""
    rate, clip = config["optimizer"].get("lr"), config["trainer"].get("gradient_clip_val")
    if config["optimizer"].get("_target_") == _SOLVER:
        words, about = ["optimizer=adam", "callbacks=default"], "by steps"
    elif isinstance(rate, int | float):
        words = [override("optimizer.lr", float(f"{rate / 10:g}")), *_without_finder(ledger, config)]
        about = f"with a tenth of the learning rate {number(rate)}"
    else:
        words = [override("trainer.gradient_clip_val", float(f"{clip / 10:g}") if clip else 1.0)]
        about = f"with gradients clipped at a tenth of {number(clip)}" if clip else "with clipped gradients"
    try:
        return f"To train again {about}: {_command(ledger, words)}"
    except CorruptRun:
        return f"Train again {about}: {shell_line(*words)}"


def _without_finder(ledger: Ledger, config: Mapping[str, Any]) -> list[str]:
    """Return the override that turns off the learning-rate finder, which would replace a given rate."""
    finds = str((config.get("finder") or {}).get("_target_", "")).endswith(".LearningRateFinder")
    return ["finder=none"] if finds or ledger.tags.get(FOUND_TAG, "").startswith("optimizer.lr=") else []


def _command(ledger: Ledger, words: Sequence[str]) -> str:
    """Return the command that repeats a run with other settings; a trial is repeated as a separate run."""
    whole = child = ledger
    while whole.parent_id is not None:
        whole, child = Ledger.load(whole.sibling(whole.parent_id)), whole
    if whole.kind != "sweep":
        return next_command("train", "--like", whole.run_id[:8], *words, runs_dir=ledger.runs_dir)
    kept, _ = kept_words(words_of_child(whole, child), words)
    folders = Claim(whole.run_dir, None, whole.runs_dir, whole.runs_dir).recorded()
    named = [text for folder in folders for text in ("-C", str(folder))]
    return redact(next_command("train", *kept, *words, *named, runs_dir=ledger.runs_dir))
