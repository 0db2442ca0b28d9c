"""Send params, dataset inputs, metrics and tags of a run through MLflow's client, for stores other than SQLite.

Importing this module imports MLflow, which takes a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from dlcli.tracking.history import MetricsLine
from dlcli.tracking.mlflow_inputs import CONTEXT_TAG, Shown, tag_value

_METRICS_PER_BATCH, _TAGS_PER_BATCH, _PARAMS_PER_BATCH = 1000, 100, 100  # MLflow's limits


def log_params(client: MlflowClient, run_id: str, shown: Shown) -> None:
    """Send a run's params."""
    params = [Param(key, value) for key, value in shown.params.items()]
    for start in range(0, len(params), _PARAMS_PER_BATCH):
        client.log_batch(run_id, params=params[start : start + _PARAMS_PER_BATCH])


def log_inputs(client: MlflowClient, run_id: str, shown: Shown) -> None:
    """Send a run's dataset inputs; retry if another client of the server inserts the same dataset at the same time."""
    inputs = [
        DatasetInput(
            Dataset(
                name=data.name,
                digest=data.digest,
                source_type=data.source_type,
                source=data.source,
                schema=data.schema,
                profile=data.profile,
            ),
            tags=[InputTag(CONTEXT_TAG, data.context)],
        )
        for data in shown.inputs
    ]
    for tries_left in (2, 1, 0) if inputs else ():
        try:
            client.log_inputs(run_id, datasets=inputs)
            return
        except MlflowException as error:
            if not tries_left or "unique" not in str(error).lower():
                raise


def log_metrics(client: MlflowClient, run_id: str, lines: Iterable[MetricsLine]) -> None:
    """Send the metrics of lines of a run's history."""
    metrics = [
        Metric(name, value, line.time_ms, line.step) for line in lines for name, value in line.metrics.items()
    ]
    for start in range(0, len(metrics), _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_PER_BATCH], synchronous=True)


def log_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Send tags, cut to the length that MLflow accepts."""
    sent = [RunTag(name, tag_value(text)) for name, text in tags.items()]
    for start in range(0, len(sent), _TAGS_PER_BATCH):
        client.log_batch(run_id, tags=sent[start : start + _TAGS_PER_BATCH])
