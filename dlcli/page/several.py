"""The report of several runs: their comparison, and a short account of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dlcli.comparison.compare_runs import ALL, Comparison
from dlcli.page.account import Account
from dlcli.page.blocks import Block, Cell, Command, Estimate, Facts, Figures, Page, Prose, Section
from dlcli.page.figures import figures_tables, without_log_loss_twice
from dlcli.page.learning import diagnosis_of, learning_curves_of
from dlcli.page.sections import made_by
from dlcli.page.wording import what_was_done


def page_of_runs(
    accounts: Sequence[Account], comparison: Comparison | None, refusal: str, now: datetime
) -> Page:
    """Return the report of several runs.

    Args:
        accounts: the runs.
        comparison: the comparison of the runs; None if they cannot be compared.
        refusal: why they cannot be compared.
        now: the current time.
    """
    names = list(comparison.runs) if comparison else [account.ledger.run_name for account in accounts]
    text = f"{len(accounts)} runs"
    lead = [
        Prose(f"{text} are compared by {_by(comparison)} on {comparison.rows}." if comparison else f"{text}.")
    ]
    if refusal:
        lead.append(Prose(f"They cannot be compared: {refusal}", "warning"))
    sections = (
        Section("Results", _figures(accounts, names, comparison)),
        Section("Differences", _differences(comparison)),
        Section("Settings", _settings(comparison)),
        *(Section(name, _of_run(account)) for name, account in zip(names, accounts, strict=True)),
    )
    return Page(
        " · ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} more",
        "comparison of runs",
        tuple(lead),
        (),
        tuple(section for section in sections if section.blocks),
        tuple(account.ledger.run_id for account in accounts),
        made_by(now),
    )


def _by(comparison: Comparison) -> str:
    return "all metrics" if comparison.metric == ALL else comparison.metric


def _figures(
    accounts: Sequence[Account], names: Sequence[str], comparison: Comparison | None
) -> tuple[Block, ...]:
    """Return a table with a line for each metric and a column for each run."""
    found: list[dict[str, Cell]] = [
        {str(row[0]): row[1] for table in figures_tables(account, one_loss=False)[:1] for row in table.rows}
        for account in accounts
    ]
    metrics = list(dict.fromkeys(name for own in found for name in own))
    if not metrics:
        return (Prose("None of the runs has figures.", "quiet"),)
    if comparison and comparison.metric in metrics:
        metrics = [comparison.metric, *(name for name in metrics if name != comparison.metric)]
    rows = tuple((metric, *(own.get(metric) for own in found)) for metric in metrics)
    note = ""
    if any(isinstance(cell, Estimate) and cell.has_interval for row in rows for cell in row):
        note = "95 % intervals: of runs with folds over these, of others over the rows."
    what = comparison.rows if comparison else "rows that were not used for training"
    return (
        without_log_loss_twice(Figures("comparison", f"Figures on {what}", ("metric", *names), rows, note)),
    )


def _differences(comparison: Comparison | None) -> tuple[Block, ...]:
    if comparison is None:
        return ()
    blocks: list[Block] = []
    if comparison.refusal:
        blocks.append(Prose(comparison.refusal, "warning"))
    if comparison.pairs:
        tests = list(dict.fromkeys(name for pair in comparison.pairs for name in pair.p))
        rows = tuple(
            (
                *([pair.metric] if comparison.metric == ALL else []),
                pair.a,
                pair.b,
                Estimate(pair.difference.mean, pair.difference.low, pair.difference.high, is_mean=True),
                *(pair.p.get(name) for name in tests),
            )
            for pair in comparison.pairs
        )
        of = "" if comparison.metric == ALL else f" in {comparison.metric}"
        heading = (
            *(["metric"] if comparison.metric == ALL else []),
            "run",
            "against",
            f"difference{of}\n95 % interval",
            *(f"p, {name}" for name in tests),
        )
        note = "The difference is that of the second run from the first."
        blocks.append(Figures("differences", "Pairs", heading, rows, note))
        blocks += [Prose(f"{pair.words}. {pair.power}".rstrip()) for pair in comparison.pairs]
        blocks += [Prose(note, "quiet") for note in comparison.notes]
    if comparison.ranking:
        ranking = comparison.ranking
        by_rank = sorted(zip(ranking.ranks, comparison.runs, strict=True))
        ranked: tuple[tuple[Cell, ...], ...] = tuple((name, float(rank)) for rank, name in by_rank)
        note = (
            f"All of them are equal: Friedman test p = {ranking.p:.2g}. Runs whose mean ranks differ by less than "
            f"{ranking.critical_difference:.2f} are not distinguishable (Nemenyi, 5 %)."
        )
        blocks.append(
            Figures(
                "ranks",
                f"Mean ranks by {comparison.metric}, 1 is the best",
                ("run", "mean rank"),
                ranked,
                note,
            )
        )
    return tuple(blocks)


def _settings(comparison: Comparison | None) -> tuple[Block, ...]:
    if comparison is None or not comparison.settings:
        return ()
    rows = tuple((key, *values) for key, values in comparison.settings.items())
    heading = ("key", *comparison.runs)
    return (Figures("settings", "Settings that differ", heading, rows, many=20),)


def _of_run(account: Account) -> tuple[Block, ...]:
    run = account.run
    blocks: list[Block] = [Prose(what_was_done(account))]
    if run.status != "FINISHED":
        reason = (account.ledger.error or "").partition("\n")[0]
        blocks.append(Prose(f"The run is {run.status}{f': {reason}' if reason else ''}.", "error"))
    if (drawing := learning_curves_of(account)) is not None:
        blocks.append(drawing)
    if account.epochs and not account.folds:
        blocks.append(Prose(diagnosis_of(account)))
    blocks.append(Facts({"run": account.ledger.run_id, "created": account.ledger.created_at}))
    if run.repeat is not None:
        blocks.append(Command(run.repeat))
    blocks += [Prose(text, "quiet") for text in (*run.remarks, *account.missing)]
    return tuple(blocks)
