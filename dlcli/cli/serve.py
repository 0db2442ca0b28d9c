"""`dlcli serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dlcli.cli.common import (
    ConfDirs,
    ConformalOption,
    Coverage,
    RunsDir,
    SomeModels,
    Trust,
    UseModels,
    session,
)
from dlcli.events import Event, Note


def serve(
    run: SomeModels,
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SETTINGS", help="Format of the rows in requests: dataset.KEY=VALUE.", show_default=False
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="The port; 0 selects a free one.")
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Any address other than this machine's own requires a token."),
    ] = "127.0.0.1",
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with the token that requests must have; by default DLCLI_SERVE_TOKEN.",
        ),
    ] = None,
    max_rows: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of rows of a request.")
    ] = 10_000,
    max_mb: Annotated[
        int, typer.Option(metavar="MB", min=1, max=1024, help="Maximum size of a request.")
    ] = 16,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="Timeout of a request.")] = 30.0,
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="Device for the computation.")] = "auto",
    use: UseModels = None,
    coverage: Coverage = None,
    conformal: ConformalOption = None,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
) -> None:
    """Serve a run's saved model over HTTP, with a web form.

    - `dlcli serve penguins`

    `POST /predict` accepts rows as JSON or CSV, or images; `/` is a form, `/docs` the API. On Ctrl-C or SIGTERM,
    accepted requests are answered before the server ends; a second signal ends it immediately.
    """
    with session() as terminal:
        from dlcli.runner import serve as runner
        from dlcli.serving.limits import ServeLimits

        def listen(event: Event) -> None:
            if isinstance(event, Note):
                terminal.note(event.text)

        def ready(address: str, curl: str) -> None:
            terminal.note(f"Serving {run} at {address} (a form), {address}/docs (the API). Ctrl-C ends it.")
            terminal.note(curl)

        runner.serve(
            run,
            host=host,
            port=port,
            token_file=token_file,
            settings=settings or (),
            limits=ServeLimits(
                bytes=max_mb << 20, held=max(256, 2 * max_mb) << 20, rows=max_rows, seconds=timeout
            ),
            device=device,
            conf_dirs=conf_dir or (),
            runs_dir=runs_dir,
            trust=trust,
            use=use,
            coverage=coverage,
            conformal=conformal,
            listen=listen,
            ready=ready,
        )
