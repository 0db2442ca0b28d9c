"""`dlcli predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlcli.cli.common import ConfDirs, Json, Run, RunsDir, Trust, session
from dlcli.formatting import counted
from dlcli.terminal.bars import ComputingBar

if TYPE_CHECKING:
    from dlcli.prediction.output import Write
    from dlcli.terminal.console import Terminal


def predict(
    run: Run,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="New rows: tables, texts, images or folders of them; - or nothing: what is piped in. "
            "dataset.KEY=VALUE says how they are written.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="A .csv, .parquet or .jsonl; else CSV on stdout."
        ),
    ] = None,
    keep: Annotated[
        str | None, typer.Option(metavar="COLUMNS", help="Columns to carry through: id,name; or all.")
    ] = None,
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="Where to compute.")] = "auto",
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Predict new rows with a run's saved model.

    Rows are raw, as the training's were: what is done to them is part of the saved model. Targets need not be there.

    - `dlcli predict penguins data/penguins.csv --keep island,sex`
    - `dlcli predict penguins data/penguins.csv --output predictions.parquet`

    Tables and texts are read a piece at a time: a file may be larger than memory. A cross-validation has a model of its
    own with `cv.refit=true`; without, name a fold of it.
    """
    to_person = output is None and sys.stdout.isatty()
    with session(json, data=output is None, supervised=True) as terminal:
        from dlcli import runner
        from dlcli.files.paths import display
        from dlcli.prediction.output import check_output
        from dlcli.prediction.predict import NewData, predict
        from dlcli.runs.folder import open_run

        data = NewData.of(files or (), keep)
        if output is not None:
            check_output(output, data.files)
        opened = open_run(run, runner.runs_directory(runs_dir), conf_dir or (), trust=trust)
        model = opened.load_model()
        for note in opened.notes:
            terminal.note(note)
        lines = 0
        found: list[dict[str, Any]] = []
        # Lines that a person reads as they come need no bar between them.
        bar = nullcontext(None) if to_person else ComputingBar(terminal, "predictions", None)
        with bar as shown, _sink(terminal, output, found if json else None) as write:
            advanced = shown.advance_to if shown else lambda _: None
            lines = predict(
                opened, model, data, write, device=device, tell=terminal.warning, advanced=advanced
            )
        if json:
            ledger = opened.ledger
            terminal.document(
                {
                    "status": "OK",
                    "run_id": ledger.run_id,
                    "run_name": ledger.run_name,
                    "run_dir": opened.folder,
                    "lines": lines,
                    **({"predictions": found} if output is None else {"output": output.resolve()}),
                }
            )
        elif output is not None:
            terminal.note(f"{counted(lines, 'prediction')} in {display(output)}")


def _sink(
    terminal: Terminal, output: Path | None, found: list[dict[str, Any]] | None
) -> AbstractContextManager[Write]:
    """What takes the predictions: a file, `found` for the JSON document, or standard output."""
    from dlcli.prediction.output import records, written_to

    if output is not None:
        return written_to(output)
    if found is not None:
        return nullcontext(lambda table: found.extend(records(table)))
    return _csv(terminal)


@contextmanager
def _csv(terminal: Terminal) -> Iterator[Write]:
    from dlcli.prediction.output import csv_to, with_write_errors

    with terminal.data_out() as stdout:
        yield with_write_errors(csv_to(stdout), "standard output")
