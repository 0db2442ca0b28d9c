"""`dlcli report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dlcli.cli.common import Json, RunsDir, session


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="A run, or several to compare.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .html, .md, .tex or .csv; by default NAME-report.html, or tables on stdout.",
        ),
    ] = None,
    format_: Annotated[
        Literal["html", "md", "latex", "csv"] | None,
        typer.Option("--format", help="md, latex and csv: only the tables of results."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The metric that several runs are compared by, as in dlcli compare.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Write a self-contained page about a run, or about several runs and their differences.

    - `dlcli report irises`
    - `dlcli report irises faster-irises --format latex`

    The page is one HTML file that loads no other files: results with baselines and intervals, learning curves,
    pictures, data and split, configuration, environment, and the command that repeats the run.
    """
    tables_only = output is None and format_ not in (None, "html")
    with session(json, data=tables_only) as terminal:
        from dlcli.files.paths import display
        from dlcli.formatting import amount
        from dlcli.runner import report as runner

        how = runner.format_of_report(output, format_)
        found = runner.report(runs, metric, how, runs_dir)
        for note in found.notes:
            terminal.note(note)
        target = None
        if output is not None or how == "html":
            target = runner.written_report(found, output).file
            assert target is not None
            if not json:
                terminal.note(f"Written: {display(target)}, {amount(target.stat().st_size)}")
        elif not json:
            with terminal.data_out() as out:
                out.write(found.text.encode())
        if json:
            terminal.document(
                {
                    "status": "OK",
                    "output": target and str(target),
                    "format": how,
                    "runs": list(found.page.run_ids),
                    "tables": [table.to_json() for table in found.tables],
                }
            )
        if open_it and target is not None and typer.launch(str(target)) != 0:
            terminal.warning(f"No program could be started that shows {display(target)}")
