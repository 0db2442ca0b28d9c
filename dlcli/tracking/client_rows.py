"""Params and dataset inputs of a run, sent through MLflow's client to stores that get no rows directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlcli.tracking.mlflow_inputs import CONTEXT_TAG, Shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PARAMS_PER_BATCH = 100  # MLflow's limit


def log_params(client: MlflowClient, run_id: str, shown: Shown) -> None:
    """Send a run's params."""
    from mlflow.entities import Param

    params = [Param(key, value) for key, value in shown.params.items()]
    for start in range(0, len(params), _PARAMS_PER_BATCH):
        client.log_batch(run_id, params=params[start : start + _PARAMS_PER_BATCH])


def log_inputs(client: MlflowClient, run_id: str, shown: Shown) -> None:
    """Send a run's dataset inputs. On a server, another client may insert the same dataset at the same time: retry."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.exceptions import MlflowException

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
