"""`Notice`: a report of what was left out, converted or cut while reading, with its count."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dlcli.errors import Problem

# Key of notices on doubtful readings, such as a date that fits two formats.
DOUBTS = "doubts"

# Maximum number of names that a notice lists.
_NAMED = 3


@dataclass(frozen=True)
class Notice:
    """A report of what was left out, converted or cut while reading.

    Attributes:
        key: name of the number in `--json` and in the record, such as `loose_files`.
        count: number of files, rows or values concerned.
        text: sentence for the user, without a full stop.
        where: key or place concerned.
        hint: what the user can do.
        warns: whether it is a warning, because something wanted may be lost.
    """

    key: str
    count: int | float
    text: str
    where: str = ""
    hint: str = ""
    warns: bool = True

    @property
    def topic(self) -> str:
        """What the notice is about; a run has one notice on each, but several doubts."""
        return f"{self.key}: {self.where}: {self.text}" if self.key == DOUBTS else self.key

    def problem(self) -> Problem:
        """Return the notice as a warning."""
        return Problem(self.text, self.where, self.hint)


def warnings_of(notices: Iterable[Notice]) -> list[Problem]:
    """Return the warnings among notices."""
    return [notice.problem() for notice in notices if notice.warns]


def warn_of(notices: Iterable[Notice]) -> None:
    """Issue Python warnings for notices, attributed to the caller's caller."""
    for problem in warnings_of(notices):
        # Include the place, because Python shows equal warnings of a line only once.
        warnings.warn(str(problem), stacklevel=3)


def told(notices: Iterable[Notice]) -> str:
    """Return the notices that are not warnings as one text, for a panel."""
    return "; ".join(notice.text for notice in notices if not notice.warns)


def notice_metrics(notices: Iterable[Notice]) -> dict[str, float]:
    """Return the count of each notice under its name in the record, such as `data/loose_files`; doubts are counted."""
    found: dict[str, float] = {}
    for notice in notices:
        before = found.get(f"data/{notice.key}", 0.0) if notice.key == DOUBTS else 0.0
        found[f"data/{notice.key}"] = before + float(notice.count)
    return found


def doubts_of(problems: Iterable[Problem]) -> tuple[Notice, ...]:
    """Return notices on doubtful readings."""
    return tuple(Notice(DOUBTS, 1, problem.message, problem.where, problem.hint) for problem in problems)


def as_plain(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    """Return notices as dictionaries for `--json` and the ledger."""
    return [asdict(notice) for notice in notices]


def of_runs(runs: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[Notice]:
    """Return the notices of several runs on the same data, such as folds.

    If a notice differs between the runs, the one with the largest count is returned, with the name of its run.

    Args:
        runs: the notices of each run, as `as_plain` returns them, by the name of the run.
    """
    found: dict[str, list[tuple[str, Notice]]] = {}
    for name, notices in runs.items():
        for notice in notices:
            one = Notice(**notice)
            found.setdefault(one.topic, []).append((name, one))
    merged = []
    for own in found.values():
        name, most = max(own, key=lambda pair: pair[1].count)
        same = len(own) >= len(runs) and all(notice == most for _, notice in own)
        merged.append(
            most if same else replace(most, text=f"{most.text} ({name}, the most of {len(runs)} runs)")
        )
    return merged


def sentences(notices: Iterable[Notice], told: Iterable[Notice] = ()) -> list[str]:
    """Return a sentence for each warning among notices, except those in `told`."""
    topics = {notice.topic for notice in told}
    return [f"{notice.text}." for notice in notices if notice.warns and notice.topic not in topics]


def first_names(names: Sequence[str], most: int = _NAMED) -> str:
    """Return the first few names, and an ellipsis if there are more."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])
