"""Names of classes and functions in earlier releases, which the configurations of older runs still contain."""

from __future__ import annotations

from typing import Any

_FORMER = {
    **{
        f"dlcli.datasets.{name}.load": f"dlcli.datasets.bundled.{name}"
        for name in ("breast_cancer", "diabetes", "digits", "iris", "wine")
    },
    "dlcli.datasets.mnist.load": "dlcli.datasets.mnist.load_mnist",
    "dlcli.datasets.fashion_mnist.load": "dlcli.datasets.mnist.load_fashion_mnist",
    "dlcli.sweeps.options.Sweep": "dlcli.sweeps.sweep_options.Sweep",
    "dlcli.tracking.options.Tracking": "dlcli.tracking.tracking_options.Tracking",
    "dlcli.training.batch_size_finder.BatchSizeFinder": "dlcli.training.finders.BatchSizeFinder",
    "dlcli.training.lr_finder.LearningRateFinder": "dlcli.training.finders.LearningRateFinder",
    "dlcli.training.profiling.StepProfiler": "dlcli.training.step_profiler.StepProfiler",
}


def with_present_names(node: Any) -> Any:
    """Return a configuration, in plain types, with every former `_target_` replaced by its present name."""
    if isinstance(node, dict):
        return {
            key: _FORMER.get(value, value)
            if key == "_target_" and isinstance(value, str)
            else with_present_names(value)
            for key, value in node.items()
        }
    return [with_present_names(value) for value in node] if isinstance(node, list) else node
