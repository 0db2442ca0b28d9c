"""dlcli: deep-learning experiments from the shell, and from notebooks.

    import dlcli
    result = dlcli.train(["model=mlp", "dataset=iris"])
    result.metrics["test/accuracy"]

Each function corresponds to the command of the same name (`evaluate` is `dlcli eval`). Importing the package is fast:
functions import their dependencies when they are called. docs/python.md describes all of them.
"""

from __future__ import annotations

from dlcli.process.deferred_imports import defer_imports
from dlcli.process.quick_imports import import_quickly
from dlcli.process.usage_statistics import send_no_usage_statistics

__version__ = "0.1.0"

send_no_usage_statistics()  # these three before anything imports a library
defer_imports()
import_quickly()

from dlcli.api.experiments import check, resume, sweep, train  # noqa: E402
from dlcli.api.explanations import explain, label  # noqa: E402
from dlcli.api.predictions import generate, predict  # noqa: E402
from dlcli.api.trained_runs import compare, ensemble, evaluate, export, load_run, report  # noqa: E402

__all__ = [
    "check",
    "compare",
    "ensemble",
    "evaluate",
    "explain",
    "export",
    "generate",
    "label",
    "load_run",
    "predict",
    "report",
    "resume",
    "sweep",
    "train",
]


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
