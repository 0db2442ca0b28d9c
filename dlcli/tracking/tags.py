"""The MLflow tags that dlcli reads back."""

from __future__ import annotations

KIND_TAG = "dlcli.kind"
TOKEN_TAG = "dlcli.token"
ERROR_TAG = "dlcli.error"
HEARTBEAT_TAG = "dlcli.heartbeat"
PRUNED_TAG = "dlcli.pruned"
PARENT_TAG = "mlflow.parentRunId"

TAG_LENGTH = 5000  # characters of a value: MLflow's limit
