"""`dlcli compare`: compare runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dlcli.comparison.compare_runs import Comparison, compare_runs
from dlcli.comparison.critical_difference import critical_difference
from dlcli.errors import InputError
from dlcli.reports.style import save
from dlcli.runner import runs_directory
from dlcli.runner.report import ReportFormat, report


def compare(
    runs: Sequence[str], metric: str | None = None, picture: Path | None = None, runs_dir: Path | None = None
) -> Comparison:
    """Return what differs between runs, and whether one is significantly better."""
    found = compare_runs(runs, runs_directory(runs_dir), metric)
    if picture is not None:
        if found.ranking is None:
            raise InputError(
                "there are no ranks to draw", "--picture", "They need three runs on the same folds."
            )
        save(critical_difference(found.runs, found.ranking, found.metric), picture)
    return found


def tables_for_paper(
    runs: Sequence[str], metric: str | None, how: ReportFormat, runs_dir: Path | None = None
) -> str:
    """Return figures with intervals, differences and ranks as tables in Markdown, LaTeX or CSV."""
    if len(runs) < 2:
        compare(runs, metric, None, runs_dir)  # says so
    return report(runs, metric, how, runs_dir).text
