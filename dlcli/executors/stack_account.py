"""How many training runs of an experiment were trained together, and why the others were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.executors.stack_size import why_alone
from dlcli.formatting import counted
from dlcli.job import SHARING
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import STACK_TAG
from dlcli.tracking.recorder import Recorder

if TYPE_CHECKING:
    from dlcli.datasets.data import Data


def record_stacks(
    recorder: Recorder,
    config: Mapping[str, Any],
    data: Data,
    run_dirs: Sequence[Path],
    *,
    jobs: int | None = None,
    limit: str = "",
    otherwise: str = "",
) -> list[str]:
    """Record on the parent how many of its runs were trained together, and return the sentences for the user.

    Runs that were trained alone are reported to the user only if stacking was asked for.

    Args:
        recorder: of the parent.
        config: its configuration.
        data: the rows.
        run_dirs: the folders of the finished runs.
        jobs: number of runs that were planned; by default that of the finished ones.
        limit: the reason for runs alone that the configuration of a job does not show.
        otherwise: the reason for runs alone if neither a setting nor the run itself has one.
    """
    asked = config["executor"].get("stack", False)
    if asked is False:
        return []
    shared = [Ledger.load(folder).result.get(SHARING, {}) for folder in run_dirs]
    alone = [one.get("why_alone") or otherwise for one in shared if one.get("runs", 1) == 1]
    stacked = len(run_dirs) - len(alone)
    sentences = []
    if stacked:
        sentences.append(
            f"{stacked} of {counted(len(run_dirs), 'training run')} took their steps together, as one model "
            "(executor.stack): figures agree with those of runs alone within 1e-5."
        )
    if alone:
        setting = limit or why_alone(config, data, jobs or len(run_dirs))
        reasons = setting or "; ".join(filter(None, dict.fromkeys(alone))) or "no other run had their shape"
        whose = "its" if len(alone) == 1 else "their"
        text = f"{counted(len(alone), 'training run')} took {whose} steps alone: {reasons}."
        recorder.tag(STACK_TAG, " ".join([*sentences, text]))
        return sentences if asked == "auto" else [*sentences, text]
    recorder.tag(STACK_TAG, sentences[0])
    return sentences
