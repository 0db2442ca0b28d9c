"""`dlcli eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dlcli.cli.common import (
    ConfDirs,
    ConformalOption,
    Coverage,
    DataPlace,
    Json,
    RunsDir,
    SomeModels,
    Trust,
    UseModels,
    session,
)


def eval(  # the command's name
    run: SomeModels,
    split: Annotated[
        Literal["test", "val"],
        typer.Option(
            help="Rows to evaluate the model on; test: the held-out rows of a fold, else the final test rows."
        ),
    ] = "test",
    overrides: DataPlace = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Evaluate the model on these rows instead, which include targets."),
    ] = None,
    use: UseModels = None,
    coverage: Coverage = None,
    conformal: ConformalOption = None,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Load a run's saved model and recompute its metrics from the raw rows.

    They equal the recorded metrics. Use the path for a folder that was copied elsewhere. With `--file` the model is
    evaluated on new rows with known targets; `dlcli predict` predicts rows without.

    - `dlcli eval penguins --file data/penguins.csv`
    """
    with session(json, supervised=True) as terminal:
        from dlcli.files.paths import display
        from dlcli.runner import evaluate as runner
        from dlcli.splits.split import name_of_test_rows
        from dlcli.tracking.ledger import Ledger

        result = runner.evaluate(
            run,
            split,
            conf_dirs=conf_dir or (),
            runs_dir=runs_dir,
            trust=trust,
            use=use,
            coverage=coverage,
            conformal=conformal,
            overrides=overrides or (),
            file=file,
        )
        if json:
            terminal.document(result.to_json())
            return
        on = f" on {display(file)}" if file else ""
        title = f"{result.run_name}, from its saved model{on}"
        is_fold = Ledger.load(result.run_dir).kind == "fold"
        headings = {"test": "new rows" if file else name_of_test_rows(is_fold)}
        terminal.results(result.values, title=title, baselines=result.baselines, headings=headings)
        for message in result.messages:
            terminal.sentence(message)
