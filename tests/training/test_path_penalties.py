"""Predicted solutions of a penalty path: fewer evaluations to the same solutions, also after a resumption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch.nn import functional

import dlcli
from dlcli.models.linear import Linear
from dlcli.training.path_penalties import path_penalties, predict_solution
from dlcli.training.penalty_path import PenaltyPath

WORDS = [
    "it",
    "is",
    "fine",
    "not",
    "slow",
    "at",
    "all",
    "good",
    "bad",
    "film",
    "plot",
    "the",
    "4",
    "!",
    "...",
]


def path_of(inputs: torch.Tensor, y: torch.Tensor, steps: int) -> tuple[list[float], int]:
    """Return the penalized losses of a path of that many steps without curvature, and the number of evaluations."""
    model = Linear((inputs.shape[1],), 1)
    path = PenaltyPath(list(model.parameters()), first=0.1, factor=0.316, tolerance=5e-4)
    evaluations, objectives = 0, []

    def closure() -> torch.Tensor:
        nonlocal evaluations
        evaluations += 1
        path.zero_grad()
        value = functional.binary_cross_entropy_with_logits(model(inputs), y)
        value.backward()
        return value.detach()

    for _ in range(steps):
        path.step(closure)
        objectives.append(path.param_groups[0]["objective"])
    return objectives, evaluations


def bags(rows: int = 400, columns: int = 6000) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sparse rows of norm 10, such as those of texts, and targets that some columns determine."""
    draw = np.random.default_rng(0)
    x = (draw.random((rows, columns)) < draw.beta(0.05, 4, columns)).astype(np.float32)
    x[:, 0] = 1
    x *= 10 / np.linalg.norm(x, axis=1, keepdims=True)
    y = x @ draw.normal(size=columns) + draw.normal(size=rows) > 0
    return torch.from_numpy(x), torch.from_numpy(y).float().unsqueeze(1)


def test_a_prediction_continues_the_line_over_the_logarithm_of_the_penalty() -> None:
    state: dict[torch.Tensor, Any] = {(weights := torch.zeros(2)): {}}
    slope, penalties = torch.tensor([3.0, -1.0]), [0.1, 0.01, 0.001, 5e-4]
    for number, penalty in enumerate(penalties):
        predict_solution([weights], state, penalties[: number + 1])
        solution = -np.log(penalty) * slope
        if number >= 2:
            torch.testing.assert_close(weights, solution)
        weights.copy_(solution)
    # The penalty that remains the last one has the same solution.
    predict_solution([weights], state, [*penalties, 5e-4])
    torch.testing.assert_close(weights, -np.log(5e-4) * slope)
    predict_solution([weights], state, [*penalties, 5e-4, 5e-4])
    torch.testing.assert_close(weights, -np.log(5e-4) * slope)


def test_the_penalties_of_the_steps_so_far_and_the_next_one() -> None:
    group = {"first": 1.0, "factor": 0.1, "last": 0.05, "steps": 2}
    assert path_penalties(group) == [1.0, 0.1, 0.05]
    assert path_penalties({**group, "steps": 0}) == [1.0]


def test_predictions_save_evaluations_and_change_no_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = bags()
    objectives, evaluations = path_of(x, y, 11)
    monkeypatch.setattr("dlcli.training.penalty_path.predict_solution", lambda *_: None)
    _, without = path_of(x, y, 11)
    assert evaluations < 0.85 * without
    for number, found in enumerate(objectives):
        penalty = max(0.1 * 0.316**number, 1e-6)
        best = LogisticRegression(C=1 / (len(y) * penalty), max_iter=5000, tol=1e-6).fit(x, y.ravel())
        goal = log_loss(y, best.predict_proba(x)) + penalty / 2 * (best.coef_**2).sum()
        # Also where the first step lowers the loss by less than the tolerance, which does not end the search.
        assert found < 1.0025 * goal


def test_texts_resume_with_the_same_predictions(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    rows = []
    for number in range(120):
        words = [*draw.choice(WORDS, 6), *draw.choice(WORDS[:4] if number % 2 else WORDS[4:8], 2)]
        rows.append(f"{' '.join(words)}\t{'uv'[number % 2]}")
    (tmp_path / "t.tsv").write_text("\n".join(["text\tkind", *rows]))
    words = [
        "dataset=text", f"dataset.path='{tmp_path}/t.tsv'", "dataset.target=kind", "callbacks=none",
        "trainer.accelerator=cpu", f"runs_dir='{tmp_path}/runs'",
    ]  # fmt: skip
    whole = dlcli.train([*words, "trainer.max_epochs=5"])
    part = dlcli.train([*words, "trainer.max_epochs=3"])
    resumed = dlcli.resume(part.run_dir, ["trainer.max_epochs=5"])
    found = [
        [
            line["metrics"]
            for line in map(json.loads, (Path(one.run_dir) / "metrics.jsonl").read_text().splitlines())
        ]
        for one in (resumed, whole)
    ]
    losses = [[one["val/loss"] for one in lines if "val/loss" in one] for lines in found]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 5
