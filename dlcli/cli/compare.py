"""`dlcli compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dlcli.cli.common import Json, RunsDir, session

# Settings that some runs lack are not listed if they are more than this: the runs are of different kinds.
_FEW = 10


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two runs or more.")],
    metric: Annotated[
        str | None,
        typer.Option(help="The metric to compare by, or all; by default the first that is not the loss."),
    ] = None,
    format_: Annotated[
        Literal["md", "latex", "csv"] | None,
        typer.Option("--format", help="Only the tables for a paper, as dlcli report writes them."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Plot the critical differences of three runs or more (PNG)."),
    ] = None,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Show what differs between runs, and whether one is significantly better.

    Runs on the same folds are compared by the corrected paired t-test, runs on the same hold-out rows by McNemar's test
    or the bootstrap; three runs or more with Holm's correction and the Friedman test.
    """
    with session(json, data=format_ is not None) as terminal:
        from dlcli.comparison.estimates import figure_with_interval
        from dlcli.formatting import counted
        from dlcli.runner import compare as runner
        from dlcli.terminal.table_layout import with_one_loss

        if format_ is not None and not json:
            with terminal.data_out() as out:
                out.write(runner.tables_for_paper(runs, metric, format_, runs_dir).encode())
            return
        found = runner.compare(runs, metric, picture, runs_dir)
        if json:
            terminal.document(found.to_json())
            return

        for sentence in filter(None, (found.refusal, *found.notes)):
            terminal.sentence(sentence)

        def columns(rows: dict[str, list[str]]) -> dict[str, dict[str, str]]:
            return {run: {key: row[i] for key, row in rows.items()} for i, run in enumerate(found.runs)}

        settings, left_out = _readable(found.settings)
        if settings:
            terminal.table(columns(settings), title="settings")
        if left_out:
            terminal.note(f"{counted(left_out, 'setting')} that not all of them have; --json lists them.")
        figures = {
            name: [
                figure_with_interval(value, ends)
                for value, ends in zip(row, found.intervals[name], strict=True)
            ]
            for name, row in found.figures.items()
        }
        terminal.table(with_one_loss(columns(figures)), title=f"{found.rows}, 95 % interval")
        for pair in found.pairs:
            tests = ", ".join(f"{name} p = {p:.2g}" for name, p in pair.p.items())
            terminal.sentence(" ".join(filter(None, [f"{pair.words} ({tests}).", pair.power])))
        if found.ranking:
            terminal.note(f"All of them are equal: Friedman test p = {found.ranking.p:.2g}.")


def _readable(settings: dict[str, tuple[str, ...]]) -> tuple[dict[str, list[str]], int]:
    """Return the settings to show, and the number of settings left out because not all runs have them.

    A `_target_` is shown by the last part of its name, unless that is the same for all runs.
    """
    partial = [key for key, row in settings.items() if "-" in row]
    left_out = partial if len(partial) > _FEW else []
    shown = {}
    for key, row in settings.items():
        short = [text.rpartition(".")[2] for text in row]
        if key in left_out:
            continue
        if key.endswith("._target_") and len(set(short)) == len(set(row)):
            shown[key.removesuffix("._target_")] = short
        else:
            shown[key] = list(row)
    return shown, len(left_out)
