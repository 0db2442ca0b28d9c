from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional

from dlcli.tasks.losses import (
    MAE,
    MSE,
    BinaryCrossEntropy,
    CrossEntropy,
    Focal,
    Huber,
    Quantile,
    class_weights_of,
)

CLASSES, COUNTS = ("a", "b", "c"), (60, 30, 10)


def codes(rows: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(rows, 3, requires_grad=True), torch.randint(3, (rows,))


def labels(rows: int = 50, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(rows, count, requires_grad=True), torch.randint(2, (rows, count)).float()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_without_weights_equal_those_of_torch(smoothing: float) -> None:
    logits, y = codes()
    ours = CrossEntropy(CLASSES, COUNTS, label_smoothing=smoothing)(logits, y)
    assert torch.equal(ours, functional.cross_entropy(logits, y, label_smoothing=smoothing))
    logits, y = labels()
    ours = BinaryCrossEntropy(("a", "b"), [(1, 1)] * 2, label_smoothing=smoothing)(logits, y)
    smooth = y * (1 - smoothing) + smoothing / 2
    assert torch.allclose(ours, functional.binary_cross_entropy_with_logits(logits, smooth))


def test_smoothing_of_two_classes_is_the_same_in_both_forms() -> None:
    logits, y = labels(count=1)
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    one = BinaryCrossEntropy(("no", "yes"), (1, 1), label_smoothing=0.2)(logits, y)
    assert torch.allclose(
        one, CrossEntropy(("no", "yes"), (1, 1), label_smoothing=0.2)(two, y.long().flatten())
    )


def test_balanced_weights_equal_those_of_scikit_learn() -> None:
    y = np.repeat([0, 1, 2], COUNTS)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    weights = class_weights_of("balanced", CLASSES, COUNTS)
    assert weights is not None
    assert weights.numpy() == pytest.approx(expected)
    assert weights[torch.from_numpy(y)].mean().item() == pytest.approx(1)


def test_weights_are_finite_with_an_empty_class() -> None:
    weights = class_weights_of("balanced", CLASSES, (30, 10, 0))
    assert weights is not None
    assert weights.tolist() == pytest.approx([40 / 60, 2, 1])


def test_class_weights_are_given_by_name() -> None:
    weights = class_weights_of({"c": 5}, CLASSES, COUNTS)
    assert weights is not None
    assert weights.tolist() == [1, 1, 5]
    of_labels = class_weights_of({"b": 3}, ("a", "b"), [(9, 1), (8, 2)])
    assert of_labels is not None
    assert of_labels.tolist() == [[1, 1], [1, 3]]
    with pytest.raises(ValueError, match="names d, the classes are a, b, c"):
        class_weights_of({"d": 1}, CLASSES, COUNTS)


@pytest.mark.parametrize("loss", [CrossEntropy, Focal])
def test_a_weighted_loss_of_all_rows_is_the_mean_of_its_batches(loss: type) -> None:
    # torch normalizes its weights in each batch, so its losses would depend on the batches.
    logits, y = codes(40)
    weighted = loss(CLASSES, COUNTS, class_weights="balanced")
    parts = [weighted(logits[i : i + 10], y[i : i + 10]).item() for i in range(0, 40, 10)]
    assert weighted(logits, y).item() == pytest.approx(np.mean(parts), rel=1e-5)


def test_weights_of_two_classes_and_of_labels() -> None:
    logits, y = labels(count=1)
    weighted = BinaryCrossEntropy(("no", "yes"), (75, 25), class_weights="balanced")(logits, y)
    each = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    assert weighted.item() == pytest.approx((each * torch.where(y == 1, 2.0, 2 / 3)).mean().item())
    logits, y = labels()
    weighted = BinaryCrossEntropy(("a", "b"), [(75, 25), (50, 50)], class_weights="balanced")(logits, y)
    each = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    factors = torch.stack([torch.where(y[:, 0] == 1, 2.0, 2 / 3), torch.ones(50)], dim=1)
    assert weighted.item() == pytest.approx((each * factors).mean().item())


def test_focal_loss_follows_the_paper() -> None:
    logits, y = codes()
    p = logits.softmax(dim=1)[torch.arange(50), y]
    assert Focal(CLASSES, COUNTS)(logits, y).item() == pytest.approx(
        (-((1 - p) ** 2) * p.log()).mean().item()
    )
    assert torch.allclose(Focal(CLASSES, COUNTS, gamma=0)(logits, y), functional.cross_entropy(logits, y))
    logits, y = labels()
    p = torch.where(y == 1, logits.sigmoid(), 1 - logits.sigmoid())
    focal = Focal(("a", "b"), [(1, 1)] * 2)(logits, y)
    assert focal.item() == pytest.approx((-((1 - p) ** 2) * p.log()).mean().item())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_has_a_gradient_for_certain_rows(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    Focal(CLASSES, COUNTS, gamma=gamma)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(
    ("loss", "optimum"),
    [
        (MSE(), 3.6),
        (MAE(), 2.0),
        (Huber(0.01), 2.0),
        (Quantile([0.5]), 2.0),
        (Quantile([0.3]), 1.0),
        (Quantile([0.9]), 11.0),
    ],
    ids=["mse: mean", "mae: median", "huber", "quantile 0.5", "quantile 0.3", "quantile 0.9"],
)
def test_regression_losses_are_minimal_at_their_statistic(loss: nn.Module, optimum: float) -> None:
    y = torch.tensor([[0.0], [1.0], [2.0], [4.0], [11.0]])
    grid = torch.linspace(-1, 12, 1301)
    losses = torch.stack([loss(torch.full_like(y, float(value)), y) for value in grid])
    assert grid[losses.argmin()].item() == pytest.approx(optimum, abs=0.02)


def test_several_quantiles_are_fitted_jointly() -> None:
    y, outputs = torch.tensor([[0.0, 10.0], [4.0, 30.0]]), torch.randn(2, 6)
    apart = [Quantile([level])(outputs[:, i::3], y) for i, level in enumerate((0.1, 0.5, 0.8))]
    together = Quantile([0.1, 0.5, 0.8])(outputs, y)
    assert together.item() == pytest.approx(torch.stack(apart).mean().item())
