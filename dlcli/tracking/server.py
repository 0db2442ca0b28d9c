"""The MLflow UI for a store."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable

from dlcli.errors import InputError
from dlcli.sanitize.redact import redact
from dlcli.tracking.connection import for_mlflow, is_server

# By default MLflow would also start seven processes for the evaluation of language models.
_DEFAULTS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def serve_ui(uri: str, port: int, tell: Callable[[str], None]) -> None:
    """Replace this process by the MLflow server of a store, on this machine only; for a server, print its address."""
    if is_server(uri):
        tell(f"The store is a server: open {redact(uri)}")
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"port {port} is in use",
                where="--port",
                hint=f"Choose another: --port {port + 1}",
            ) from error
    tell(f"MLflow UI of {redact(uri)}: http://127.0.0.1:{port} (Ctrl-C ends it)")
    sys.stdout.flush()
    # One worker is sufficient for one user, and starts in a quarter of the time of MLflow's default of four.
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Not as an option: those are visible to all users of the machine, and the address may contain a password.
    environment = {**_DEFAULTS, **os.environ, "MLFLOW_BACKEND_STORE_URI": for_mlflow(uri)}
    os.execve(sys.executable, [sys.executable, "-P", "-m", "mlflow", "server", *options], environment)
