"""The server: its socket, and a shutdown that first answers all accepted requests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from dlcli.errors import InputError
from dlcli.process.interrupts import SAME
from dlcli.serving.api import Service, create_app

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Maximum number of connections that wait to be accepted (backlog).
_WAITING = 512

# Seconds after a signal during which connections are still accepted and told to close, so that no client uses a
# connection that is already closed.
_NOTICE = 1.0


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address. Connections wait until the server accepts requests.

    Raises:
        InputError: The port is in use, or this machine has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        hint = "Name an address of this machine."
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{host} is not an address: {why}", "--host", hint) from error
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(_WAITING)  # two servers can bind the same port, but only one can listen
    except OSError as error:
        found.close()
        if error.errno == 13:
            hint = "Choose a port from 1024 on."
            raise InputError(f"this user may not open port {port}", "--port", hint) from error
        if error.errno == 99:
            hint = "Name an address of this machine."
            raise InputError(f"this machine has no address {host}", "--host", hint) from error
        raise InputError(f"port {port} is in use", "--port", f"Choose another: --port {port + 1}") from error
    return found


class _Connection(H11Protocol):
    """A connection that is closed if no request arrives in time."""

    idle: float
    unread = 0  # bytes of answers that the client had not read at the last check

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        waiting, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        super().data_received(data)
        asks = self.cycle is not None and not self.cycle.response_complete
        if not asks and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = (
                waiting  # the head of a request is incomplete, so the timeout is not extended
            )
        elif waiting is not None:
            waiting.cancel()

    def shutdown(self) -> None:
        asks = self.cycle is not None and not self.cycle.response_complete
        if not asks and not self.transport.is_closing() and (self.cycle is None or self._has_unread_bytes()):
            self._unset_keepalive_if_required()
            self._wait(_NOTICE)  # a new connection has this time to send its request
        else:
            super().shutdown()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():  # once the client has read the answer
            self._unset_keepalive_if_required()
            self._wait()

    def timeout_keep_alive_handler(self) -> None:
        if not self.transport.is_closing() and self._has_unread_bytes():
            self._wait(0)
            return
        left = self.transport.get_write_buffer_size()
        if left and left == self.unread:
            self.transport.abort()  # `close` would wait for the client
        elif left:
            self.unread = left
            self._wait()
        else:
            super().timeout_keep_alive_handler()

    def _has_unread_bytes(self) -> bool:
        """Return whether the system has received bytes that `data_received` has not got; to close would lose them."""
        ready = select.poll()
        ready.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(ready.poll(0))

    def _wait(self, seconds: float | None = None) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.idle if seconds is None else seconds, self.timeout_keep_alive_handler
        )


class DrainingServer(uvicorn.Server):
    """A server that answers all accepted requests after SIGTERM or Ctrl-C; a second signal ends it at once.

    Args:
        service: the model and its limits.
        ready: called when the server accepts requests.
    """

    def __init__(self, service: Service, ready: Callable[[], None]) -> None:
        protocol = type("Connection", (_Connection,), {"idle": service.limits.idle})
        super().__init__(
            uvicorn.Config(
                create_app(service),
                http=protocol,
                ws="none",
                backlog=_WAITING,
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=service.limits.connections,
                timeout_keep_alive=int(service.limits.idle),
            )
        )
        self._service = service
        self._ready = ready
        self._asked = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop listening: a moment after a signal, unless there are no connections."""
        stop = await super().on_tick(counter)
        if self._asked:
            waited = time.monotonic() - self._asked
            return stop or not self.server_state.connections or waited > _NOTICE
        return stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept pending connections, stop listening, and wait until all requests are answered."""
        loop, made = asyncio.get_running_loop(), cast(Any, self.config.http_protocol_class)
        for listening in sockets or []:
            with contextlib.suppress(OSError):  # no connection is waiting
                while True:
                    one, _ = listening.accept()
                    await loop.connect_accepted_socket(
                        lambda: made(config=self.config, server_state=self.server_state, app_state={}), one
                    )
        # By then each request is answered or refused; a client that does not read its answer must not delay the end.
        latest = loop.call_later(2 * self._service.limits.seconds + _NOTICE, self._abort)
        await super().shutdown(sockets)
        latest.cancel()

    def _abort(self) -> None:
        for connection in list(self.server_state.connections):
            cast(Any, connection).transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals that stop a server."""
        heeded = [number for number in _STOPPING if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, self._stop) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self._asked:
            self._asked = time.monotonic()
            self._service.draining = True
            return
        # Otherwise it is the same signal, sent to the process and to its group.
        if time.monotonic() - self._asked > SAME:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def serve_until_stopped(service: Service, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until a signal, and answer all requests that have been taken."""
    server = DrainingServer(service, ready)
    asyncio.run(server.serve(sockets=[listening]))
    service.worker.close()
