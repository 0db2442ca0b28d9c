"""Import what dlcli needs, by running a small sweep. The fork server does it once, for all processes (`forked.py`)."""

from pathlib import Path
from tempfile import TemporaryDirectory

from dlcli.process.quiet import quiet
from dlcli.runner.sweep import sweep

with quiet(), TemporaryDirectory() as folder:
    words = [
        "dataset=iris",
        "model=mlp",
        "model.hidden=4,8",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
    ]
    sweep(words, runs_dir=Path(folder))
