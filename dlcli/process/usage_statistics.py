"""Usage statistics that libraries send to their makers by default."""

from __future__ import annotations

import os

_VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def send_no_usage_statistics() -> None:
    """Turn usage statistics of libraries off in this process and its children, where the user has not set them.

    The libraries read these variables when they are imported.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
