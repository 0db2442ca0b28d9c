"""How many training runs of an experiment were trained together, and why the others were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.executors.stack_size import why_alone
from dlcli.formatting import counted
from dlcli.job import TOGETHER
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.recorder import Recorder

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

STACK_TAG = "dlcli.stack"


def record_stacks(
    recorder: Recorder,
    config: Mapping[str, Any],
    data: Data,
    run_dirs: Sequence[Path],
    otherwise: str = "their networks or losses have no stacked form, or no other run had their shape",
) -> list[str]:
    """Record on the parent how many of its runs were trained together, and return the sentence for the user.

    Runs that were trained alone are reported to the user only if stacking was asked for; `otherwise` is the reason if
    no setting is one.
    """
    stacked = sum(TOGETHER in Ledger.load(folder).result for folder in run_dirs)
    alone = len(run_dirs) - stacked
    sentences = []
    if stacked:
        sentences.append(
            f"{stacked} of {counted(len(run_dirs), 'training run')} took their steps together, as one model "
            "(executor.stack): figures agree with those of runs alone within 1e-5."
        )
    if alone:
        reason = why_alone(config, data, len(run_dirs)) or otherwise
        text = f"{counted(alone, 'training run')} took their steps alone: {reason}."
        recorder.tag(STACK_TAG, " ".join([*sentences, text]))
        return (
            [*sentences, text] if config["executor"].get("stack") not in ("auto", False, None) else sentences
        )
    recorder.tag(STACK_TAG, sentences[0])
    return sentences
