"""The diagnosis of learning curves, calibrated on generated curves with a known diagnosis."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from dlcli.config.target_kinds import linear_model
from dlcli.reports.diagnosis import FALL_SE, RISE_SE, Finding, diagnose, judge, noise_of
from dlcli.training.row_noise import GROUPS, RowNoise

TRUTHS: tuple[Finding, ...] = ("converged", "falling", "overfitting", "underfitting", "diverging")
PER_TRUTH = 40


def curve(truth: Finding, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Return train and val losses of 8 to 60 epochs, with noise of 0.2 % to 4 % of the val loss."""
    n = int(rng.integers(8, 61))
    e = np.arange(n)
    scale, floor = 10 ** rng.uniform(-1, 1), rng.uniform(0.05, 0.6)
    gap = rng.uniform(1.0, 1.3)
    if truth == "converged":
        tau = n / rng.uniform(8, 20)
        t, v = floor + np.exp(-e / tau), gap * floor + np.exp(-e / tau)
    elif truth == "falling":
        tau = n / rng.uniform(0.8, 2.5)
        t, v = floor + np.exp(-e / tau), gap * floor + np.exp(-e / (tau * rng.uniform(1, 1.1)))
    elif truth == "overfitting":
        tau, turn = n / rng.uniform(8, 16), rng.uniform(0.2, 0.55)
        t = floor * np.exp(-e / n) + np.exp(-e / tau)
        bottom = gap * floor
        rise = rng.uniform(0.15, 0.8) * bottom
        v = bottom + np.exp(-e / tau) + rise * np.clip((e / n - turn) / (1 - turn), 0, None)
    elif truth == "underfitting":
        t = 1 - rng.uniform(0, 0.03) * (1 - np.exp(-4 * e / n))
        v = gap * t
    else:
        t = floor + 0.3 * np.exp(-e / 2) + np.exp((e - n) / (n / rng.uniform(3, 6))) * rng.uniform(2, 10)
        v = gap * t
    noise = rng.uniform(0.002, 0.04) * np.min(v)
    if truth == "underfitting":
        noise = min(noise, 0.01)
    t = t + rng.normal(0, noise / 4, n)
    v = v + rng.normal(0, noise, n)
    return (scale * t).tolist(), (scale * v).tolist()


def test_most_generated_curves_are_judged_as_they_were_made() -> None:
    rng = np.random.default_rng(0)
    table: dict[str, Counter[Finding]] = {
        truth: Counter(judge(*curve(truth, rng)).finding for _ in range(PER_TRUTH)) for truth in TRUTHS
    }
    right = {truth: counts[truth] / PER_TRUTH for truth, counts in table.items()}
    assert min(right.values()) >= 0.85, table
    assert sum(right.values()) / len(right) >= 0.92, table
    # What would send a user the wrong way is rarer still.
    assert table["converged"]["overfitting"] <= 0.05 * PER_TRUTH, table
    assert table["falling"]["overfitting"] == table["overfitting"]["falling"] == 0, table


RowCurve = tuple[list[float], list[float], dict[str, float]]


def curve_of_rows(truth: Finding, rng: np.random.Generator) -> RowCurve:
    """Return train and val losses of a network on 10 to 1,000 validation rows, and the standard errors at the end.

    While the mean over all possible rows stays, rises or falls, each row's loss goes its own way.
    """
    n, rows = int(rng.integers(12, 61)), int(10 ** rng.uniform(1, 3))
    e, floor = np.arange(n), rng.uniform(0.1, 0.6)
    fall = np.exp(-e / (n / (rng.uniform(0.8, 2.5) if truth == "falling" else rng.uniform(8, 16))))
    turn = rng.uniform(0.2, 0.5)
    ramp = np.clip((e / n - turn) / (1 - turn), 0, None)
    own = rng.standard_normal(rows) * rng.uniform(0.3, 1.0)
    own += rng.uniform(0.3, 0.8) if truth == "overfitting" else 0
    losses = floor * (rng.gamma(1, 1, rows)[:, None] + own[:, None] * ramp)
    losses += fall * rng.gamma(4, 0.25, rows)[:, None]
    losses += rng.normal(0, 0.002 * floor, n)
    noise, found = RowNoise(), {}
    groups = [losses[group::GROUPS] for group in range(GROUPS)]
    sums = torch.from_numpy(np.stack([[part.sum(axis=0), np.full(n, len(part))] for part in groups], axis=1))
    for epoch in range(n):
        found = noise.update(float(losses[:, epoch].mean()), sums[..., epoch], torch.device("cpu"))
    t = floor * 0.9 * np.exp(-0.3 * e / n) + fall
    return t.tolist(), losses.mean(axis=0).tolist(), found


def test_a_change_of_few_rows_by_chance_is_neither_overfitting_nor_falling() -> None:
    rng = np.random.default_rng(0)
    truths: tuple[Finding, ...] = ("converged", "overfitting", "falling")
    found: dict[tuple[Finding, bool], Counter[Finding]] = {}
    for truth in truths:
        curves = [curve_of_rows(truth, rng) for _ in range(60)]
        for known in (False, True):
            found[truth, known] = Counter(
                judge(t, v, rise_se=se[RISE_SE] * known, fall_se=se[FALL_SE] * known).finding
                for t, v, se in curves
            )
    by_chance = found["converged", False]
    assert min(by_chance["overfitting"], by_chance["falling"]) >= 6, (
        "the rows alone let the curve rise and fall"
    )
    assert max(found["converged", True][wrong] for wrong in ("overfitting", "falling")) <= 3, found
    for truth in truths:
        assert found[truth, True][truth] >= 51, found


def test_a_slow_but_steady_fall_is_no_convergence() -> None:
    """The loss falls by 6 to 20 % within all epochs, such as from 2.3 to 2.15 at too small a rate."""
    rng, found = np.random.default_rng(0), Counter[Finding]()
    for _ in range(PER_TRUTH):
        n, total = int(rng.integers(8, 61)), rng.uniform(0.06, 0.2)
        v = 1 - total * np.arange(n) / (n - 1)
        noise = total / n * rng.uniform(0.05, 1)
        t, v = v + rng.normal(0, noise / 4, n), v + rng.normal(0, noise, n)
        found[judge(t.tolist(), v.tolist()).finding] += 1
    assert found["falling"] >= 0.85 * PER_TRUTH, found


def test_a_rise_of_memorized_rows_is_overfitting_even_if_few_rows_cause_it() -> None:
    """The MLP on sonar: val loss 0.46, then 0.96 with a standard error of 0.63, train loss 0.0004."""
    v = [0.66, 0.55, 0.5, 0.47, 0.46, *(0.46 + 0.04 * k for k in range(1, 13))]
    t = [0.68 * 0.5**k for k in range(len(v))]
    ends = [0.0] * (len(v) - 1)
    sentence = said(t, v, None, val_loss_rise_se=[*ends, 0.6], val_loss_se=[*ends, 0.8])
    assert "(the rise has a standard error of 0.6 over so few rows), while train loss fell" in sentence
    assert ": overfitting;" in sentence
    flat = [*v[:5], *[0.47] * 12]
    apart = said(t, flat, None, val_loss_se=[*ends, 0.8])
    assert "(with a standard error of 0.8 over so few rows): val loss no longer falls, far above" in apart
    assert "some overfitting" in apart


def test_a_rise_within_the_noise_of_the_rows_is_reported() -> None:
    v = [0.9, 0.6, 0.45, 0.4, *(0.4 + 0.005 * k for k in range(1, 13))]
    t = [0.9, 0.6, 0.45, *(0.4 - 0.002 * k for k in range(13))]
    ends = [0.0] * (len(v) - 1)
    assert ": overfitting;" in said(t, v, None, val_loss_rise_se=[*ends, 0.01])
    assert said(t, v, None, val_loss_rise_se=[*ends, 0.04]) == (
        "val loss was lowest at epoch 4 (0.4) and ends at 0.453, the mean of the last 4 epochs, with train loss at "
        "0.376 (other validation rows might not show the rise: its standard error is 0.04): converged, no certain "
        "sign of over- or underfitting."
    )
    # The distance from the training loss, too.
    low = [*t[:2], *(x / 4 for x in t[2:])]
    apart = {"val_loss_rise_se": [*ends, 0.04]}
    assert "some overfitting" in said(low, v, None, **apart)
    doubted = said(low, v, None, **apart, val_loss_se=[*ends, 0.3])
    assert (
        "(val loss is far above it, but has a standard error of 0.3 over so few rows): converged" in doubted
    )
    assert doubted.endswith("no certain sign of over- or underfitting.")


def test_a_fall_within_the_noise_of_the_rows_is_reported() -> None:
    v = [0.9, 0.6, 0.5, 0.47, *(0.45 - 0.01 * k for k in range(8))]
    ends = [0.0] * (len(v) - 1)
    assert "still falling" in said(v, v, 12, val_loss_fall_se=[*ends, 0.005])
    assert said(v, v, 12, val_loss_fall_se=[*ends, 0.02]) == (
        "val loss was lowest at epoch 12 (0.38), the last one that max_epochs allows, and ends at 0.38, with train "
        "loss at 0.38 (other validation rows might not show the fall: its standard error is 0.02): converged, no "
        "certain sign of over- or underfitting."
    )


def test_a_curve_that_has_levelled_off_in_its_last_epochs_no_longer_falls() -> None:
    """The transformer of experiment=digits_transformer, from epoch 41 to 60: lowest at epoch 55."""
    end = [
        *(0.0625, 0.0581, 0.0658, 0.0692, 0.0647, 0.0716, 0.0566, 0.0477, 0.0465, 0.0533),
        *(0.0516, 0.0547, 0.05, 0.0424, 0.0408, 0.0419, 0.0425, 0.0434, 0.0436, 0.0436),
    ]
    v = [*(0.06 + 2.2 * math.exp(-e / 5) for e in range(40)), *end]
    assert judge(v, v).finding == "converged"
    assert judge(v[:55], v[:55]).finding == "falling"


def test_a_distance_from_the_first_epochs_on_is_not_overfitting() -> None:
    """The linear model on ETTh1, whose validation rows are later than its training rows."""
    v = [0.7146, 0.6932, 0.6668, 0.6799, 0.6819, 0.6768, 0.6684, 0.6664, 0.67, 0.6696]
    t = [0.3778, 0.3517, 0.3421, 0.3384, 0.3359, 0.3347, 0.334, 0.3335, 0.3333, 0.3332]
    assert "far above train loss since the first epochs: the validation rows differ" in said(t, v, 20)
    grown = [0.70, 0.69, 0.55, *t[3:]]
    assert "far above train loss: some overfitting" in said(grown, v, 20)


def test_a_noisy_plateau_has_converged() -> None:
    rng = np.random.default_rng(0)
    found: Counter[Finding] = Counter()
    for _ in range(PER_TRUTH):
        n = int(rng.integers(10, 61))
        fall = np.exp(-np.arange(n) * 8 / n)
        v = (0.4 + fall) + rng.normal(0, rng.uniform(0.02, 0.05), n)
        found[judge((0.35 + fall).tolist(), v.tolist()).finding] += 1
    assert found["converged"] >= 0.9 * PER_TRUTH, found


def test_the_verdict_does_not_depend_on_the_unit_of_the_loss() -> None:
    rng = np.random.default_rng(1)
    for truth in TRUTHS:
        t, v = curve(truth, rng)
        for unit in (1e-4, 1e4):
            assert judge([unit * x for x in t], [unit * x for x in v]).finding == judge(t, v).finding


def test_noise_is_that_of_the_curve_without_its_trend() -> None:
    rng = np.random.default_rng(2)
    trend = np.linspace(5, 1, 2000)
    assert noise_of((trend + rng.normal(0, 0.1, 2000)).tolist()) == pytest.approx(0.1, rel=0.1)
    assert noise_of(trend.tolist()) == pytest.approx(0, abs=1e-12)
    assert noise_of([1.0, 2.0]) == 0


def said(train: list[float], val: list[float], max_epochs: int | None = None, **more: list[float]) -> str:
    named = {"train/loss": train, "val/loss": val, **more}
    return diagnose({name: list(enumerate(values)) for name, values in named.items()}, max_epochs)


# Eight layers of sigmoids on the digits, 10 classes: accuracy stays at 0.2.
SIGMOIDS = [2.30, 2.30, 2.29, 2.05, 1.90, 1.86, 1.85, 1.84, 1.85, 1.84, 1.85, 1.84, 1.84, 1.85, 1.84, 1.84]


def test_a_network_that_has_hardly_learned_is_not_reported_as_converged() -> None:
    history = {name: list(enumerate(SIGMOIDS)) for name in ("train/loss", "val/loss")}
    for baseline, below in ((1.85, "is only 0.5% below the 1.85"), (1.8, "never fell below the 1.8")):
        sentence = diagnose(history, 20, baseline)
        assert (
            f"it no longer falls, but {below} of a constant prediction: the model does not learn" in sentence
        )
        assert "converged" not in sentence
        assert sentence.endswith("try another learning rate, and compare with model=linear.")
        alone = diagnose(history, 20, baseline, linear="")
        assert alone.endswith("try another learning rate.")
        forecast = diagnose(history, 20, baseline, linear=linear_model("forecast"))
        assert forecast == sentence.replace("model=linear", "model=linear_forecast")
    # Another model of the same loss that started far above it has learnt; without a baseline nothing is known.
    for known in (7.0, None, math.nan, 0.0):
        assert diagnose(history, 20, known).endswith("converged, no sign of over- or underfitting.")


def test_a_small_distance_from_a_constant_prediction_is_given_without_a_verdict() -> None:
    right = {"val/accuracy": [(epoch, 0.2) for epoch in range(len(SIGMOIDS))]}
    history = {name: list(enumerate(SIGMOIDS)) for name in ("train/loss", "val/loss")}
    sentence = diagnose(history | right, 20, 2.303)
    assert (
        "It is 20% below the 2.3 of a constant prediction, accuracy 0.2; compare with model=linear"
        in sentence
    )
    alone = diagnose(history | right, 20, 2.303, linear="")
    assert alone == sentence.replace("model=linear and ", "")
    # A log loss of noisy rows: 17 % below is no failure.
    noisy = [0.60, 0.57, 0.54, 0.525, 0.515, 0.512, 0.51, 0.511, 0.51, 0.511, 0.51, 0.51]
    history = {name: list(enumerate(noisy)) for name in ("train/loss", "val/loss")}
    sentence = diagnose(history, 20, 0.611)
    assert "converged, no sign of over- or underfitting. It is 17% below the 0.611" in sentence
    assert "does not learn" not in sentence


def test_a_rise_of_a_tenth_over_many_epochs_is_overfitting() -> None:
    """The val loss was lowest at epoch 3 with 0.296 and ended at 0.324, with a train loss of 0.261."""
    val = [0.35, 0.31, 0.296, 0.299, 0.301, 0.304, 0.308, 0.311, 0.315, 0.317, 0.32, 0.322, 0.324]
    train = [0.40 - 0.139 * (1 - math.exp(-e / 4)) for e in range(13)]
    sentence = said(train, val, 20)
    assert sentence.startswith(
        "val loss was lowest at epoch 3 (0.296) and has risen to 0.322, the mean of the last 3"
    )
    assert ": overfitting;" in sentence


def test_trees_that_still_improve_are_reported_with_the_limit_that_ended_them() -> None:
    losses, grown = [0.5, 0.4], [20.0, 40.0]
    cut = said(losses, losses, 2, iterations=grown)
    assert cut.endswith("as many as trainer.max_epochs=2 allows; more may help.")
    whole = said(losses, losses, 20, iterations=grown)
    assert whole.endswith("more iterations (model.max_iter, of a random forest model.n_estimators) may help.")


def test_a_loss_that_still_falls_at_the_last_epoch_is_reported() -> None:
    falling = [math.exp(-e / 10) + 0.1 for e in range(10)]
    assert "stopped by max_epochs, still falling; more epochs should help" in said(falling, falling, 10)
    assert "still falling where it ended" in said(falling, falling, 50)
    assert "still falling where it ended" in said(falling, falling)


def test_a_solved_model_is_described_by_its_penalties() -> None:
    path = {"penalty": [1.0, 0.1, 0.01, 0.001]}
    losses = [0.9, 0.5, 0.4, 0.45]
    assert said(losses, losses, 20, **path) == (
        "Solved for 4 penalties from 1 to 0.001: val loss was lowest at 0.01, epoch 3 (0.4), and ends at 0.45."
    )
    sentence = said(losses[:2], losses[:2], 2, penalty=[1.0, 0.1])
    assert sentence.endswith("the last one that trainer.max_epochs=2 allows; more epochs should help.")


def test_a_loss_that_has_lost_all_but_a_thousandth_has_converged() -> None:
    """The default model on the penguins, whose classes are separable: accuracy is 1 from epoch 4 on."""
    val = [0.58 * 0.4**epoch + 0.001 / (1 + epoch / 8) for epoch in range(60)]
    train = [loss / 2 for loss in val]
    assert judge(train, val).finding == "converged"
    slow = [0.58 * 0.97**epoch for epoch in range(60)]
    assert judge(slow, slow).finding == "falling"
