"""The part of a report with the result of `dlcli explain`, which is read from an untrusted file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dlcli.errors import CorruptRun
from dlcli.page.blocks import Block, ColouredText, Drawing, Estimate, Figures, Prose
from dlcli.page.charts import Bar, ChartLine, Tone, are_finite, bar_chart, can_be_drawn, line_chart
from dlcli.runs.explanation_record import results_digest
from dlcli.tracking.ledger import Ledger

# Limits far above those of a readable page.
_BARS, _CURVES, _LINES, _SLICES, _TEXTS, _WORDS, _SENTENCES, _STATISTICS = 20, 8, 4, 20, 48, 400, 30, 4
_TONES: tuple[Tone, ...] = ("train", "val", "quiet", "quiet")


def blocks_of_explanation(document: Mapping[str, Any], ledger: Ledger) -> tuple[Block, ...]:
    """Return importance as bars, partial dependence as curves, slices as a table, and texts with coloured words.

    Raises:
        CorruptRun: The document is not one that dlcli writes.
    """
    try:
        return _blocks(document, ledger)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        reason = f"has contents that dlcli does not write ({type(error).__name__})"
        raise CorruptRun(
            reason, str(ledger.run_dir), "Remove explanation.json; dlcli explain writes it again."
        ) from error


def _blocks(document: Mapping[str, Any], ledger: Ledger) -> tuple[Block, ...]:
    found: list[Block] = []
    if document.get("of_results") != results_digest(ledger):
        text = "The run has other results than when it was explained: run dlcli explain again."
        found.append(Prose(text, "warning"))
    rows, of_rows = int(document["rows"]), str(document["of_rows"])
    # Validation rows have not changed the weights, but the epoch was selected on them.
    chose = (
        "on which the epoch was selected"
        if of_rows == "validation rows"
        else "none of which was used for training"
    )
    found.append(Prose(f"By {rows:,} {of_rows}, {chose}."))
    charts = _importance(document["importances"])
    if charts:
        found.append(Drawing(charts, "The whiskers are 95 % intervals."))
    if curves := _dependence(document["dependence"]):
        note = "Partial dependence: the mean prediction if all rows had one value of the column."
        found.append(Drawing(curves, note))
    if table := _slices(document["slices"], str(document["error"])):
        found.append(table)
    texts = [one for one in document["examples"][:_TEXTS] if one["words"]]
    found += [_text(one) for one in texts]
    if texts:
        found.append(Prose("Orange words raise the output of the prediction, blue words lower it.", "quiet"))
    found += [Prose(str(text), "quiet") for text in document["messages"][:_SENTENCES]]
    return tuple(found)


def _importance(importances: Sequence[Mapping[str, Any]]) -> tuple[Markup, ...]:
    bars = [
        Bar(" + ".join(map(str, one["columns"])), float(one["drop"]), float(one["low"]), float(one["high"]))
        for one in importances[:_BARS]
    ]
    if not bars or not are_finite(bars):
        return ()
    return (bar_chart("Increase of the loss without the column", bars),)


def _dependence(curves: Sequence[Mapping[str, Any]]) -> tuple[Markup, ...]:
    charts = []
    for one in curves[:_CURVES]:
        column, values = str(one["column"]), [str(value) for value in one["values"]]
        means = {str(name): [float(y) for y in ys] for name, ys in one["predictions"].items()}
        shares = {name: ys for name, ys in means.items() if name.startswith("p(")}
        drawn = _most_moved(shares or means)
        if not values or not drawn or not can_be_drawn(y for ys in drawn.values() for y in ys):
            continue
        numbers = _numbers(values)
        if numbers is None or len(numbers) < 2:
            name, ys = next(iter(drawn.items()))
            bars = [Bar(value, y) for value, y in zip(values, ys, strict=True)]
            charts.append(bar_chart(f"{column}: mean {name}", bars))
            continue
        lines = [
            ChartLine(name, tone, list(zip(numbers, ys, strict=True)))
            for (name, ys), tone in zip(drawn.items(), _TONES, strict=False)
        ]
        charts.append(line_chart(f"{column}: mean prediction", lines, below=column, are_whole=False))
    return tuple(charts)


def _most_moved(means: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Return the predictions that depend most on the column."""
    moved = sorted(means, key=lambda name: min(means[name]) - max(means[name]))
    # The probabilities of two classes mirror each other.
    few = 1 if len(means) == 2 and all(name.startswith("p(") for name in means) else 2
    return {name: means[name] for name in moved[:few]}


def _numbers(values: Sequence[str]) -> list[float] | None:
    try:
        found = [float(value) for value in values]
    except ValueError:
        return None
    return found if can_be_drawn(found) else None


def _slices(slices: Sequence[Mapping[str, Any]], error: str) -> Figures | None:
    rows = tuple(
        (
            f"{one['column']}: {one['value']}",
            int(one["rows"]),
            float(one["error"]),
            Estimate(float(one["difference"]), float(one["low"]), float(one["high"])),
            float(one["p"]),
        )
        for one in slices[:_SLICES]
        if float(one["difference"]) > 0
    )
    if not rows:
        return None
    heading = ("slice", "rows", error, "more than others\n95 % interval", "Holm p")
    note = "Holm's correction is for the number of slices: with many slices, some differ by chance."
    return Figures("slices", "Slices with the highest errors", heading, rows, note, many=10)


def _text(one: Mapping[str, Any]) -> ColouredText:
    words = [(str(word), float(value)) for word, value in one["words"][:_WORDS]]
    most = max((abs(value) for _, value in words if math.isfinite(value)), default=0.0) or 1.0
    shares = tuple(
        (word, max(-1.0, min(1.0, value / most)) if math.isfinite(value) else 0.0) for word, value in words
    )
    title = f"row {int(one['row'])} ({one['which']}): {one['target']}, predicted {one['prediction']}"
    notes = [f"{name} {value:+.2g}" for name, value in _strongest(one.get("statistics", ()))]
    notes = [f"Statistics of the text: {', '.join(notes)}."] if notes else []
    if (cut := len(one["words"]) - len(words)) > 0:
        notes.append(f"{cut:,} more words and blanks are not shown.")
    return ColouredText(title, shares, " ".join(notes))


def _strongest(statistics: Sequence[Sequence[Any]]) -> list[tuple[str, float]]:
    """Return the statistics with the largest attributions, the largest first."""
    found = [(str(name), float(value)) for name, value in statistics]
    found = [(name, value) for name, value in found if value and math.isfinite(value)]
    return sorted(found, key=lambda pair: -abs(pair[1]))[:_STATISTICS]
