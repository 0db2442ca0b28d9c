"""The main metric of a run with its baseline, for lists that show one figure per run."""

from __future__ import annotations

from dataclasses import dataclass

from dlcli.tracking.ledger import Ledger

_BASELINE = "baseline/"
_MEAN = "_mean"

# Where a run is judged, the most trustworthy first: means over folds, the test rows, the validation rows, and the best
# trial of a sweep without a refit.
_PARTS = ("cv/", "test/", "val/", "best/")


@dataclass(frozen=True)
class MainFigure:
    """A metric of a run.

    Attributes:
        name: name of the metric in the record, such as `test/accuracy` or `cv/accuracy_mean`.
        value: its value.
        baseline: the same metric for a baseline that ignores the inputs; None if it was not recorded.
    """

    name: str
    value: float
    baseline: float | None


def main_figure(ledger: Ledger) -> MainFigure | None:
    """Return a run's first metric that is not a loss on the rows by which it is judged; None if it has none yet.

    This is the metric by which `dlcli compare` compares.
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
