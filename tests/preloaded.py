"""Imports what dlcli needs, by a small sweep: for the process that others are forked from (`tests/processes.py`)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from dlcli import runner
from dlcli.process.quiet import quiet

with quiet(), TemporaryDirectory() as folder:
    words = [
        "dataset=iris",
        "model=mlp",
        "model.hidden=4,8",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
    ]
    runner.sweep(words, runs_dir=Path(folder))
