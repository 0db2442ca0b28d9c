"""`dlcli predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dlcli.cli.common import ConfDirs, Coverage, Json, RunsDir, SomeModels, Trust, UseModels, session
from dlcli.events import Event, Listener, Note, RowsPredicted, Warned
from dlcli.formatting import counted

if TYPE_CHECKING:
    from dlcli.prediction.output import Write
    from dlcli.terminal.bars import ComputingBar
    from dlcli.terminal.console import Terminal


def predict(
    run: SomeModels,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE",
            help="New rows: tables, texts, images or folders of them; - or nothing for standard input. "
            "dataset.KEY=VALUE describes their format.",
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
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns to carry over: id,name; or all. A name with a comma stands in quotes.",
        ),
    ] = None,
    files_dir: Annotated[
        Path | None,
        typer.Option(
            "--files", metavar="DIR", help="Folder for masks and overlays, of models of images with masks."
        ),
    ] = None,
    device: Annotated[Literal["auto", "cpu"], typer.Option(help="Where to compute.")] = "auto",
    use: UseModels = None,
    coverage: Coverage = None,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Predict new rows with a run's saved model.

    Rows are raw, as for training: the preprocessing is part of the saved model. Targets are not needed.

    - `dlcli predict penguins data/penguins.csv --keep island,sex`
    - `dlcli predict penguins data/penguins.csv --output predictions.parquet`

    Tables and texts are read in pieces, so that a file may be larger than memory. For a cross-validation, or for
    RUN1,RUN2, the predictions are the mean over all models, and `spread` is their standard deviation.
    """
    to_person = output is None and sys.stdout.isatty()
    with session(json, data=output is None, supervised=True) as terminal:
        from dlcli.files.paths import display
        from dlcli.prediction.output import as_dicts
        from dlcli.prediction.predict_rows import NewData
        from dlcli.runner import predict as runner

        rows: list[dict[str, Any]] = []
        to_document = nullcontext(lambda table: rows.extend(as_dicts(table)))
        with ExitStack() as stack:
            # No progress bar if the predictions are printed on the terminal.
            listen = _listener(terminal, None if to_person else stack)
            done = runner.predict(
                run,
                NewData.of(files or (), keep),
                output or (to_document if json else _csv(terminal)),
                device=device,
                conf_dirs=conf_dir or (),
                runs_dir=runs_dir,
                trust=trust,
                use=use,
                coverage=coverage,
                listen=listen,
                files=files_dir,
            )
        if json:
            found = {"predictions": rows} if output is None else {"output": output.resolve()}
            terminal.document({"status": "OK", **asdict(done), **found})
        elif output is not None:
            terminal.note(f"{counted(done.lines, 'prediction')} in {display(output)}")
        if files_dir is not None and not json:
            terminal.note(f"Masks and overlays in {display(files_dir)}")


def _listener(terminal: Terminal, stack: ExitStack | None) -> Listener:
    """Return a listener that shows notes, warnings and, if there is a stack to remove it, a progress bar."""
    bar: ComputingBar | None = None

    def listen(event: Event) -> None:
        nonlocal bar
        match event:
            case Note(text):
                terminal.note(text)
            case Warned(text):
                terminal.warning(text)
            case RowsPredicted(rows) if stack is not None:
                from dlcli.terminal.bars import ComputingBar

                bar = bar or stack.enter_context(ComputingBar(terminal, "predictions", None))
                if rows:
                    bar.advance_to(rows)

    return listen


@contextmanager
def _csv(terminal: Terminal) -> Iterator[Write]:
    from dlcli.prediction.output import csv_to, with_write_errors

    with terminal.data_out() as stdout:
        yield with_write_errors(csv_to(stdout), "standard output")
