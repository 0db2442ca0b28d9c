"""The lookback that follows from horizon, season and lengths."""

from __future__ import annotations

import numpy as np
import pytest

from dlcli.datasets.lookback import choose_lookback


@pytest.mark.parametrize(
    ("horizon", "season", "lengths", "steps"),
    [
        (96, 24, [14_400], 336),  # two weeks of hours
        (12, 12, [144], 48),
        (24, 1, [1000], 84),
        (1, 24, [1000], 48),
        (1, 1, [1000], 8),
        (18, 12, [66, 68, 70, 126, 144], 24),
        (24, 24, [40], 8),
        (5, 7, [6], 1),
        (24, 86_400, [86_400], 84),  # a day of seconds
        (720, 24, [17_420], 504),
        (720, 1, [17_420], 512),
        (60, 300, [100_000], 300),
        (60, 1_440, [300], 60),
        (24, 12, [144], 24),  # 60 would leave no training window
        (24, 12, [144] * 10, 48),
        (12, 12, [144] * 10, 48),
        (24, 1, [200], 62),
        (6, 12, [36], 12),
    ],
)
def test_it_is_whole_seasons_of_some_horizons(
    horizon: int, season: int, lengths: list[int], steps: int
) -> None:
    found = choose_lookback(horizon, season, np.array(lengths))
    assert found.steps == steps
    assert found.reason.startswith(f"lookback {steps}")


def test_the_reason_is_reported() -> None:
    assert choose_lookback(96, 24, np.array([14_400])).reason == (
        "lookback 336, 14 seasons of 24: at least 3.5 times the horizon of 96 and 2 seasons"
    )
    assert choose_lookback(96, 24, np.array([300])).reason == "lookback 96: the series has 300 steps"
    assert choose_lookback(24, 12, np.array([144])).reason == (
        "lookback 24: it leaves about 19 windows to train on, and 60 would leave about 0"
    )
    assert choose_lookback(720, 24, np.array([17_420])).reason == (
        "lookback 504, 21 seasons of 24: at least 3.5 times the horizon of 720 and 2 seasons would be 2,520 steps, "
        "more than 512"
    )
    assert choose_lookback(24, 86_400, np.array([86_400])).reason == (
        "lookback 84: at least 3.5 times the horizon of 24; a season of 86,400 steps is too long for a lookback"
    )
