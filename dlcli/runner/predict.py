"""`dlcli predict`: predict files of new rows with a run's saved model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from dlcli.datasets.notices import Notice
from dlcli.datasets.tables.pieces import STDIN
from dlcli.events import Listener, Note, ignore
from dlcli.prediction.coverage import with_coverage
from dlcli.prediction.make_samples import Wanted, write_samples
from dlcli.prediction.output import Write, check_folder, check_output, written_to
from dlcli.prediction.predict_rows import NewData, Predicted, predict_rows
from dlcli.runner import runs_directory
from dlcli.runs.ensembles import Use, open_model
from dlcli.statistics.conformal_methods import ConformalMethod

# The default folder of generated images.
SAMPLES = Path("samples")


def predict(
    run: str,
    data: NewData,
    output: Path | AbstractContextManager[Write],
    *,
    device: Literal["auto", "cpu"] = "auto",
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    use: Use | None = None,
    coverage: float | None = None,
    conformal: ConformalMethod | None = None,
    listen: Listener = ignore,
    files: Path | None = None,
    wanted: Wanted | None = None,
) -> Predicted:
    """Predict new rows with a run's saved model, and write the predictions to a file or to what `output` opens.

    `files` is a folder for predictions that are files, such as masks. With a `coverage`, predictions include sets of
    classes or intervals of numbers. `wanted` specifies images to be generated instead of predicting rows.
    """
    if isinstance(output, Path):
        check_output(output, data.files)
    if files is not None or wanted is not None:
        files = files if files is not None else SAMPLES
        check_folder(files, [file for file in data.files if file != STDIN])
    chosen = open_model(run, runs_directory(runs_dir), conf_dirs, trust=trust, use=use)
    found = with_coverage(chosen, coverage, conformal)
    opened, model = found.run, found.model
    for note in found.notes:
        listen(Note(note))
    notices: list[Notice] = []
    if wanted is None:
        model.check_predicts_rows()
    with written_to(output) if isinstance(output, Path) else output as write:
        if wanted is not None:
            assert files is not None  # it has a default
            lines = write_samples(model, wanted, write, files, device=device, listen=listen)
        else:
            lines, notices = predict_rows(
                opened, model, data, write, device=device, listen=listen, files=files
            )
    return Predicted(
        opened.ledger.run_id,
        opened.ledger.run_name,
        opened.folder,
        lines,
        tuple(notices),
        tuple(member.ledger.run_id for member in found.members),
        coverage,
        model.conformal.rows if model.conformal else None,
    )
