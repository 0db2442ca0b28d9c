"""Weights of tokens that the penalty divides by their log-count ratios."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch.nn import functional

from dlcli.errors import ConfigError
from dlcli.models.linear import Linear
from dlcli.training.class_ratios import ScaledWeights, automatic_ratios, scaled_by_ratios
from dlcli.training.network import Network
from dlcli.training.penalty_path import PenaltyPath, solve_pieces

TOKENS = 12


def bags(classes: int) -> list[dict[str, torch.Tensor]]:
    """Return two batches of 30 bags of 3 of 10 tokens, whose class depends on the first token."""
    generator = np.random.default_rng(0)
    x = np.stack([generator.permutation(TOKENS - 2)[:3] + 2 for _ in range(60)])
    codes = np.where(generator.random(60) < 0.8, x[:, 0] % classes, generator.integers(classes, size=60))
    y = torch.from_numpy(codes) if classes > 2 else torch.from_numpy(codes).float().unsqueeze(1)
    fields = {"x": torch.from_numpy(x), "counts": torch.ones(60, 3), "lengths": torch.full((60,), 3), "y": y}
    return [{name: field[rows] for name, field in fields.items()} for rows in (slice(30), slice(30, None))]


def dense(batches: list[dict[str, torch.Tensor]]) -> np.ndarray:
    x = torch.cat([batch["x"] for batch in batches])
    return torch.zeros(len(x), TOKENS).scatter_(1, x, 1.0).numpy()


def scales(batches: list[dict[str, torch.Tensor]], share: float, outputs: int) -> np.ndarray:
    model = Linear((3,), outputs, vocab_size=TOKENS)
    found = scaled_by_ratios(model, batches, share)
    assert isinstance(found, ScaledWeights)
    found.parameters[0].data.fill_(1)
    return (1 / found.variables()).numpy()


def test_a_scale_is_the_log_ratio_of_the_shares_of_a_token_in_its_class_and_in_others() -> None:
    batches = bags(3)
    x, y = dense(batches), torch.cat([batch["y"] for batch in batches]).numpy()
    ratios = []
    for code in range(3):
        own = y == code
        inside, outside = x[own].sum(0) + own.mean(), x[~own].sum(0) + (1 - own.mean())
        ratios.append(np.abs(np.log(inside / inside.sum() / (outside / outside.sum()))))
    expected = np.stack(ratios, axis=1)
    expected = 0.4 + 0.6 * expected / np.sqrt((expected**2).mean())
    np.testing.assert_allclose(scales(batches, 0.6, 3), expected, rtol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("held", [True, False])
def test_the_solution_is_that_of_scikit_learn_on_inputs_multiplied_by_the_scales(
    classes: int, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not held:
        monkeypatch.setattr("dlcli.training.penalty_path._HELD_NUMBERS", 0)
    batches, outputs = bags(classes), 1 if classes == 2 else classes
    loss: Any = functional.binary_cross_entropy_with_logits if classes == 2 else functional.cross_entropy
    model = Linear((3,), outputs, vocab_size=TOKENS)
    path = PenaltyPath(list(model.parameters()), class_ratios=0.5)
    task: Any = SimpleNamespace(loss=loss)
    for _ in range(3):
        solve_pieces(path, batches, Network(model), task, torch.Tensor.backward, 60)
    penalty, sizes = path.facts["penalty"], scales(batches, 0.5, outputs)
    weights = model.layers.weights.weight.detach().numpy() / sizes  # type: ignore[union-attr, operator]
    y = torch.cat([batch["y"] for batch in batches]).numpy().ravel()
    with torch.no_grad():
        losses = [loss(model(batch["x"], counts=batch["counts"]), batch["y"]) for batch in batches]
    own = float(sum(losses)) / 2
    if classes == 2:
        other = LogisticRegression(C=1 / (60 * penalty), tol=1e-8).fit(dense(batches) * sizes[:, 0], y)
        goal = log_loss(y, other.predict_proba(dense(batches) * sizes[:, 0]))
        assert own + penalty / 2 * (weights**2).sum() == pytest.approx(
            goal + penalty / 2 * (other.coef_**2).sum(), rel=1e-4
        )
    else:  # scikit-learn has the same inputs for all classes; at the minimum, the gradient is 0
        with torch.no_grad():
            errors = torch.cat([model(batch["x"], counts=batch["counts"]) for batch in batches]).softmax(1)
        errors[torch.arange(60), torch.from_numpy(y)] -= 1
        gradient = dense(batches).T @ errors.numpy() / 60 * sizes + penalty * weights
        assert np.abs(gradient).max() < 2e-3


def test_targets_without_classes_have_no_ratios() -> None:
    batches = [batch | {"y": torch.rand(30, 1)} for batch in bags(2)]
    model = Linear((3,), 1, vocab_size=TOKENS)
    path = PenaltyPath(list(model.parameters()), class_ratios=0.5)
    task: Any = SimpleNamespace(loss=functional.mse_loss)
    with pytest.raises(ConfigError, match="only bags of tokens with classes") as raised:
        solve_pieces(path, batches, Network(model), task, torch.Tensor.backward, 60)
    assert raised.value.problems[0].hint == "Use optimizer.class_ratios=0."


def test_the_share_follows_from_the_classes_of_the_training_rows() -> None:
    y, rows = np.array([0] * 9 + [1] * 3), np.arange(10)
    assert automatic_ratios("binary", y, rows) == (
        0.0,
        "as only 10% of the training texts have the rarer class",
    )
    assert automatic_ratios("binary", y, np.arange(12)) == (0.5, "for classes of texts")
    assert automatic_ratios("multiclass", y, rows) == (0.5, "for classes of texts")
    assert automatic_ratios("regression", y, rows) is None
