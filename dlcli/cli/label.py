"""`dlcli label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, DataPlace, Json, Run, RunsDir, Trust, session

_SHOWN = 20


def label(
    run: Run,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A .csv of all likely errors.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For images: a .png with the most likely errors.")
    ] = None,
    overrides: DataPlace = None,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Find rows whose label is probably wrong, by predictions of models that were not trained on them.

    A cross-validation checks all rows of its folds; other runs check their validation and test rows.

    - `dlcli label folded --output labels.csv`
    """
    with session(json) as terminal:
        from dlcli.files.paths import display
        from dlcli.formatting import counted
        from dlcli.runner import label as runner
        from dlcli.sanitize.presentable import presentable_name
        from dlcli.terminal.flowing import flowing

        found = runner.label(
            run, output, picture, overrides or (), conf_dirs=conf_dir or (), runs_dir=runs_dir, trust=trust
        )
        if json:
            terminal.document(found.to_json())
            return
        lines = [
            {
                "row": f"{line.row:,}",
                "label": presentable_name(str(line.label)),
                "suggested": presentable_name(str(line.suggested)),
                "p(label)": f"{line.p_label:.3f}",
                "p(suggested)": f"{line.p_suggested:.3f}",
            }
            for line in found.errors.head(_SHOWN).itertuples()
        ]
        for text in flowing(lines, terminal.console.width, right=("row", "p(label)", "p(suggested)")):
            terminal.note(text)
        if len(found.errors) > _SHOWN:
            rest = counted(len(found.errors) - _SHOWN, "more row")
            terminal.note(f"... and {rest}" + ("" if output else ": --output labels.csv"))
        for message in found.messages:
            terminal.sentence(message)
        for file in filter(None, (found.file, found.picture)):
            terminal.note(f"Written: {display(file)}")
