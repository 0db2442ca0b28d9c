"""Runs that diverged (loss NaN or infinite): resuming repeats the divergence, so a new run is proposed."""

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
from dlcli.runs.trial_words import words_of_part
from dlcli.sanitize.redact import redact
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.tags import FOUND_TAG

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
    """Return the word that turns off a finder of the learning rate, which would set it again."""
    finds = str((config.get("finder") or {}).get("_target_", "")).endswith(".LearningRateFinder")
    return ["finder=none"] if finds or ledger.tags.get(FOUND_TAG, "").startswith("optimizer.lr=") else []


def _command(ledger: Ledger, words: Sequence[str]) -> str:
    """Return the command that trains the same with other settings; for a part of a sweep, as a separate run."""
    whole = part = ledger
    while whole.parent_id is not None:
        whole, part = Ledger.load(whole.sibling(whole.parent_id)), whole
    if whole.kind != "sweep":
        return next_command("train", "--like", whole.run_id[:8], *words, runs_dir=ledger.runs_dir)
    kept, _ = kept_words(words_of_part(whole, part), words)
    folders = Claim(whole.run_dir, None, whole.runs_dir, whole.runs_dir).recorded()
    named = [text for folder in folders for text in ("-C", str(folder))]
    return redact(next_command("train", *kept, *words, *named, runs_dir=ledger.runs_dir))
