"""The diagnosis of real runs is what a person says of their curves.

The curves are those of `dlcli train` on the data of docs/examples-and-measurements.md, with one seed: the default of a
table, or an MLP that is trained for too short, for too long, or at an unsuitable rate.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlcli.reports.diagnosis import diagnose

RUNS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("real_curves.json").read_text())


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["run"])
def test_the_diagnosis_is_that_of_a_person(run: dict[str, Any]) -> None:
    history = {f"{part}/loss": list(enumerate(run[part])) for part in ("train", "val")}
    last = len(run["val"]) - 1
    history |= {name: [(last, value)] for name, value in run.items() if name.endswith("_se")}
    sentence = diagnose(history, run["max_epochs"], run["baseline"])
    assert run["says"] in sentence
    others = (
        "converged",
        "still falling",
        ": overfitting",
        "some overfitting",
        "does not learn",
        "diverging",
    )
    assert [word for word in others if word in sentence and word not in run["says"]] == [], sentence
