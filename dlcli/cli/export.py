"""`dlcli export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dlcli.cli.common import ConfDirs, DataPlace, Json, Run, RunsDir, Trust, session


def export(
    run: Run,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .pt2 (torch.export) or an .onnx.")
    ],
    overrides: DataPlace = None,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Write a run's network as a file that needs no dlcli.

    - `dlcli export penguins --output penguins.pt2`

    Its inputs are the outputs of the preprocessing; FILE.json describes them and the network's outputs. The file is
    read back and compared with the model on rows of the run's data.
    """
    with session(json, supervised=True) as terminal:
        from dlcli.files.paths import display
        from dlcli.runner import export as runner

        found = runner.export(
            run, output, overrides or (), conf_dirs=conf_dir or (), runs_dir=runs_dir, trust=trust
        )
        if json:
            terminal.document(
                {
                    "status": "OK",
                    "run_id": found.run_id,
                    "output": found.file.resolve(),
                    "description": found.description.resolve(),
                    "rows_compared": found.rows,
                    "largest_difference": found.largest_difference,
                }
            )
            return
        for note in found.messages:
            terminal.note(note)
        terminal.note(f"Written: {display(found.file)}, described in {display(found.description)}")
        terminal.note(
            f"On {found.rows} rows its outputs differ from the model's by {found.largest_difference:.1g} at most."
        )
