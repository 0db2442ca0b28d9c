"""`Notice`: what reading left out, converted or cut, with its number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
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
        warns: whether something that may be wanted is lost; other notices are told, but are no warning.
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


def told(notices: Iterable[Notice]) -> str:
    """Return the notices that are no warnings as one text, for a panel."""
    return "; ".join(notice.text for notice in notices if not notice.warns)


def notice_metrics(notices: Iterable[Notice]) -> dict[str, float]:
    """Return the count of each notice under its name in the record, such as `data/loose_files`."""
    return {f"data/{notice.key}": float(notice.count) for notice in notices}


def as_plain(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    """Return notices as dictionaries for `--json` and the ledger."""
    return [asdict(notice) for notice in notices]


def first_names(names: Sequence[str], most: int = _NAMED) -> str:
    """Return the first few names, and an ellipsis if there are more."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])
