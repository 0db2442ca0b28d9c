"""The web application: its paths, and the checks of every request."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import dlcli
from dlcli.datasets.notices import as_plain
from dlcli.errors import Problem, first_line
from dlcli.serving.bodies import Body
from dlcli.serving.contract import Contract
from dlcli.serving.hosts import host_of, is_local
from dlcli.serving.limits import ServeLimits
from dlcli.serving.model_worker import Busy, ModelWorker
from dlcli.serving.openapi import answer_schema, request_body
from dlcli.serving.predictor import Answer, NotAnswered
from dlcli.serving.problems import SCHEMA_VERSION, failure, refusal_of

_log = logging.getLogger("dlcli.serving")

# Paths that need no token, because a browser opens them before it has one. They contain nothing about the model.
_OPEN = {"/", "/docs", "/health", "/assets/page.js", "/assets/docs.js", "/assets/page.css", "/favicon.ico"}

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

_AGAIN = {"retry-after": "1"}

# Maximum bytes and seconds for reading the rest of a body that is too large; clients read the answer only after sending
# all of it.
_REST, _REST_SECONDS = 64 << 20, 5.0


@dataclass
class Service:
    """The model and the limits that the application serves with.

    Attributes:
        contract: format of the model's requests and answers.
        worker: runs the model.
        limits: limits on requests.
        token: token that requests need; empty if they need none.
        only_local: whether the header Host must be a name of this machine.
        draining: whether the server is shutting down.
        held: bytes of all bodies in memory.
    """

    contract: Contract
    worker: ModelWorker
    limits: ServeLimits = field(default_factory=ServeLimits)
    token: str = ""
    only_local: bool = True
    draining: bool = False
    held: int = 0

    def release(self, size: int) -> None:
        """Subtract the bytes of a body that is no longer in memory."""
        self.held -= size


class Refused(Exception):
    """A request that is refused, with the status and content of the response."""

    def __init__(self, status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.message)
        self.status, self.problem, self.headers = status, problem, dict(headers or {})


class Guard:
    """Middleware that checks token and host of each request, and adds headers to all responses."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._token = service.token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = dict(_HEADERS)
                if self._service.draining:
                    more["connection"] = "close"
                own = [(name.encode(), value.encode()) for name, value in more.items()]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        if refused := self._refusal(scope):
            await _error(refused)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Refused | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if self._service.only_local and not is_local(host_of(f"//{host}")):
            problem = Problem(
                f"{host or 'no name'} is not a name of this machine", "Host", "Ask for 127.0.0.1."
            )
            return Refused(403, problem)
        origin = headers.get("origin")
        own = origin is None or urlsplit(origin).netloc == host
        own = own and headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        opens = scope["path"] in _OPEN and scope["method"] in ("GET", "HEAD")  # opened by a link, for example
        if not own and not opens:
            return Refused(403, Problem("the request comes from the page of another server", "Origin"))
        if self._token and scope["path"] not in _OPEN:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            same = hmac.compare_digest(given.strip().encode("latin-1"), self._token)
            if scheme.lower() != "bearer" or not same:
                hint = "Send the header Authorization: Bearer TOKEN."
                problem = Problem("the token is missing or wrong", "Authorization", hint)
                return Refused(401, problem, {"www-authenticate": "Bearer"})
        return None


def create_app(service: Service) -> ASGIApp:
    """Return the application."""
    contract = service.contract
    app = FastAPI(
        title=f"dlcli: {contract.run_name}",
        version=dlcli.__version__,
        description=f"Predictions of the run {contract.run_name}: {contract.schema['task']}.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return _error(error)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=400)  # the client has disconnected

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        hint = "GET /docs shows all paths."
        return _error(
            Refused(error.status_code, Problem(str(error.detail), request.url.path, hint), error.headers)
        )

    @app.get("/health", summary="Whether the server accepts requests", response_model=None)
    async def health() -> Response:
        status = "draining" if service.draining else "ok"
        return _json(503 if service.draining else 200, {"status": status, "waiting": service.worker.waiting})

    app.head("/health", include_in_schema=False)(health)

    @app.get("/schema", summary="The columns that the model needs, and the response", response_model=None)
    async def schema() -> Response:
        return _json(200, contract.schema)

    @app.get("/example", summary="An example that can be sent to /predict", response_model=None)
    async def example() -> Response:
        if contract.example is None:
            raise Refused(404, Problem("there is no example of such rows", "/example", "See /schema."))
        return Response(contract.example.content, media_type=contract.example.type)

    @app.post(
        "/predict",
        summary="Predict rows",
        response_model=None,
        openapi_extra={"requestBody": request_body(contract)},
        responses=answer_schema(contract),
    )
    async def predict(request: Request) -> Response:
        return await _answer(await _body(request, service), service)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return _json(200, app.openapi())

    @app.get("/favicon.ico", include_in_schema=False)
    async def no_picture() -> Response:
        return Response(status_code=204)

    for path, name, media in (
        ("/", "page.html", "text/html"),
        ("/docs", "docs.html", "text/html"),
        ("/assets/page.js", "page.js", "text/javascript"),
        ("/assets/docs.js", "docs.js", "text/javascript"),
        ("/assets/page.css", "page.css", "text/css"),
    ):
        app.get(path, include_in_schema=False)(_asset(name, media))
    return Guard(app, service)


def _asset(name: str, media: str) -> Callable[[], Awaitable[Response]]:
    content = resources.files("dlcli.serving").joinpath("page", name).read_bytes()

    async def asset() -> Response:
        return Response(content, media_type=f"{media}; charset=utf-8")

    return asset


async def _body(request: Request, service: Service) -> Body:
    """Read the body of a request; its bytes count as held until `Service.release`.

    Raises:
        Refused: It is too large, too slow, compressed, or there is no memory for it.
    """
    limits = service.limits
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, Problem("compressed bodies are not read", "Content-Encoding", "Send it as it is."))
    found, taken, more = bytearray(), 0, True
    try:
        async with asyncio.timeout(limits.seconds):
            size = int(request.headers.get("content-length", 0))
            while more and max(size, taken) <= limits.bytes:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk, more = message.get("body", b""), message.get("more_body", False)
                found += chunk
                taken += len(chunk)
                service.held += len(chunk)
                if service.held > limits.held:
                    raise Refused(503, Problem("the server has no memory for more bodies"), _AGAIN)
            if max(size, taken) > limits.bytes:
                # A client that sends `Expect: 100-continue` has not sent the body.
                if more and "expect" not in request.headers:
                    await _pass_over(request)
                hint = f"Send at most {limits.bytes:,} bytes at a time, or use dlcli predict on a file."
                raise Refused(413, Problem("the body is too large", "Content-Length", hint), _CLOSE)
    except TimeoutError:
        service.held -= taken
        problem = Problem(f"the body did not arrive within {limits.seconds:g} s")
        raise Refused(408, problem, _CLOSE) from None
    except (Refused, ClientDisconnect):
        service.held -= taken
        raise
    return Body(bytes(found), request.headers.get("content-type", ""))


_CLOSE = {"connection": "close"}


async def _pass_over(request: Request) -> None:
    """Read and discard the rest of a body, up to a limit."""
    passed = 0
    try:
        async with asyncio.timeout(_REST_SECONDS):
            while passed < _REST:
                message = await request.receive()
                passed += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def _answer(body: Body, service: Service) -> Response:
    """Return the response to a body: the predictions, or the problems."""
    seconds, loop, size = service.limits.seconds, asyncio.get_running_loop(), len(body.content)

    def release(future: Future[Any]) -> None:
        """Release the body once the model has finished with it, even if the client has disconnected before."""
        with suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(service.release, size)

    try:
        future = service.worker.submit(body)
        future.add_done_callback(release)
    except Busy:
        service.release(size)
        problem = Problem("too many requests wait for the model", hint="Send it again later.")
        raise Refused(503, problem, _AGAIN) from None
    try:
        answer = await asyncio.wait_for(asyncio.wrap_future(future), seconds)
    except TimeoutError:
        problem = Problem(
            f"there was no answer within {seconds:g} s", hint="Send fewer rows, or send it later."
        )
        raise Refused(503, problem, _AGAIN) from None
    except Exception as error:
        cause, lines = (error.cause, error.lines) if isinstance(error, NotAnswered) else (error, "")
        if found := refusal_of(cause, lines):
            return _json(*found)
        trace = cause if os.environ.get("DLCLI_DEBUG") == "1" else None
        more = "" if trace else " DLCLI_DEBUG=1 shows the traceback."
        _log.error(
            "A request fails: %s: %s.%s", type(cause).__name__, first_line(cause), more, exc_info=trace
        )
        problem = Problem(
            "the model fails on these rows", hint="See the output of dlcli serve for the reason."
        )
        return _json(*failure(500, problem))
    assert isinstance(answer, Answer)
    contract = service.contract
    document = {
        "schema_version": SCHEMA_VERSION,
        "status": "OK",
        "run_id": contract.run_id,
        "run_name": contract.run_name,
        "predictions": answer.predictions,
        "notices": as_plain(answer.notices),
    }
    return _json(200, document)


def _json(status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    content = json.dumps(document, ensure_ascii=False, default=str).encode("utf-8", errors="backslashreplace")
    return Response(content, status, headers, "application/json")


def _error(error: Refused) -> Response:
    status, document = failure(error.status, error.problem)
    return _json(status, document, error.headers)
