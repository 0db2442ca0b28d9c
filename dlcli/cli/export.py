"""`dlcli export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dlcli.cli.common import ConfDirs, DataPlace, Json, RunsDir, SomeModels, Trust, UseModels, session

_SUFFIXES = {"torch": ".pt2", "onnx": ".onnx", "executorch": ".pte"}


def export(
    run: SomeModels,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .pt2 (torch.export), .onnx, or .pte (ExecuTorch); for a model that generates texts, a folder.",
        ),
    ] = None,
    to: Annotated[
        Literal["torch", "onnx", "executorch"] | None,
        typer.Option(help="The format, instead of --output: writes RUN.pt2, RUN.onnx or RUN.pte."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder that predicts raw rows with onnxruntime alone."),
    ] = None,
    overrides: DataPlace = None,
    use: UseModels = None,
    conf_dir: ConfDirs = None,
    trust: Trust = False,
    runs_dir: RunsDir = None,
    json: Json = False,
) -> None:
    """Write a run's network as a file, or its model as a folder, for use without dlcli.

    - `dlcli export penguins --output penguins.pt2`
    - `dlcli export penguins --to onnx`
    - `dlcli export penguins --bundle penguins-model`

    Its inputs are the outputs of the preprocessing; FILE.json describes them and the network's outputs. The file is
    read back and compared with the model on rows of the run's data. A model that generates texts is written as a folder
    with an encoder, a step of its decoder and the encodings of texts; of one that makes images, the program that makes
    them of noise.

    A bundle accepts raw rows of a table or series, texts, files of images or recordings.
    """
    with session(json, supervised=True) as terminal:
        from dlcli.errors import InputError
        from dlcli.files.paths import display
        from dlcli.runner import export as runner

        if sum(place is not None for place in (output, to, bundle)) != 1:
            raise InputError("name a file, a format or a folder", "--output, --to or --bundle")
        if to is not None:
            output = Path(Path(run).name + _SUFFIXES[to])
        # The types of the two results differ, their meaning does not.
        found: Any
        where: dict[str, Any] = {
            "conf_dirs": conf_dir or (),
            "runs_dir": runs_dir,
            "trust": trust,
            "use": use,
        }
        if bundle is not None:
            found = runner.bundle(run, bundle, overrides or (), **where)
            places = {"bundle": found.folder.resolve()}
            written = f"Written: {display(found.folder)}; try it there: python predict.py {found.example}"
            compared = f"On {found.rows} raw rows its predictions"
        else:
            assert output is not None
            found = runner.export(run, output, overrides or (), **where)
            places = {"output": found.file.resolve(), "description": found.description.resolve()}
            written = f"Written: {display(found.file)}, described in {display(found.description)}"
            compared = f"On {found.rows} rows its outputs"
        if json:
            figures = {"rows_compared": found.rows, "largest_difference": found.largest_difference}
            terminal.document({"status": "OK", "run_id": found.run_id, **places, **figures})
            return
        difference = f"{compared} differ from the model's by {found.largest_difference:.1g} at most."
        for note in (*found.messages, written, difference):
            terminal.note(note)
