"""System metrics during a run: CPU, memory, disk, network and GPU, under MLflow's names."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor

PREFIX = "system/"
_FIRST, _INTERVAL = 0.3, 1.0  # seconds; the first sample is taken early, so that short runs have one


class Sampler(threading.Thread):
    """A thread that calls `record` with a sample every second until it is stopped."""

    def __init__(self, record: Callable[[dict[str, float]], None]) -> None:
        super().__init__(name="dlcli-system-metrics", daemon=True)
        self._record = record
        self._stop_asked = threading.Event()
        self._monitors: list[BaseMetricsMonitor] = []
        self._sampled = False

    def run(self) -> None:
        """Sample until stopped; samples that fail are skipped."""
        self._monitors = _monitors()
        wait = _FIRST
        while not self._stop_asked.wait(wait):
            self._sample()
            wait = _INTERVAL

    def stop(self) -> None:
        """End the thread, after one sample if there was none yet."""
        self._stop_asked.set()
        self.join()
        if not self._sampled:
            self._sample()

    def _sample(self) -> None:
        sample: dict[str, float] = {}
        for monitor in self._monitors:
            # An error of a driver, or a full disk (which the run itself reports), must not end the sampling.
            with contextlib.suppress(Exception):
                monitor.collect_metrics()
                sample |= {PREFIX + name: float(value) for name, value in monitor.aggregate_metrics().items()}
                monitor.clear_metrics()
        if sample:
            with contextlib.suppress(Exception):
                self._record(sample)
                self._sampled = True


def _monitors() -> list[BaseMetricsMonitor]:
    psutil.cpu_percent()  # the first call only starts the measurement
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an outdated pynvml warns on import
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[BaseMetricsMonitor] = []
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        with contextlib.suppress(Exception):  # no GPU, no driver, no pynvml, no counters in this container
            monitors.append(kind())
    return monitors
