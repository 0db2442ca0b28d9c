"""`dlcli ui` serves the store that dlcli records to."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.tracking.ui_process import serve_ui
from tests.processes import run, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_it_shows_the_runs(port: int, tmp_path: Path) -> None:
    trained = run(["train", "dataset=iris", "model=mlp", "trainer.max_epochs=1", "--json"], tmp_path)
    assert trained.returncode == 0, trained.stderr
    server = subprocess.Popen(
        [sys.executable, "-m", "dlcli", "ui", "--port", str(port)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return True
        except (URLError, OSError):
            return False

    try:
        wait_until(answers, server)
        run_id = json.loads(trained.stdout)["run_id"]
        api = f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/get?run_id={run_id}"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b"metrics.`test/accuracy`" in page.read()
        with urllib.request.urlopen(api, timeout=30) as answer:
            assert json.load(answer)["run"]["info"]["status"] == "FINISHED"
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
    assert f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=machine_learning" in out
    assert len(out.splitlines()) == 2
    assert (server.returncode, err) == (0, "")


def test_the_address_of_the_store_is_not_an_argument(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of the machine sees those."""
    became: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("os.execve", lambda program, words, environment: became.append((words, environment)))
    uri, told = "postgresql://me:hunter2@host/db", ""

    def tell(text: str) -> None:
        nonlocal told
        told += text

    serve_ui(uri, port, tell)
    ((words, environment),) = became
    assert not any("hunter2" in word for word in words)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == uri
    assert "postgresql://***@host/db" in told


def test_a_port_that_is_taken_is_reported(port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        done = CliRunner().invoke(app, ["ui", "--port", str(port)])
    assert done.exit_code == 2
    assert f"port {port} is in use" in done.stderr
    assert f"--port {port + 1}" in done.stderr
