"""`dlcli report`: an HTML page about runs, or their tables for a paper. Neither torch nor MLflow is imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from dlcli.errors import DlcliError, InputError
from dlcli.files.disk import write_errors
from dlcli.files.paths import display, is_folder, kind_at, typed
from dlcli.files.regular import open_regular
from dlcli.files.unfinished import unfinished
from dlcli.formatting import shell_line
from dlcli.page.account import Account, account_of
from dlcli.page.blocks import Figures, Page
from dlcli.page.plain_tables import tables_text
from dlcli.page.render import GENERATOR, page_html
from dlcli.page.sections import page_of_run
from dlcli.runner import runs_directory
from dlcli.runs.find import find_run

ReportFormat = Literal["html", "md", "latex", "csv"]

SUFFIXES: dict[str, ReportFormat] = {
    ".html": "html",
    ".htm": "html",
    ".md": "md",
    ".tex": "latex",
    ".csv": "csv",
}

# Names of the tables with results; other tables describe data and settings.
_FOR_PAPERS = ("results", "figures", "comparison", "differences", "ranks", "folds", "trials", "importances")

_HEAD = 2_000  # bytes at the beginning of a file by which a report is recognized
_LONGEST = 60  # maximum number of characters of a run's name in a file name


@dataclass(frozen=True)
class Reported:
    """A report.

    Attributes:
        page: its content, without a layout.
        text: the content of the file.
        format: html, md, latex or csv.
        notes: notes for the user on how the runs were found.
        file: the file, if it was written.
    """

    page: Page
    text: str
    format: ReportFormat
    notes: tuple[str, ...] = ()
    file: Path | None = None

    def _repr_html_(self) -> str:
        """Show the page in a notebook, in an iframe."""
        text = self.text if self.format == "html" else page_html(self.page)
        frame = '<iframe sandbox style="width:100%;height:42rem;border:0" srcdoc="{}"></iframe>'
        return Markup(frame).format(text)

    @property
    def tables(self) -> list[Figures]:
        """The tables of results."""
        tables = [table for table in self.page.tables() if table.name in _FOR_PAPERS]
        # One row per run, as usual in papers.
        return [table.transposed("run") if table.name == "comparison" else table for table in tables]


def report(
    runs: Sequence[str],
    metric: str | None = None,
    how: ReportFormat = "html",
    runs_dir: Path | None = None,
) -> Reported:
    """Return the report of one run, or of several with their comparison.

    Raises:
        RunNotFound: There is no such run.
        CorruptRun: The ledger of a run cannot be read.
        InputError: A run is named twice, or there is no run with results for tables.
    """
    folder, now = runs_directory(runs_dir), datetime.now(UTC)
    found = [find_run(run, folder) for run in runs]
    accounts = [account_of(one.run_dir, now) for one in found]
    _check_different(accounts)
    page = page_of_run(accounts[0], now) if len(accounts) == 1 else _of_several(accounts, metric, folder, now)
    notes = tuple(one.note for one in found if one.note)
    if how == "html":
        return Reported(page, page_html(page), how, notes)
    tables = Reported(page, "", how).tables
    if not tables:
        raise InputError("has no results yet", accounts[0].ledger.run_name, "dlcli runs shows the status.")
    return Reported(page, tables_text(tables, how), how, notes)


def _check_different(accounts: Sequence[Account]) -> None:
    ids = [account.ledger.run_id for account in accounts]
    twice = next(
        (account for place, account in enumerate(accounts) if account.ledger.run_id in ids[:place]), None
    )
    if twice is not None:
        raise InputError("is named twice", twice.ledger.run_name, "Name different runs.")


def _of_several(accounts: Sequence[Account], metric: str | None, folder: Path, now: datetime) -> Page:
    # Imported late, because tests of differences load scipy, which the report of one run does not need.
    from dlcli.comparison.compare_runs import compare_runs
    from dlcli.page.several import page_of_runs

    comparison, refusal = None, ""
    try:
        comparison = compare_runs([str(account.ledger.run_dir) for account in accounts], folder, metric)
    except DlcliError as error:
        if metric is not None and error.problems[0].where == "--metric":
            raise
        refusal = error.problems[0].line
    return page_of_runs(accounts, comparison, refusal, now)


def format_of_report(output: Path | None, asked: ReportFormat | None) -> ReportFormat:
    """Return the requested format of a report, or else that of the file's extension.

    Raises:
        InputError: The extension is unknown, or does not fit the requested format.
    """
    if output is None:
        return asked or "html"
    known = SUFFIXES.get(output.suffix.lower())
    if known is None or (asked is not None and asked != known):
        wanted = [suffix for suffix, how in SUFFIXES.items() if how == (asked or how)]
        raise InputError(
            "has an extension that does not match the format", str(output), f"Use one of {', '.join(wanted)}."
        )
    return known


def written_report(found: Reported, output: Path | None) -> Reported:
    """Write a report, and return it with its `file`, which appears when it is complete.

    Without `output`, the file is `NAME-report.html` in the current folder; an existing file is replaced only if it is a
    report.

    Raises:
        InputError: The folder does not exist, or the file exists and is not a report.
        DiskFull: The disk is full.
    """
    target = typed(output).absolute() if output is not None else Path.cwd() / _file_name(found.page)
    if not is_folder(target.parent):
        raise InputError("there is no such folder", str(target.parent), "Create it, or name another.")
    if (place := kind_at(target)) not in ("nothing", "file") or (
        output is None and place == "file" and not _is_report(target)
    ):
        another = display(target.with_name(f"{target.stem}-2{target.suffix or '.html'}"))
        raise InputError(
            "exists and is not a report",
            display(target),
            f"Name another file: {shell_line('--output', another)}",
        )
    with write_errors(target.parent, "the report", "write it elsewhere"), unfinished(target) as temporary:
        temporary.write_text(found.text, encoding="utf-8")
        temporary.replace(target)
    return replace(found, file=target)


def _is_report(file: Path) -> bool:
    try:
        with open_regular(file) as opened:
            return GENERATOR.encode() in opened.read(_HEAD)
    except OSError:
        return False


def _file_name(page: Page) -> str:
    """Return a readable file name in the current folder."""
    name = re.sub(r"[^\w.+-]+", "-", page.title.replace(" · ", "-vs-")).strip(".-")[:_LONGEST].strip(".-")
    return f"{name or page.run_ids[0][:8]}-report.html"
