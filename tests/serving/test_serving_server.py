"""`dlcli serve` as a process: start, signals and shutdown."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.errors import InputError
from dlcli.runner.serve import serve as run_server
from dlcli.serving import server as server_module
from dlcli.serving.api import Service
from dlcli.serving.bodies import Body
from dlcli.serving.server import DrainingServer, bound_socket
from tests.forked import Dlcli
from tests.processes import start, wait_until

Trained = Callable[[str], Path]
Serve = Callable[..., Service]
PET = json.dumps({"size": "5,1", "coat": "long", "tame": True, "born": "31.12.2021"})


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port: int, connection: http.client.HTTPConnection | None = None) -> str:
    """Return `answered`, `busy` or `refused`; everything else is an error."""
    own = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        own.request("POST", "/predict", PET, {"Content-Type": "application/json"})
    except ConnectionRefusedError:
        own.close()
        return "refused"
    got = own.getresponse()
    document = json.loads(got.read())
    if connection is None:
        own.close()
    if got.status == 200:
        assert len(document["predictions"]) == 1
        return "answered"
    assert got.status == 503, document
    return "busy"


def healthy(port: int) -> bool:
    with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


def serve(run: Path, port: int, folder: Path) -> Dlcli:
    process = start(["serve", str(run), "--port", str(port), "--runs-dir", str(run.parents[2])], folder)
    wait_until(lambda: healthy(port), process)
    return process


@pytest.mark.slow
def test_nothing_that_was_taken_is_lost_at_the_end_and_the_next_start(
    trained: Trained, tmp_path: Path
) -> None:
    port = free_port()
    process = serve(trained("pets"), port, tmp_path)
    found: list[str] = []
    enough = threading.Event()

    def client(keeps: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60) if keeps else None
        while not enough.is_set():
            try:
                found.append(ask(port, connection))
            except Exception as error:
                found.append(f"lost: {error!r}")
            if found[-1] == "refused":
                enough.wait(0.1)  # as any client does before it tries again
        if connection is not None:
            connection.close()

    threads = [threading.Thread(target=client, args=(keeps,)) for keeps in (True, True, False)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: found.count("answered") > 30, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        before = found.count("answered")
        wait_until(lambda: "refused" in found)
        again = serve(trained("pets"), port, tmp_path)
        wait_until(lambda: found.count("answered") > before + 30, again)
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    again.send_signal(signal.SIGTERM)
    again.communicate()
    assert again.returncode == 0
    assert set(found) <= {"answered", "refused"}, set(found)
    line = next(line for line in out.splitlines() if line.startswith("curl "))
    assert f"http://127.0.0.1:{port}/predict" in line


def test_a_client_that_does_not_read_its_answer_does_not_hold_up_the_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_NOTICE", 0.01)
    service = serve("pets", seconds=0.05, idle=1000)
    service.contract.example = Body(
        b'"' + b"x" * (16 << 20) + b'"', "application/json"
    )  # more than what the system buffers
    listening = bound_socket("127.0.0.1", 0)
    server = DrainingServer(service, lambda: None)

    async def ends() -> None:
        with closing(socket.create_connection(listening.getsockname())) as client:
            client.sendall(b"GET /example HTTP/1.1\r\nHost: localhost\r\n\r\n")
            running = asyncio.create_task(server.serve([listening]))
            while not server.server_state.total_requests:
                await asyncio.sleep(0.01)
            server._stop(signal.SIGTERM, None)
            await asyncio.wait_for(running, 60)

    asyncio.run(ends())
    service.worker.close()


def _health(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/health")
    got = connection.getresponse()
    got.read()  # the connection is kept alive
    return got.status


def _send(connection: http.client.HTTPConnection) -> None:
    connection.request("POST", "/predict", PET, {"Content-Type": "application/json"})


@pytest.mark.parametrize("on", ["a new connection", "a kept connection"])
def test_a_request_that_the_system_has_received_when_the_server_ends_is_answered(
    on: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_NOTICE", 0.01)
    service = serve("pets", idle=1000)
    listening = bound_socket("127.0.0.1", 0)

    class Server(DrainingServer):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            _send(client)  # no other task accepts or reads it before the connections are closed
            await super().shutdown(sockets)

    async def ends() -> None:
        server = Server(service, lambda: None)
        running = asyncio.create_task(server.serve([listening]))
        if on == "a kept connection":
            assert await asyncio.to_thread(_health, client) == 200
        server._stop(signal.SIGTERM, None)
        await running

    with closing(http.client.HTTPConnection(*listening.getsockname(), timeout=60)) as client:
        asyncio.run(ends())
        got = client.getresponse()
        assert (got.status, got.headers["connection"]) == (200, "close")
        assert len(json.loads(got.read())["predictions"]) == 1
    service.worker.close()


def test_a_request_that_arrives_when_its_connection_was_idle_for_too_long_is_answered(serve: Serve) -> None:
    service = serve("pets", idle=1000)
    listening = bound_socket("127.0.0.1", 0)

    async def status() -> int:
        server = DrainingServer(service, lambda: None)
        running = asyncio.create_task(server.serve([listening]))
        await asyncio.to_thread(_health, kept)
        (connection,) = server.server_state.connections
        _send(kept)
        connection.timeout_keep_alive_handler()  # type: ignore[union-attr]
        got = await asyncio.to_thread(kept.getresponse)
        kept.close()
        server._stop(signal.SIGTERM, None)
        await running
        return got.status

    with closing(http.client.HTTPConnection(*listening.getsockname(), timeout=60)) as kept:
        assert asyncio.run(status()) == 200
    service.worker.close()


@pytest.mark.slow
def test_the_line_of_curl_works_when_it_is_pasted_and_a_second_signal_ends_at_once(
    trained: Trained, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    port = free_port()
    process = serve(trained("images"), port, tmp_path)
    shown = process._outputs[0].read_text()
    line = next(line for line in shown.splitlines() if line.startswith("curl "))
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert json.loads(done.stdout)["status"] == "OK", done.stderr
    _end_at_once(process, port)


def _end_at_once(process: Dlcli, port: int) -> None:
    """A second signal ends a server that waits for the rest of a body."""
    with closing(socket.create_connection(("127.0.0.1", port))) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n")
        assert healthy(port)  # by then the server has taken the request before
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not healthy(port), process)
        wait_until(lambda: _again(process))
    process.communicate()
    assert process.returncode == -signal.SIGTERM


def _again(process: Dlcli) -> bool:
    """Signal again, until it is no duplicate of the first signal."""
    process.send_signal(signal.SIGTERM)
    return process.poll() is not None


def test_a_port_in_use_is_reported_before_the_model_is_loaded(trained: Trained) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "no-such-run", "--port", str(port)])
    assert done.exit_code == 2
    assert f"port {port} is in use" in done.output and f"--port {port + 1}" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "needs a token"),
        (["--host", "0.0.0.0", "--token-file", "short"], "the token needs 16"),
        (["--token-file", "absent"], "the file is missing"),
        (["--host", "no.such.name.invalid", "--token-file", "long"], "is not an address"),
        (["--host", "a..b", "--token-file", "long"], "is not an address"),
        (["--token-file", "longer"], "the token has more than 4,096 characters"),
        (["--host", "192.0.2.1", "--token-file", "long"], "this machine has no address 192.0.2.1"),
    ],
    ids=["none", "short", "absent", "name", "no-name", "longer", "address"],
)
def test_other_machines_need_a_token_and_an_address(words: list[str], message: str) -> None:
    Path("short").write_text("abc\n")
    Path("long").write_text("0123456789abcdef\n")
    Path("longer").write_text("0123456789abcdef" * 257)
    done = CliRunner().invoke(app, ["serve", "no-such-run", "--port", "0", *words])
    assert done.exit_code == 2
    assert message in done.output
    assert "0123456789abcdef" not in done.output


def test_a_token_of_the_environment_is_checked_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLCLI_SERVE_TOKEN", "abc")
    done = CliRunner().invoke(app, ["serve", "no-such-run", "--port", "0"])
    assert done.exit_code == 2
    assert "DLCLI_SERVE_TOKEN" in done.output and "the token needs 16" in done.output


def test_settings_are_checked(trained: Trained) -> None:
    with pytest.raises(InputError, match="is not a setting for reading new rows"):
        run_server(str(trained("pets")), port=0, settings=["dataset.separater=;"])
