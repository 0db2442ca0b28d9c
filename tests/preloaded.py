"""Import what dlcli needs, by running a small sweep. The fork server does it once, for all processes (`forked.py`)."""

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
