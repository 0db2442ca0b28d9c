"""MLflow's pages for `dlcli ui`: `python -m dlcli.tracking.ui_server PORT`, without MLflow's messages.

The application is MLflow's own. A few lines of script are added to its start page, which set preferences that MLflow
keeps in the browser, unless they are set: the page of the newest experiment, the columns of its table, curves before
charts of one point, the menu for training instead of that for language models, and that the assistant, whose button is
hidden, and the announcement of the registry are closed.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import warnings
import webbrowser
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import uvicorn

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

START_VARIABLE = "DLCLI_UI_START"  # the address to open, and the columns by experiment ID, as JSON
STORE_VARIABLE = "MLFLOW_BACKEND_STORE_URI"

_SCRIPT = """<style>button[data-assistant-ui] { display: none }</style><script>try {
  const start = %s;
  const absent = (key, value) => { if (localStorage.getItem(key) === null) localStorage.setItem(key, value) };
  absent("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
  absent("_mlflow_model_registry_promo_modal_dismissed_v1", "true");
  absent("mlflow.workflowType_v1", '"machine_learning"');
  // Other sections follow in the order of their names; MLflow adds their charts.
  const section = (name) => ({uuid: name, name, display: true, isReordered: false, deleted: false, isGenerated: true});
  const charts = (names) => ({isAccordionReordered: true, compareRunCharts: [], autoRefreshEnabled: true,
    compareRunSections: names.map(section),
    globalLineChartConfig: {xAxisKey: "step", lineSmoothness: 0, selectedXAxisMetricKey: ""}});
  const getItem = Storage.prototype.getItem;
  Storage.prototype.getItem = function (key) {
    const kept = getItem.call(this, key), run = /-RunPage-(\\w+)-model-chartUIState$/.exec(key);
    if (kept !== null || !run) return kept;
    const asked = new XMLHttpRequest();
    try {
      asked.open("GET", "ajax-api/2.0/mlflow/runs/get?run_id=" + run[1], false);
      asked.send();
      const keys = JSON.parse(asked.responseText).run.data.metrics.map((metric) => metric.key);
      const names = ["train", "val"].filter((name) => keys.some((key) => key.startsWith(name + "/")));
      return names.length ? JSON.stringify(charts(names)) : null;
    } catch { return null }
  };
  for (const [id, selectedColumns] of Object.entries(start.columns))
    absent(`MLflowLocalStorage-1.1-ExperimentPage-["${id}"]-ReactComponentState`,
      JSON.stringify({...(start.curves.includes(id) ? charts(["train", "val"]) : {}), selectedColumns}));
  if (["", "#", "#/"].includes(location.hash) && start.address) location.hash = start.address;
} catch {}</script>"""


def with_start(app: App, start: MutableMapping[str, Any]) -> App:
    """Return the application with the script in its start page; other responses are unchanged."""
    # Escaped, because a name with `</script>` would end the script.
    script = (_SCRIPT % json.dumps(start).replace("<", "\\u003c")).encode()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await app(scope, receive, send)
            return
        kept = [(name, value) for name, value in scope["headers"] if not re.match(rb"if-|range", name)]
        begin: list[Message] = []
        body = b""

        async def collect(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                begin.append(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            page = body.replace(b"<head>", b"<head>" + script, 1)
            headers = [
                (name, str(len(page)).encode() if name.lower() == b"content-length" else value)
                for name, value in begin[0]["headers"]
                if name.lower() != b"etag"
            ]
            await send({**begin[0], "headers": headers})
            await send({"type": "http.response.body", "body": page})

        await app({**scope, "headers": kept}, receive, collect)

    return wrapped


def main(port: int, open_it: bool) -> None:
    """Serve until Ctrl-C, on this machine only."""
    # Environment variables that `mlflow server` sets for its processes.
    from mlflow import server

    uri = os.environ[STORE_VARIABLE]
    os.environ[server.BACKEND_STORE_URI_ENV_VAR] = os.environ[server.REGISTRY_STORE_URI_ENV_VAR] = uri
    os.environ.setdefault(server.ARTIFACT_ROOT_ENV_VAR, "mlflow-artifacts:/")
    os.environ.setdefault(server.SERVE_ARTIFACTS_ENV_VAR, "true")
    os.environ.setdefault(server.ARTIFACTS_DESTINATION_ENV_VAR, "./mlartifacts")
    warnings.simplefilter("ignore")
    from mlflow.server.fastapi_app import app

    start = json.loads(os.environ.get(START_VARIABLE) or "{}")
    wrapped = with_start(app, {"address": "", "columns": {}, "curves": [], **start})
    running = uvicorn.Server(uvicorn.Config(wrapped, "127.0.0.1", port, log_level="warning"))
    if open_it:
        address = f"http://127.0.0.1:{port}/{start.get('address', '')}"
        threading.Timer(1.0, webbrowser.open, [address]).start()
    with suppress(KeyboardInterrupt):
        running.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:] == ["--open"])
