"""Import what dlcli needs, by running a small sweep. The fork server does it once, for all processes (`forked.py`).

They do not wait for the disk, and draw coarsely, as the tests do.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from sqlalchemy import event
from sqlalchemy.engine import Engine

from dlcli.process.quiet import quiet
from dlcli.runner.sweep import sweep
from tests.quick import draw_coarsely, forget_the_disk, no_waiting

patch = pytest.MonkeyPatch()
forget_the_disk(patch)
draw_coarsely(patch)
event.listen(Engine, "connect", no_waiting)

with quiet(), TemporaryDirectory() as folder:
    words = [
        "dataset=iris",
        "model=mlp",
        "model.hidden=4,8",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
    ]
    sweep(words, runs_dir=Path(folder))

# The sweep has asked for GPUs, after which torch calls every fork unsafe for CUDA: a pool would start its workers anew,
# which takes seconds, instead of forking them, as it does for dlcli's own program.
if not torch.cuda.is_available():
    torch.cuda._is_in_bad_fork = lambda: False
