"""CPU time of whole commands, in multiples of `import torch`, beside `import torch, pytorch_lightning`."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 5
ROW = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5.1,3.5,1.4,0.2\n"
TRAIN = ["train", "dataset=iris", "model=mlp", "trainer.max_epochs=2"]


def main() -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        (place / "new.csv").write_text(ROW)
        first, second = (_dlcli(*TRAIN, f"run_name={name}") for name in ("one", "two"))
        commands = {
            "import torch": ["-c", "import torch"],
            "import torch, pytorch_lightning": ["-c", "import torch, pytorch_lightning"],
            "train iris, 2 epochs": first,
            "eval": _dlcli("eval", "one"),
            "predict, 1 row": _dlcli("predict", "one", "new.csv"),
            "compare": _dlcli("compare", "one", "two"),
            "--help": _dlcli("--help"),
        }
        for command in (first, second):  # makes the store, warms the file cache
            _cpu(command, place)
        rounds = [{name: _cpu(command, place) for name, command in commands.items()} for _ in range(RUNS)]
    print(f"{'':34}{'of torch':>10}   (lowest to highest of {RUNS})")
    for name in commands:
        ratios = sorted(figures[name] / figures["import torch"] for figures in rounds)
        print(f"{name:34}{statistics.median(ratios):10.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def _dlcli(*words: str) -> list[str]:
    return ["-m", "dlcli", *words]


def _cpu(arguments: list[str], place: Path) -> float:
    """Run `python ARGUMENTS` and return the CPU seconds of it and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=place, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
