"""`dlcli compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlcli.cli.common import Json, RunsDir, session


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two runs or more.")],
    metric: Annotated[
        str | None, typer.Option(help="What to compare them by; by default the first that is not the loss.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the critical differences of three runs or more (PNG)."),
    ] = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Show what differs between runs, and whether one is really better.

    Runs on the same folds are compared by the corrected paired t-test, runs on the same hold-out rows by McNemar's test
    or the bootstrap; three runs or more with Holm's correction and the Friedman test.
    """
    with session(json) as terminal:
        from dlcli import runner
        from dlcli.console import number

        found = runner.compare(runs, metric, picture, runs_dir)
        if json:
            terminal.document(found.to_json())
            return

        def columns(rows: dict[str, list[str]]) -> dict[str, dict[str, str]]:
            return {run: {key: row[i] for key, row in rows.items()} for i, run in enumerate(found.runs)}

        if found.settings:
            terminal.table(columns({key: list(row) for key, row in found.settings.items()}), title="settings")
        figures = {k: ["-" if v is None else number(v) for v in row] for k, row in found.figures.items()}
        terminal.table(columns(figures), title="held-out rows")
        if found.refusal:
            terminal.sentence(found.refusal)
        for pair in found.pairs:
            tests = ", ".join(f"{name} p = {p:.2g}" for name, p in pair.p.items())
            terminal.sentence(f"{pair.words} ({tests}).")
        if found.ranking:
            terminal.note(f"Are all of them alike? Friedman test p = {found.ranking.p:.2g}.")
