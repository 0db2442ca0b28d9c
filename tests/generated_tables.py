"""Generated tables: columns of every kind that is read in its own way, some with gaps, a split and a target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

ROWS = 60

Draw = np.random.Generator


def dates(draw: Draw, pattern: str) -> list[str]:
    days = pd.Timestamp("2023-01-01") + pd.to_timedelta(draw.integers(0, 700, ROWS), unit="D")
    return [day.strftime(pattern) for day in [*days[1:], pd.Timestamp("2024-12-31")]]


# Generators of columns of strings, each read in its own way.
WORDS: dict[str, Callable[[Draw], object]] = {
    "booleans": lambda draw: draw.choice(["TRUE", "FALSE"], ROWS),
    "codes": lambda draw: draw.choice(["01", "1", "02"], ROWS),
    "words": lambda draw: draw.choice([" blue", "red ", "Red"], ROWS),
    "thousands": lambda draw: [f"{value:,.2f}" for value in draw.normal(0, 5000, ROWS)],
    "dollars": lambda draw: [f"${value:.2f}" for value in draw.random(ROWS)],
    "shares": lambda draw: [f"{value:.1f} %" for value in draw.random(ROWS)],
    "days first": lambda draw: dates(draw, "%d/%m/%Y"),
    "months by name": lambda draw: dates(draw, "%d %b %Y"),
    "losses": lambda draw: [
        f"{abs(value):.2f}{'-' if value < 0 else ''}" for value in draw.normal(0, 5000, ROWS)
    ],
    "dashes": lambda draw: dates(draw, "%m-%d-%Y"),
    "months in German": lambda draw: [day.replace("May", "Mai") for day in dates(draw, "%d. %b %Y")],
    "log times": lambda draw: dates(draw, "%d/%b/%Y:10:00:00 +0100"),
    "compact dates": lambda draw: dates(draw, "%Y%m%d"),
}

# Generators of columns that have a type in files with types.
TYPED: dict[str, Callable[[Draw], object]] = {
    "integers": lambda draw: draw.integers(-99, 99, ROWS),
    "floats": lambda draw: draw.normal(size=ROWS),
    "flags": lambda draw: draw.random(ROWS) < 0.5,
    "times": lambda draw: (
        pd.to_datetime("2024-01-01") + pd.to_timedelta(draw.integers(0, 9999, ROWS), unit="h")
    ),
}

# Whole numbers that are too long to be exact as floats, and have no gaps, with which pandas makes them floats.
LONG = "long codes"
TYPED[LONG] = lambda draw: draw.integers(0, 4, ROWS).astype(np.uint64) + np.uint64(12345678901234567890)

GAPS = ["", "NA", "?"]


def generated(seed: int) -> pd.DataFrame:
    """Return a table of some columns of every kind, some of them with gaps, and a target."""
    draw = np.random.default_rng(seed)
    frame = pd.DataFrame({name: make(draw) for name, make in {**WORDS, **TYPED}.items()})
    for name in frame.columns:
        if draw.random() < 0.6 and name != LONG:
            gap = draw.choice(GAPS) if name in WORDS else None
            rows = draw.random(ROWS) < 0.2
            frame[name] = (
                frame[name].astype(object).where(~rows, gap) if name in WORDS else frame[name].mask(rows)
            )
    spelling = draw.choice(
        [["train", "val", "test"], ["Training", "valid", "TEST"], ["TRAIN", "dev", "holdout"]]
    )
    parts = np.concatenate([np.repeat(spelling, [4, 1, 1])] * (ROWS // 6))
    y = [draw.normal(size=ROWS), draw.choice(["1", " no"], ROWS), draw.integers(0, 3, ROWS)][seed % 3]
    return frame.assign(part=parts, y=y)
