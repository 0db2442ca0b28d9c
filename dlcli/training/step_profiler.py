"""Profile of some training steps: a trace, and a table of the most expensive operations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from pytorch_lightning.profilers import Profiler
from torch.profiler import ProfilerActivity, profile, schedule

from dlcli.files.paths import display

# Number of steps that are not recorded: the first ones allocate memory, and the profiler has to warm up.
_WAIT, _WARM_UP = 1, 2
_SKIPPED = _WAIT + _WARM_UP

_OPERATIONS = 12
_COLUMNS = ("operation", "calls", "self ms", "share", "total ms")

TRACE, TABLE = "trace.json", "operations.txt"


class StepProfiler(Profiler):
    """Profiler that records the training steps after the first three with PyTorch's profiler.

    It writes two files: `trace.json`, which chrome://tracing and ui.perfetto.dev open, and `operations.txt`.

    Args:
        dirpath: folder of the files.
        steps: number of recorded steps.
    """

    def __init__(self, dirpath: str = "profile", steps: Annotated[int, Ge(1)] = 10) -> None:
        super().__init__(dirpath=dirpath)
        self.steps = steps
        self._folder = Path(dirpath)
        self._profile: Any = None
        self._done = 0

    def start(self, action_name: str) -> None:
        """Start the profiler at the first training step."""
        if action_name != "run_training_batch" or self._profile is not None:
            return
        devices = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
        plan = schedule(wait=_WAIT, warmup=_WARM_UP, active=self.steps, repeat=1)
        self._profile = profile(
            activities=devices, schedule=plan, on_trace_ready=self._write, acc_events=True
        )
        self._profile.start()

    def stop(self, action_name: str) -> None:
        """Count a finished training step."""
        if action_name == "run_training_batch" and self._profile is not None:
            self._done += 1
            self._profile.step()

    def teardown(self, stage: str | None) -> None:
        """Write the profile of a run that ended before all steps were recorded."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None
        super().teardown(stage)

    def _write(self, recorded: Any) -> None:
        self._folder.mkdir(exist_ok=True)
        recorded.export_chrome_trace(str(self._folder / TRACE))
        (self._folder / TABLE).write_text(
            table(recorded.key_averages(), min(self._done - _SKIPPED, self.steps))
        )


def table(operations: Any, steps: int) -> str:
    """Return a table of the operations with the most self time, on the GPU if there is one."""
    on_gpu = any(one.self_device_time_total > 0 for one in operations)
    own, total = (f"{kind}_{'device' if on_gpu else 'cpu'}_time_total" for kind in ("self", ""))
    total = total.removeprefix("_")
    rows = [one for one in operations if not one.key.startswith("ProfilerStep")]
    all_of_it = sum(getattr(one, own) for one in rows) or 1.0
    rows = sorted(rows, key=lambda one: -getattr(one, own))[:_OPERATIONS]
    cells = [
        (
            one.key[:40],
            str(one.count),
            f"{getattr(one, own) / 1000:.2f}",
            f"{getattr(one, own) / all_of_it:.0%}",
            f"{getattr(one, total) / 1000:.2f}",
        )
        for one in rows
    ]
    widths = [max(len(row[k]) for row in (_COLUMNS, *cells)) for k in range(len(_COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(w) if k == 0 else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in (_COLUMNS, *cells)
    ]
    where = "GPU" if on_gpu else "CPU"
    return "\n".join([f"{where} time of {steps} training steps", "", *lines, ""])


def profile_messages(run_dir: Path) -> list[str]:
    """Return a message on the profile, if steps of the run were profiled."""
    folder = run_dir / "profile"
    if not (folder / TRACE).exists():
        return []
    return [f"Profiled: {display(folder)} has {TABLE}, and {TRACE} for ui.perfetto.dev or chrome://tracing"]
