"""Start the MLflow UI for a store."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from dlcli.errors import InputError
from dlcli.sanitize.redact import redact
from dlcli.tracking.connection import for_mlflow, is_server
from dlcli.tracking.ui_server import START_VARIABLE, STORE_VARIABLE

# By default MLflow would also start seven processes for the evaluation of language models.
_DEFAULTS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@dataclass(frozen=True)
class Start:
    """The initial view of the UI.

    Attributes:
        address: path to open.
        columns: columns of tables by experiment ID.
        curves: IDs of the experiments whose charts begin with curves by epoch.
    """

    address: str = ""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    curves: Sequence[str] = ()


def serve_ui(
    uri: str, port: int, tell: Callable[[str], None], start: Start | None = None, *, browser: bool = False
) -> None:
    """Replace this process by the MLflow server of a store, on this machine only; for a server, print its address.

    Args:
        uri: the store.
        port: the port.
        tell: receives the address.
        start: the initial view.
        browser: whether to open a browser.
    """
    start = start or Start()
    if is_server(uri):
        tell(f"The store is a server: open {redact(uri).rstrip('/')}/{start.address}")
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
    tell(f"MLflow UI of {redact(uri)}, after a few seconds (Ctrl-C ends it):")
    tell(f"http://127.0.0.1:{port}/{start.address}")
    sys.stdout.flush()
    # Not as an option, because options are visible to all users of the machine, and the address may contain a password.
    environment = {**_DEFAULTS, **os.environ, STORE_VARIABLE: for_mlflow(uri)}
    environment[START_VARIABLE] = json.dumps(asdict(start))
    words = ["-P", "-m", "dlcli.tracking.ui_server", str(port), *(["--open"] if browser else [])]
    os.execve(sys.executable, [sys.executable, *words], environment)
