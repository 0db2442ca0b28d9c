"""System metrics during a run: CPU, memory, disk, network and GPU, with MLflow's names.

Without a GPU they are read here, because importing MLflow takes longer than many runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil

from dlcli.tracking.connection import load_mlflow

if TYPE_CHECKING:
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

PREFIX = "system/"
_INTERVAL = 10.0  # seconds, as in MLflow; shorter runs have no samples


class Sampler(threading.Thread):
    """A thread that calls `record` with a sample every ten seconds until it is stopped."""

    def __init__(self, record: Callable[[dict[str, float]], None]) -> None:
        super().__init__(name="dlcli-system-metrics", daemon=True)
        self._record = record
        self._stop_asked = threading.Event()
        self._machine, self._gpus = _Machine(), _gpu_monitor()

    def run(self) -> None:
        """Sample until stopped; failed samples are skipped."""
        while not self._stop_asked.wait(_INTERVAL):
            self._sample()

    def stop(self) -> None:
        """End the thread."""
        self._stop_asked.set()
        self.join()

    def _sample(self) -> None:
        # An error of a driver or a full disk, which the run itself reports, must not end the thread.
        sample = self._machine.read()
        if self._gpus is not None:
            with contextlib.suppress(Exception):
                self._gpus.collect_metrics()
                sample |= self._gpus.aggregate_metrics()
                self._gpus.clear_metrics()
        if sample:
            with contextlib.suppress(Exception):
                self._record({PREFIX + name: float(value) for name, value in sample.items()})


class _Machine:
    """Reads the values of MLflow's monitors of CPU, memory, disk and network, with the same names and units."""

    def __init__(self) -> None:
        with contextlib.suppress(Exception):
            psutil.cpu_percent()  # the first call only starts the measurement
        self._before = _traffic()

    def read(self) -> dict[str, float]:
        """Return percentages and megabytes; network traffic is counted from the start of the run."""
        found: dict[str, float] = {}
        for reading in (_processors, _disk, self._network):
            with contextlib.suppress(Exception):  # a container may lack some of the counters
                found |= reading()
        return found

    def _network(self) -> dict[str, float]:
        received, sent = (now - then for now, then in zip(_traffic(), self._before, strict=True))
        return {"network_receive_megabytes": received / 1e6, "network_transmit_megabytes": sent / 1e6}


def _processors() -> dict[str, float]:
    memory = psutil.virtual_memory()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system_memory_usage_percentage": round(memory.used / memory.total * 100, 1),
    }


def _disk() -> dict[str, float]:
    disk = psutil.disk_usage(os.sep)
    return {
        "disk_usage_percentage": disk.percent,
        "disk_usage_megabytes": round(disk.used / 1e6, 1),
        "disk_available_megabytes": round(disk.free / 1e6, 1),
    }


def _traffic() -> tuple[float, ...]:
    """Return the bytes received and sent since the machine was started; empty if they are not available."""
    with contextlib.suppress(Exception):
        if counters := psutil.net_io_counters():
            return counters.bytes_recv, counters.bytes_sent
    return ()


def _gpu_monitor() -> GPUMonitor | None:
    """Return MLflow's monitor of GPUs, or None if no GPU can be monitored."""
    torch = sys.modules.get("torch")  # a run that trains has imported it
    if torch is None or not torch.cuda.is_available():
        return None
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # no pynvml
        warnings.simplefilter("ignore")  # an outdated pynvml warns on import
        load_mlflow()
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

        return GPUMonitor()
    return None
