"""Some of what `python -m tests.fuzz` tries: no crash, no hang, and no unhandled error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import try_some, warm_up
from tests.fuzz_runs import make_base


@pytest.fixture(scope="module", autouse=True)
def _imported() -> Iterator[None]:
    warm_up()
    yield


@pytest.mark.parametrize(
    ("kind", "seeds"), [("overrides", range(14, 24)), ("files", range(60))], ids=["overrides", "files"]
)
def test_every_input_ends_in_a_foreseen_way(kind: str, seeds: range) -> None:
    tried = try_some(kind, seeds)
    assert tried["found"] == []
    assert set(tried["ends"]) == {"ok", "refused"}, "cases of both kinds"
    assert tried["ends"].total() == len(seeds)


def test_every_damage_of_a_run_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUZZ_BASE", str(make_base(tmp_path)))
    tried = try_some("runs", range(8, 13))
    assert tried["found"] == []
    assert "refused" in tried["ends"]
    assert os.environ["FUZZ_BASE"]
