"""The penalty path: solutions equal to scikit-learn's, in pieces, after a kill, and settings that it refuses."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

import dlcli
from dlcli.config.pasted import pasted
from dlcli.errors import ConfigError, Diverged
from dlcli.experiment import plan_experiment
from dlcli.models.linear import Linear
from dlcli.preprocessing.ragged import Ragged
from dlcli.training.network import Network
from dlcli.training.penalty_path import PenaltyPath, _numbers_of, rows_of_a_piece, solve_pieces
from dlcli.training.rise_stopping import RiseStopping

WORDS = ["dataset=iris", "model=linear", "trainer.accelerator=cpu"]


def scaled(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(StandardScaler().fit_transform(x)).float()


def squares(model: torch.nn.Module) -> float:
    return sum(float(p.detach().square().sum()) for p in model.parameters() if p.ndim > 1)


def solved(model: torch.nn.Module, loss: Any, steps: int, **settings: float) -> PenaltyPath:
    optimizer = PenaltyPath(list(model.parameters()), **settings)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value.detach()

    for _ in range(steps):
        optimizer.step(closure)
    return optimizer


@pytest.mark.parametrize("load", [load_iris, load_wine])
@pytest.mark.parametrize("steps", [1, 3, 5, 7])
def test_logistic_regression_equals_that_of_scikit_learn_with_the_same_penalty(steps: int, load: Any) -> None:
    x, y = load(return_X_y=True)
    inputs, codes = scaled(x), torch.from_numpy(y)
    model = Linear(x.shape[1:], 3)
    path, batch = PenaltyPath(list(model.parameters())), {"x": inputs, "y": codes}
    for _ in range(steps):
        task: Any = SimpleNamespace(loss=functional.cross_entropy)
        solve_pieces(path, [batch], Network(model), task, torch.Tensor.backward, len(y))
    penalty = path.facts["penalty"]
    assert penalty == pytest.approx(0.1 ** (steps - 1))
    reference = LogisticRegression(C=1 / (len(y) * penalty), max_iter=5000, tol=1e-8).fit(inputs.numpy(), y)
    goal = log_loss(y, reference.predict_proba(inputs.numpy())) + penalty / 2 * (reference.coef_**2).sum()
    own = functional.cross_entropy(model(inputs), codes).item() + penalty / 2 * squares(model)
    assert own == pytest.approx(goal, rel=0.01)


def test_many_outputs_are_evaluated_piece_by_piece_at_the_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = load_iris(return_X_y=True)
    inputs, codes = scaled(x), torch.from_numpy(y)
    pieces = [{"x": inputs[rows], "y": codes[rows]} for rows in (slice(100), slice(100, None))]
    task: Any = SimpleNamespace(loss=functional.cross_entropy)
    found = []
    for held in (1 << 20, 0):
        monkeypatch.setattr("dlcli.training.penalty_path._HELD_NUMBERS", held)
        model = Linear(x.shape[1:], 3)
        path = PenaltyPath(list(model.parameters()))
        solved = solve_pieces(path, pieces, Network(model), task, torch.Tensor.backward, len(y))
        assert isinstance(solved, list) == bool(held)
        found.append([torch.cat(parts) for parts in zip(*((out, y) for out, y, _ in solved), strict=True)])
    for kept, again in zip(*found, strict=True):
        torch.testing.assert_close(kept, again, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weights", [None, "balanced"])
def test_a_binary_loss_equals_that_of_scikit_learn_with_and_without_class_weights(
    weights: str | None,
) -> None:
    from dlcli.tasks.losses import BinaryCrossEntropy

    x, y = load_breast_cancer(return_X_y=True)
    inputs, targets = scaled(x), torch.from_numpy(y).float().unsqueeze(1)
    loss = BinaryCrossEntropy(("no", "yes"), np.bincount(y).tolist(), class_weights=weights)
    model = Linear((30,), 1)
    path = solved(model, lambda: loss(model(inputs), targets), 3)
    penalty = path.facts["penalty"]
    reference = LogisticRegression(
        C=1 / (len(y) * penalty), max_iter=5000, tol=1e-8, class_weight=weights
    ).fit(inputs.numpy(), y)
    best = torch.from_numpy(reference.decision_function(inputs.numpy())).float().unsqueeze(1)
    goal = float(loss(best, targets)) + penalty / 2 * (reference.coef_**2).sum()
    own = loss(model(inputs), targets).item() + penalty / 2 * squares(model)
    assert own == pytest.approx(goal, rel=0.01)


def test_linear_regression_equals_ridge_with_the_same_penalty() -> None:
    x, y = load_diabetes(return_X_y=True)
    inputs, targets = scaled(x), scaled(y[:, None])
    model = Linear((10,), 1)
    path = solved(model, lambda: functional.mse_loss(model(inputs), targets), 2)
    ridge = Ridge(alpha=len(y) * path.facts["penalty"] / 2).fit(inputs.numpy(), targets.numpy())
    goal = ((ridge.predict(inputs.numpy()).ravel() - targets.numpy().ravel()) ** 2).mean()
    assert functional.mse_loss(model(inputs), targets).item() == pytest.approx(goal, rel=0.01)


def test_the_penalties_end_at_the_last_one() -> None:
    model = Linear((2,), 1)
    inputs = torch.eye(2)
    path = solved(model, lambda: functional.mse_loss(model(inputs), inputs[:, :1]), 3, last=0.05)
    assert path.facts["penalty"] == 0.05
    assert path.is_done
    assert not PenaltyPath(list(model.parameters())).is_done


@pytest.mark.parametrize(("rows", "first"), [(20, 1.0), (3000, 1.0), (4000, 0.1), (51_000, 0.01)])
def test_many_rows_start_with_a_weaker_penalty(rows: int, first: float) -> None:
    path = PenaltyPath(list(Linear((2,), 1).parameters()))
    path.start(rows)
    assert path.param_groups[0]["first"] == pytest.approx(first)
    given = PenaltyPath(list(Linear((2,), 1).parameters()), first=3.0)
    given.start(rows)
    assert given.param_groups[0]["first"] == 3.0


@pytest.mark.parametrize(
    ("mode", "values", "epochs"),
    [
        ("min", [0.5, 0.40, 0.43, 0.3], 3),  # a clear step back
        ("min", [0.5, 0.40, 0.41, 0.3], 4),  # a small one
        ("min", [0.5, 0.40, 0.41, 0.41, 0.3], 4),  # two in a row
        ("max", [0.5, 0.60, 0.55, 0.7], 3),
        ("max", [0.0, 0.60, 0.59, 0.7], 4),
    ],
)
def test_a_clear_step_back_ends_the_path(mode: Any, values: list[float], epochs: int) -> None:
    stopping = RiseStopping("val/loss", mode)
    seen = 0
    for value in values:
        seen += 1
        if stopping._evaluate_stopping_criteria(torch.tensor(value))[0]:
            break
    assert seen == epochs


def test_rows_are_divided_into_pieces_that_fit_into_memory() -> None:
    assert rows_of_a_piece({"x": torch.empty(50, 4), "y": torch.empty(50)}) == 50
    assert rows_of_a_piece({"x": torch.empty(1, 1).expand(1 << 16, 1 << 12)}) == 1 << 14
    lengths = torch.full((3000,), 2)
    assert rows_of_a_piece({"x": Ragged(torch.ones(6000), lengths)}) == 512


def test_pieces_give_the_solution_of_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*WORDS, f"runs_dir='{tmp_path}'", "trainer.max_epochs=3", "optimizer.tolerance=3e-5"]
    whole = dlcli.train(words)
    monkeypatch.setattr("dlcli.training.penalty_path._NUMBERS", 200)
    pieces = dlcli.train(words)
    monkeypatch.setattr("dlcli.training.penalty_path._HELD_NUMBERS", 0)
    read_again = dlcli.train(words)
    for name in ("train/loss", "val/loss", "test/loss"):
        assert history(pieces, name) == pytest.approx(history(whole, name), rel=2e-3)
        assert history(read_again, name) == pytest.approx(history(pieces, name), rel=2e-3)


def history(result: Any, name: str) -> list[float]:
    lines = (Path(result.run_dir) / "metrics.jsonl").read_text().splitlines()
    return [line["metrics"][name] for line in map(json.loads, lines) if name in line["metrics"]]


def test_model_linear_is_solved_whatever_seed_and_batch_size(tmp_path: Path) -> None:
    words = [*WORDS, f"runs_dir='{tmp_path}'"]
    one, other = dlcli.train(words), dlcli.train([*words, "seed=7", "dataset.batch_size=5"])
    assert other.metrics["test/loss"] == pytest.approx(one.metrics["test/loss"], rel=1e-2)
    assert one.metrics["val/loss"] < 0.1  # by Adam, 20 epochs end at 0.8
    penalties = history(one, "penalty")
    assert penalties[:3] == pytest.approx([1, 0.1, 0.01])
    assert len(penalties) <= 7  # it ends with the last penalty
    # The metrics of the training rows are those of the epoch's solution, which later penalties improve.
    losses = history(one, "train/loss")
    assert losses[0] < np.log(3)
    assert all(after <= before * 1.005 for before, after in pairwise(losses))


def test_a_solved_model_resumes_to_the_same_weights(tmp_path: Path) -> None:
    words = [*WORDS, f"runs_dir='{tmp_path}'", "callbacks=none"]
    whole = dlcli.train([*words, "trainer.max_epochs=4"])
    part = dlcli.train([*words, "trainer.max_epochs=2"])
    resumed = dlcli.resume(part.run_dir, ["trainer.max_epochs=4"])
    assert history(resumed, "val/loss") == history(whole, "val/loss")
    assert resumed.messages[0] == whole.messages[0]
    assert resumed.messages[0].startswith("Solved for 4 penalties from 1 to 0.001")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (
            "scheduler=cosine",
            "scheduler: PenaltyPath solves on all rows: it has no learning rate to schedule",
        ),
        ("weight_averaging=ema", "weight_averaging: .* no steps whose weights could be averaged"),
        ("finder=lr", "finder: .* neither a learning rate nor a batch size"),
        ("trainer.accumulate_grad_batches=2", "accumulate_grad_batches: .* with the gradient as it is"),
        ("trainer.gradient_clip_val=1", r"Leave trainer.gradient_clip_val out. To train by steps"),
    ],
)
def test_settings_that_a_solver_cannot_use_are_refused(word: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"(?s){text}"):
        dlcli.train([*WORDS, word, f"runs_dir='{tmp_path}'"])
    assert not list(tmp_path.iterdir())


def test_other_optimizers_train_the_linear_model_by_steps(tmp_path: Path) -> None:
    words = [*WORDS, "optimizer=adam", "optimizer.lr=0.1", "trainer.max_epochs=2", f"runs_dir='{tmp_path}'"]
    assert history(dlcli.train(words), "lr") == [0.1, 0.1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_a_loss_that_is_not_finite_is_a_message(value: float) -> None:
    network = Network(Linear((2,), 1))
    batch = {"x": torch.tensor([[0.0, value], [1.0, value]]), "y": torch.ones(2, 1)}
    task = SimpleNamespace(loss=functional.mse_loss)
    optimizer = PenaltyPath(list(network.parameters()))
    with pytest.raises(Diverged, match="optimizer=adam"):
        solve_pieces(optimizer, [batch], network, task, torch.Tensor.backward, 2)  # type: ignore[arg-type]


def test_an_error_of_the_model_stays_as_it_is() -> None:
    network = Network(Linear((2,), 1))
    optimizer = PenaltyPath(list(network.parameters()))
    batch = {"x": torch.ones(2, 3), "y": torch.ones(2, 1)}
    with pytest.raises(RuntimeError, match="shapes"):
        solve_pieces(optimizer, [batch], network, SimpleNamespace(), torch.Tensor.backward, 2)  # type: ignore[arg-type]


def test_a_model_that_is_not_linear_is_refused_with_the_way_out(tmp_path: Path) -> None:
    words = ["dataset=iris", "optimizer=penalty_path", f"runs_dir='{tmp_path}'"]
    with pytest.raises(
        ConfigError, match=r"(?s)optimizer: PenaltyPath solves linear models.*MLP.*optimizer=adam"
    ):
        dlcli.train([*words, "model=mlp"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("size", "is_refused"), [(1e12, False), (1e33, True)])
def test_inputs_that_leave_the_numbers_are_named_before_training(
    size: float, is_refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    x = draw.normal(size=(80, 2)) * [1, size]
    rows = [f"{a},{b},{'uv'[int(a + draw.normal() > 0)]}" for a, b in x]
    Path("large.csv").write_text("\n".join(["small,it's,y", *rows]))
    words = ["dataset=table", "dataset.path=large.csv", "dataset.target=y", "model=linear"]
    experiment = plan_experiment([*words, "preprocessing.scaling=none", "trainer.accelerator=cpu"])
    if not is_refused:  # it is solved with the curvature of the rows, as in training
        experiment.rehearse(quick=True)
        return
    with pytest.raises(ConfigError) as caught:
        experiment.rehearse(quick=True)
    (problem,) = caught.value.problems
    assert "the largest numbers of the training rows are those of it's up to " in problem.message
    assert "Scale them: preprocessing.scaling=standard." in problem.hint
    assert pasted("dataset.drop", ["it's"]) in problem.hint
    plan_experiment([*words, "trainer.accelerator=cpu"]).rehearse(quick=True)


def test_rows_of_unequal_length_count_as_they_are_padded_in_their_piece() -> None:
    pieces = [{"x": torch.zeros(2, steps), "lengths": torch.full((2,), steps)} for steps in (50, 3)]
    assert _numbers_of(pieces, pieces[0]) == 2 * (50 + 1) + 2 * (3 + 1)
    equal = [{"x": torch.zeros(2, 5)}] * 3
    assert _numbers_of(equal, equal[0]) == 30
