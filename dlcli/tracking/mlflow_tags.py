"""Names of the MLflow tags that dlcli reads."""

from __future__ import annotations

KIND_TAG = "dlcli.kind"
TOKEN_TAG = "dlcli.token"
ERROR_TAG = "dlcli.error"
BASELINE_TAG = "dlcli.baseline"
HEARTBEAT_TAG = "dlcli.heartbeat"
PRUNED_TAG = "dlcli.pruned"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
USER_TAG = "mlflow.user"
NOTE_TAG = "dlcli.note"
MLFLOW_NOTE_TAG = "mlflow.note.content"  # what MLflow shows as the description of a run

TAG_LENGTH = 5000  # maximum characters of a value: MLflow's limit

# Tags of an experiment by which MLflow's UI opens its page for model training instead of that for language models.
TRAINING_TAGS = {"mlflow.experimentKind": "custom_model_development"}

# Prefix, followed by the name of a setting: its value since a resumption, because MLflow's params cannot change.
CHANGED_TAG = "dlcli.changed"

# Prefix, followed by the name of a setting: the value that was chosen for `auto`, and the reason.
AUTO_TAG = "dlcli.auto"

# On the parent of folds or trials: how many were trained together as one model, and why others were not.
STACK_TAG = "dlcli.stack"

# The reason why a checkpoint could not be used for resumption.
CHECKPOINT_TAG = "dlcli.checkpoint"

# For a fold: the name of the rows on which its metrics `test/...` are computed.
TEST_ROWS_TAG = "dlcli.test_rows"

# The run that a run repeats, unchanged (reproduce) or with changes (like).
REPRODUCES_TAG, LIKE_TAG = "dlcli.reproduces", "dlcli.like"

# The run whose weights a run starts from (model.weights).
WEIGHTS_RUN_TAG = "dlcli.weights_run"

# The value that a finder has chosen, such as `optimizer.lr=0.01`.
FOUND_TAG = "dlcli.found"
TUNED_TAG = "dlcli.tuned"
