"""The start page of `dlcli ui`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from dlcli.tracking.ui_server import with_start

PAGE = b"<html><head><title>MLflow</title></head></html>"


async def mlflow(
    scope: MutableMapping[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]
) -> None:
    assert b"if-none-match" not in dict(scope["headers"]) or scope["path"] != "/"
    headers = [(b"content-length", str(len(PAGE)).encode()), (b"etag", b"x"), (b"vary", b"Origin")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE[:9], "more_body": True})
    await send({"type": "http.response.body", "body": PAGE[9:]})


def answer(path: str, start: dict[str, Any]) -> tuple[dict[bytes, bytes], bytes]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"if-none-match", b"x")]}
    asyncio.run(with_start(mlflow, start)(scope, receive, send))
    return dict(sent[0]["headers"]), b"".join(message["body"] for message in sent[1:])


def test_only_the_start_page_is_changed() -> None:
    start = {"address": "#/experiments/1/runs", "columns": {"1": ["metrics.`test/</script>`"]}}
    headers, page = answer("/", start)
    assert headers[b"content-length"] == str(len(page)).encode()
    assert b"etag" not in headers and headers[b"vary"] == b"Origin"
    assert page.startswith(b"<html><head><style>") and page.count(b"<script>") == 1
    assert page.count(b"</script>") == 1
    text = page.decode().partition("const start = ")[2].partition(";\n")[0]
    assert json.loads(text) == start
    assert b"""absent("mlflow.workflowType_v1", '"machine_learning"');""" in page
    assert answer("/static-files/main.js", start) == (
        {b"content-length": b"47", b"etag": b"x", b"vary": b"Origin"},
        PAGE,
    )
