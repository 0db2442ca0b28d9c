"""The end of a parent run's record: the combined results of its child runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from dlcli.datasets.notices import Notice, as_plain, notice_metrics
from dlcli.runs.folder import recorded_baselines
from dlcli.tracking.recorder import Recorder


def record_parent(
    recorder: Recorder,
    config: Mapping[str, Any],
    started: float,
    metrics: Mapping[str, float],
    baselines: Mapping[str, float],
    *,
    messages: Sequence[str],
    notices: Sequence[Notice],
    result: Mapping[str, Any],
    unlisted: Mapping[str, float] = MappingProxyType({}),
) -> None:
    """Record a parent as finished.

    Args:
        recorder: The parent's recorder.
        config: The configuration; the metrics are recorded at its last epoch.
        started: `time.monotonic()` at the start, in seconds.
        metrics: The metrics of the result.
        baselines: Metric to the value of the baseline.
        messages: Sentences for the user, which also become the run's description in MLflow.
        notices: Notices of the child runs about their rows.
        result: Further entries of the ledger's result.
        unlisted: Metrics that are recorded, but are not in the result.
    """
    recorder.tag("mlflow.note.content", "\n".join(messages))
    recorder.finish(
        {**metrics, **recorded_baselines(baselines), **notice_metrics(notices), **unlisted},
        step=max(config["trainer"].get("max_epochs") or 0, 0),
        result={
            "metrics": list(metrics),
            "messages": list(messages),
            "notices": as_plain(notices),
            "duration_s": round(recorder.ledger.earlier_s + time.monotonic() - started, 3),
            **result,
        },
    )
