"""The comparison of measured pairs with the budget, on invented measurements, and the budget file itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import peers
from bench._budget import FILE, PAIRS, Limit, Verdict, ratios, read_budget
from bench._rows import ROWS, Peer, Row

LIMIT = Limit("cpu", 2.0, 0.1)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        ([2.0], Verdict.WITHIN),
        ([2.01], Verdict.AGAIN),
        ([2.5, 1.9], Verdict.AGAIN),
        ([2.5, 2.1, 2.2], Verdict.WITHIN),
        ([2.5, 2.1, 2.21], Verdict.SLOWER),
    ],
)
def test_the_first_pair_or_the_median_of_all_decides(measured: list[float], verdict: Verdict) -> None:
    assert LIMIT.verdict(measured) is verdict


def test_a_sentence_names_ratio_spread_and_budget() -> None:
    assert LIMIT.told([2.5, 2.1, 2.4]) == (
        "CPU time 2.40 of the peer's (2.10 to 2.50, 3 pairs), budget 2 + 10%"
    )
    assert Limit("wall", 1.5, 0.25).told([1.25]) == "wall time 1.25 of the peer's, budget 1.5 + 25%"


def test_ratios_are_taken_within_pairs() -> None:
    pairs = [({"cpu": 3.0, "wall": 1.0}, {"cpu": 2.0, "wall": 4.0}), ({"cpu": 8.0}, {"cpu": 2.0})]
    assert ratios(pairs, "cpu") == [1.5, 4.0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("clock = 'cpu'\nratio = 1.0", "tolerance"),
        ("clock = 'cpu'\nratio = 1.0\ntolerance = 0.1\nmax = 3", "max"),
        ("clock = 'gpu'\nratio = 1.0\ntolerance = 0.1", "cpu or wall, not gpu"),
        ("clock = 'cpu'\nratio = 0\ntolerance = 0.1", "ratio is above 0"),
    ],
)
def test_a_wrong_limit_is_named(keys: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"\[folds.loop\]: .*{message}"):
        read_budget(f"[folds.loop]\n{keys}")


def test_the_budget_names_rows_that_exist() -> None:
    names = {f"{row.name}.{peer.name}" for row in ROWS for peer in row.peers}
    limits = set(read_budget(FILE.read_text()))
    assert limits
    assert limits <= names
    assert len({row.work for row in ROWS}) == len({row.name for row in ROWS}) == len(ROWS)


def test_rows_are_not_measurements() -> None:
    measurements = {file.stem for file in Path(peers.__file__).parent.glob("[a-z]*.py")}
    assert measurements & {row.name for row in ROWS} == set()


def test_quick_rows_need_no_other_environment() -> None:
    quick = [peer for row in ROWS for peer in row.peers if peer.name == row.quick]
    assert len(quick) == sum(bool(row.quick) for row in ROWS)
    assert [peer.name for peer in quick if peer.environment.packages] == []


def figures_of(text: str) -> tuple[str, str]:
    """Arguments of an interpreter that prints a JSON line; braces are doubled, since words are formatted."""
    braces = text.replace("{", "{{").replace("}", "}}")
    return ("-c", f"print('{braces}')")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rows whose processes state their own figures."""
    three, two = figures_of('{"cpu": 3.0, "wall": 3.0}'), figures_of('{"cpu": 2.0, "wall": 2.0}')
    fails = ("-c", "raise SystemExit('no such thing')")
    made = [
        Row("same", "a", two, (Peer("loop", "loop", two),), quick="loop"),
        Row("more", "b", three, (Peer("loop", "loop", two),), quick="loop"),
        Row("broken", "c", fails, (Peer("loop", "loop", two),), quick="loop"),
    ]
    text = "".join(f"[{row.name}.loop]\nclock = 'cpu'\nratio = 1.0\ntolerance = 0.2\n" for row in made)
    (tmp_path / "budget.toml").write_text(text)
    monkeypatch.setattr(peers, "ROWS", made)
    monkeypatch.setattr(peers, "PLACE", tmp_path / "place")
    monkeypatch.setattr(peers.budget, "FILE", tmp_path / "budget.toml")
    monkeypatch.setattr(peers, "WARM_UP", "")


def test_a_check_names_what_is_slower_or_fails_and_returns_1(
    rows: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert peers.check("same.loop") == 0
    assert "same.loop           within  CPU time 1.00 of the peer's" in capsys.readouterr().out
    assert peers.check() == 1
    out = capsys.readouterr().out
    assert f"more.loop           slower  CPU time 1.50 of the peer's (1.50 to 1.50, {PAIRS} pairs)" in out
    assert "no such thing" in out
    assert "slower than the budget, or failed: more.loop, broken.loop" in out


def test_an_unknown_row_is_named(rows: None) -> None:
    with pytest.raises(SystemExit, match=r"there is no row mroe: same, more, broken, same\.loop"):
        peers.check("mroe")
