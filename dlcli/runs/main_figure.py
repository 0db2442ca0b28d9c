"""The main metric of a run with its baseline, for lists that show one metric per run."""

from __future__ import annotations

from dataclasses import dataclass

from dlcli.tracking.ledger import Ledger

_BASELINE = "baseline/"
_MEAN = "_mean"

# Prefixes of metrics, the most trustworthy evaluation first: means over folds, test rows, validation rows, and the best
# trial of a sweep without a refit.
_PARTS = ("cv/", "test/", "val/", "best/")


@dataclass(frozen=True)
class MainFigure:
    """A metric of a run.

    Attributes:
        name: name of the metric in the record, such as `test/accuracy` or `cv/accuracy_mean`.
        value: its value.
        baseline: the metric of the baseline that ignores the inputs; None if it was not recorded.
    """

    name: str
    value: float
    baseline: float | None


def main_figure(ledger: Ledger) -> MainFigure | None:
    """Return a run's first metric other than the loss, on the rows on which it is evaluated; None if there is none.

    `dlcli compare` compares runs by this metric.
    """
    recorded = ledger.result.get("metrics", ())
    for part in _PARTS:
        names = [
            name for name in recorded if name.startswith(part) and (part != "cv/" or name.endswith(_MEAN))
        ]
        if names:
            name = next((name for name in names if _metric(name) != "loss"), names[0])
            return MainFigure(name, ledger.metrics[name], ledger.metrics.get(_BASELINE + name))
    return None


def _metric(name: str) -> str:
    return name.partition("/")[2].removesuffix(_MEAN)
