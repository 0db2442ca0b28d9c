"""Filters and orders of the list of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_ledgers import NOW, made

from dlcli.errors import InputError
from dlcli.runs.filters import in_order, select
from dlcli.runs.inventory import ListedRun, list_runs


@pytest.fixture
def runs(tmp_path: Path) -> list[ListedRun]:
    made(tmp_path, "a", days=1, figures={"test/accuracy": 0.95, "test/loss": 0.2}, tags={"team": "Red"})
    made(tmp_path, "b", days=8, figures={"test/accuracy": 0.8, "test/loss": float("nan")})
    made(tmp_path, "c d", days=20, status="FAILED", error="out of memory", experiment="adult")
    return list_runs(tmp_path, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status=failed", "c d"),
        ("status!=failed", "a,b"),
        ("test/accuracy<0.9", "b"),
        ("test/accuracy >= .8 and age<7d", "a"),
        ("age>7d", "b,c d"),
        ("age > 1.5w or name = a", "a,c d"),
        ("name=a or name=b and age<1h", "a"),
        ('name="c d"', "c d"),
        ("name=?", "a,b"),
        ("error~memory", "c d"),
        ("tag.team=red", "a"),
        ("test/loss!=0.5", "a"),  # NaN and a missing value are neither equal nor unequal
        ("duration=60s AND experiment=iris", "a,b"),
        ("size<1GB and kind=run", "a,b,c d"),
        ("figure>0.9", "a"),
    ],
)
def test_a_filter_selects_these_runs(runs: list[ListedRun], text: str, expected: str) -> None:
    assert ",".join(run.name for run in select(runs, text, NOW)) == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("test/acuracy<0.9", "none of the runs has test/acuracy", "Did you mean test/accuracy?"),
        ("statsu=failed", "none of the runs has statsu", "Did you mean status?"),
        ("age>7", "age>7: 7 has no unit", "Add one of s, min, m, h, d, w."),
        ("age>7 years", "cannot be read from 'years' on", "Join comparisons"),
        ("size>7d", "size>7d: 7d is not a number, with a unit: b, kb, mb, gb, tb", ""),
        ("status<failed", "status is a text: < compares numbers", "Try: status=failed"),
        ("test/loss~1", "test/loss is a number: ~ compares texts", "Try: test/loss<1"),
        ("status=failed and", "ends too early", ""),
        ("status=failed age>7d", "cannot be read from 'age>7d' on", ""),
        ("(status=failed)", "cannot be read from '(status=failed)' on", "without brackets"),
        ("", "ends too early", ""),
    ],
)
def test_a_wrong_filter_is_refused_with_a_hint(
    runs: list[ListedRun], text: str, message: str, hint: str
) -> None:
    with pytest.raises(InputError) as raised:
        select(runs, text, NOW)
    problem = raised.value.problems[0]
    assert problem.where == "--filter"
    assert problem.message == message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("age", "a,b,c d"),
        ("-age", "c d,b,a"),
        ("test/accuracy", "b,a,c d"),
        ("-test/accuracy", "a,b,c d"),
        ("test/loss", "a,b,c d"),
        ("-name", "c d,b,a"),
        ("tag.team", "a,b,c d"),
    ],
)
def test_runs_are_sorted_by_a_key(runs: list[ListedRun], key: str, expected: str) -> None:
    assert ",".join(run.name for run in in_order(runs, key, NOW)) == expected


def test_an_order_by_nothing(runs: list[ListedRun]) -> None:
    with pytest.raises(InputError, match="none of the runs has test/f1"):
        in_order(runs, "test/f1", NOW)
