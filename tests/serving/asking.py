"""Requests to an application without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlcli.serving.api import Service, create_app


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Asked:
    """A request; `content` may be several parts, which arrive one after the other; at None the client goes away."""

    method: str = "GET"
    path: str = "/"
    content: bytes | Sequence[bytes | None] = b""
    headers: Mapping[str, str] | None = None


def rows(document: Any, **headers: str) -> Asked:
    """Return a request to predict rows as JSON."""
    own = {"Content-Type": "application/json", **headers}
    return Asked("POST", "/predict", json.dumps(document).encode(), own)


async def _ask(app: Any, asked: Asked) -> Got:
    parts: list[bytes | None] = [asked.content] if isinstance(asked.content, bytes) else list(asked.content)
    headers = {"Host": "127.0.0.1:8000", **(asked.headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": asked.path.encode(),
        "root_path": "",
        "query_string": b"",
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()  # a body that never arrives
        if (part := parts.pop(0)) is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(parts) or asked.content == []}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start, *rest = messages
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Got(start["status"], found, b"".join(message.get("body", b"") for message in rest))


def ask(service: Service, *asked: Asked) -> list[Got]:
    """Return the answers to requests that are sent at the same time."""

    async def all_at_once() -> list[Got]:
        app = create_app(service)
        return list(await asyncio.gather(*(_ask(app, one) for one in asked)))

    return asyncio.run(all_at_once())
