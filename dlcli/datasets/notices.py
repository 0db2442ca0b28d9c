"""`Notice`: what reading left out, converted or cut, with the count."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dlcli.errors import Problem

# Names that a notice lists.
_NAMED = 3


@dataclass(frozen=True)
class Notice:
    """What reading the data left out, converted or cut.

    Attributes:
        key: name of the number in `--json` and in the record, such as `loose_files`.
        count: how many files, rows or values it concerns.
        text: sentence for the user, without a full stop.
        where: key or place that it is about.
        hint: what the user can do.
        warns: whether something that may be wanted is lost; other notices are shown, but are not warnings.
    """

    key: str
    count: int | float
    text: str
    where: str = ""
    hint: str = ""
    warns: bool = True

    def problem(self) -> Problem:
        """Return the notice as a warning."""
        return Problem(self.text, self.where, self.hint)


def warnings_of(notices: Iterable[Notice]) -> list[Problem]:
    """Return the warnings among notices."""
    return [notice.problem() for notice in notices if notice.warns]


def warn_of(notices: Iterable[Notice]) -> None:
    """Give Python's warnings of notices, at the line that called the caller of this function."""
    for problem in warnings_of(notices):
        # Python shows equal warnings of one line once: the place tells those of several files or columns apart.
        warnings.warn(str(problem), stacklevel=3)


def told(notices: Iterable[Notice]) -> str:
    """Return the notices that are no warnings as one text, for a panel."""
    return "; ".join(notice.text for notice in notices if not notice.warns)


def notice_metrics(notices: Iterable[Notice]) -> dict[str, float]:
    """Return the count of each notice under its name in the record, such as `data/loose_files`."""
    return {f"data/{notice.key}": float(notice.count) for notice in notices}


def as_plain(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    """Return notices as dictionaries for `--json` and the ledger."""
    return [asdict(notice) for notice in notices]


def of_runs(runs: Mapping[str, Iterable[Mapping[str, Any]]]) -> list[Notice]:
    """Return the notices of several runs on the same data, such as folds.

    Of notices that differ between the runs, the one with the largest count is returned, which names its run.

    Args:
        runs: the notices of each run, as `as_plain` returns them, by the name of the run.
    """
    found: dict[str, list[tuple[str, Notice]]] = {}
    for name, notices in runs.items():
        for notice in notices:
            found.setdefault(notice["key"], []).append((name, Notice(**notice)))
    merged = []
    for own in found.values():
        name, most = max(own, key=lambda pair: pair[1].count)
        same = len(own) >= len(runs) and all(notice == most for _, notice in own)
        merged.append(
            most if same else replace(most, text=f"{most.text} ({name}, the most of {len(runs)} runs)")
        )
    return merged


def sentences(notices: Iterable[Notice], told: Iterable[Notice] = ()) -> list[str]:
    """Return a sentence for each warning among notices, except those that have been told before."""
    keys = {notice.key for notice in told}
    return [f"{notice.text}." for notice in notices if notice.warns and notice.key not in keys]


def first_names(names: Sequence[str], most: int = _NAMED) -> str:
    """Return the first few names, and an ellipsis if there are more."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])
