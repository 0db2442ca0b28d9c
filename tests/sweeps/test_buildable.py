"""Values of a model's own ranges with which it cannot be built are left out of a search, and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlcli.errors import Problem
from dlcli.sweeps import buildable
from dlcli.sweeps.buildable import LeftOut, buildable_ranges


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that searches the range of a key of which some values fit, and counts the builds."""

    def searched(
        values: str, why_not: Callable[[Any], str | None], default: Any
    ) -> tuple[str, list[LeftOut], int]:
        builds = []

        def mistakes(config: Any, *_: Any) -> list[Problem]:
            builds.append(config["model"]["depth"])
            reason = why_not(builds[-1])
            return [Problem(reason)] if reason else []

        monkeypatch.setattr(buildable, "find_mistakes", mistakes)
        rows = SimpleNamespace(data=None, splits=[None])
        config = {"model": {"_target_": "dlcli.models.mlp.MLP", "depth": default}}
        experiment: Any = SimpleNamespace(
            config=config, folders=(Path(),), estimation=SimpleNamespace(for_choosing=lambda: rows)
        )
        kept, left = buildable_ranges("own", experiment, {"model.depth": values})
        return kept.get("model.depth", ""), left, len(builds)

    return searched


def above(most: float) -> Callable[[Any], str | None]:
    return lambda value: "too large" if value > most else None


@pytest.mark.parametrize(
    ("values", "most", "kept", "text", "count"),
    [
        ("range(1,41)", 30, "range(1,31,1)", "model.depth above 30 (too large)", 10),
        ("range(0.5,20.4,0.5)", 3, "range(0.5,3.25,0.5)", "model.depth above 3 (too large)", 34),
        ("interval(0.0,64.0)", 10.5, "interval(0.0,10.0)", "model.depth above 10 (too large)", 1),
        ("tag(log,int(interval(1,40)))", 30, "tag(log,int(interval(1,30)))", "model.depth above 30 (too large)", 10),
        ("1,2,30,40", 30, "1,2,30", "model.depth=40 (too large)", 1),
        ("3,40,50", 30, "", "model.depth is not searched: model.depth=40, model.depth=50 (too large)", 3),
        ("range(30,71)", 30, "", "model.depth is not searched: model.depth=70 (too large)", 41),
        ("range(31,71)", 30, "", "model.depth is not searched: model.depth=31, model.depth=70 (too large)", 40),
    ],
)  # fmt: skip
def test_the_part_that_can_be_built_is_kept(
    values: str, most: float, kept: str, text: str, count: int, search: Any
) -> None:
    found, (left,), builds = search(values, above(most), 3)
    assert (found, left.text, left.count) == (kept, text, count)
    assert builds < 12
    notice = left.notice()
    assert (notice.count, notice.text) == (count, f"left out of the search: own: {text}")


def test_both_ends_are_bisected_from_the_default(search: Any) -> None:
    def why_not(value: int) -> str | None:
        return "too small" if value < 4 else "too large" if value > 30 else None

    found, (left,), _ = search("range(1,41)", why_not, 8)
    assert found == "range(4,31,1)"
    assert left.text == "model.depth below 4, model.depth above 30 (too small; too large)"
    assert left.count == 3 + 10


def test_a_range_that_fits_here_and_there_is_not_searched(search: Any) -> None:
    found, (left,), _ = search("range(7,65)", lambda value: "not a multiple of 8" if value % 8 else None, 16)
    assert not found
    assert left.text == "model.depth is not searched: model.depth=7 (not a multiple of 8)"


def test_different_reasons_are_told(search: Any) -> None:
    _, (left,), _ = search("1,2,3,4,5,6,7", lambda value: f"no {min(value, 5)}" if value > 2 else None, 1)
    assert left.reason == "no 3; no 4; no 5"
    _, (left,), _ = search("1,2,3,4,5,6,7", lambda value: f"no {value}" if value > 2 else None, 1)
    assert left.reason == "no 3; no 4; no 5; 2 more"


def test_what_fits_is_kept_as_it_is(search: Any) -> None:
    assert search("range(1,41)", above(50), 3) == ("range(1,41)", [], 2)
    assert search("1,2", above(50), 3) == ("1,2", [], 2)
