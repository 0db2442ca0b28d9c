"""The MLflow tags that dlcli reads back."""

from __future__ import annotations

KIND_TAG = "dlcli.kind"
TOKEN_TAG = "dlcli.token"
ERROR_TAG = "dlcli.error"
HEARTBEAT_TAG = "dlcli.heartbeat"
PRUNED_TAG = "dlcli.pruned"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
USER_TAG = "mlflow.user"

TAG_LENGTH = 5000  # characters of a value: MLflow's limit

# Of an experiment. MLflow's pages open on model training; without it they show a language model's.
TRAINING_TAGS = {"mlflow.experimentKind": "custom_model_development"}

# What was wrong with a checkpoint that a training could not go on from.
CHECKPOINT_TAG = "dlcli.checkpoint"
