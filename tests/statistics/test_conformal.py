"""Conformal sets and intervals: their coverage is the requested one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from dlcli.errors import InputError
from dlcli.statistics.conformal import conformal_quantile, fewest_rows
from dlcli.statistics.conformal_methods import conformal_of

COVERAGE = 0.9


def within_binomial_bounds(share: float, rows: int, calibrated: int, *, at_least: bool = False) -> bool:
    """Whether a share is one of 1,000 that are usual; the calibration rows are as random as the new ones."""
    fewer = rows * calibrated // (rows + calibrated)
    low, high = (binom.ppf(p, fewer, COVERAGE) / fewer for p in (0.0005, 0.9995))
    return low <= share and (at_least or share <= high)


def numbers(rows: int, random: np.random.Generator, quantiles: bool = False) -> pd.DataFrame:
    """Targets whose noise grows with x, and their mean as prediction."""
    x = random.uniform(1, 5, rows)
    table = pd.DataFrame({"prediction": 2 * x, "target": 2 * x + x * random.normal(size=rows)})
    # Quantiles of a model that thinks itself too sure.
    return table.assign(**{"q0.1": x, "q0.5": 2 * x, "q0.9": 3 * x}) if quantiles else table


@pytest.mark.parametrize("quantiles", [False, True])
def test_intervals_cover_new_rows(quantiles: bool) -> None:
    random = np.random.default_rng(0)
    conformal = conformal_of("regression", numbers(2000, random, quantiles), COVERAGE)
    new = numbers(4000, random, quantiles)
    found = conformal.measure(new)
    assert within_binomial_bounds(found["conformal_coverage"], 4000, 2000)
    intervals = conformal.columns(new)
    widths = intervals["high"] - intervals["low"]
    assert found["conformal_width"] == pytest.approx(widths.mean())
    # The quantiles say where the noise is large; absolute errors give every row the same width.
    assert (widths.max() > 1.3 * widths.min()) == quantiles


def test_sets_cover_new_rows_and_are_never_empty() -> None:
    random = np.random.default_rng(1)

    def classes(rows: int) -> pd.DataFrame:
        logits = random.normal(size=(rows, 3)) * 1.5
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        target = (p.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1)
        wrong = p**3 / (p**3).sum(axis=1, keepdims=True)  # far too sure
        names = np.array(["a", "b, c", "d"], dtype=object)
        table = pd.DataFrame(wrong, columns=[f"p({name})" for name in names])
        return table.assign(prediction=names[p.argmax(axis=1)], target=names[target])

    conformal = conformal_of("multiclass", classes(2000), COVERAGE)
    new = classes(4000)
    found = conformal.measure(new)
    assert within_binomial_bounds(found["conformal_coverage"], 4000, 2000)
    sets = conformal.columns(new)["set"]
    assert 1 < found["conformal_set_size"] < 3
    assert set(sets) <= {"a", '"b, c"', "d", 'a,"b, c"', "a,d", '"b, c",d', 'a,"b, c",d'}


def test_steps_and_targets_are_calibrated_one_by_one() -> None:
    random = np.random.default_rng(2)
    steps = np.tile([1, 2], 500)
    table = pd.DataFrame({"step": steps})
    for name, scale in (("x", 1.0), ("y", 10.0)):
        table[f"prediction({name})"] = 0.0
        table[f"target({name})"] = random.normal(size=1000) * scale * steps
    conformal = conformal_of("regression", table, COVERAGE)
    assert conformal.rows == 500
    found = conformal.columns(table.head(2))
    assert list(found) == ["low(x)", "high(x)", "low(y)", "high(y)"]
    usual = 1.645  # the 0.95 quantile of a normal distribution
    np.testing.assert_allclose(found["high(x)"], [usual, 2 * usual], rtol=0.2)
    np.testing.assert_allclose(found["low(y)"], [-10 * usual, -20 * usual], rtol=0.2)


def test_a_coverage_that_the_rows_cannot_give_is_refused_with_the_smallest_number() -> None:
    assert [fewest_rows(coverage) for coverage in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    scores = np.arange(9.0)
    assert conformal_quantile(scores, 0.9) == 8
    with pytest.raises(InputError, match="needs at least 9 calibration rows, and there are 8"):
        conformal_quantile(scores[:8], 0.9)
    few = pd.DataFrame({"p(a)": [0.6] * 8, "p(b)": [0.4] * 8, "target": "a"})
    for method in ("plain", "plus"):
        with pytest.raises(InputError, match="needs at least 9 calibration rows, and there are 8"):
            conformal_of("multiclass", few, 0.9, method, [np.ones(1)] * 8)
    with pytest.raises(InputError, match="needs at least 9 calibration rows, and there are 0"):
        conformal_of("regression", numbers(0, np.random.default_rng(0)), 0.9, "plus", [])


@pytest.mark.parametrize("coverage", [0.0, 1.0, float("nan")])
def test_a_coverage_is_between_0_and_1(coverage: float) -> None:
    table = numbers(50, np.random.default_rng(0))
    with pytest.raises(InputError, match="not between 0 and 1"):
        conformal_of("regression", table, coverage)


def test_labels_have_no_sets() -> None:
    table = pd.DataFrame({"prediction(a)": [1], "p(a)": [0.9], "target(a)": [1]})
    with pytest.raises(InputError, match="predictions of multilabel have no sets"):
        conformal_of("multilabel", table, COVERAGE)


def test_adaptive_sets_are_larger_for_uncertain_rows_and_cover_them_more_often() -> None:
    random = np.random.default_rng(3)

    def classes(rows: int) -> pd.DataFrame:
        # Half of the rows are easy: logits of a large scale.
        scale = np.where(random.random(rows) < 0.5, 4.0, 0.7)[:, None]
        logits = random.normal(size=(rows, 6)) * scale
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        target = np.minimum((p.cumsum(axis=1) < random.random((rows, 1))).sum(axis=1), 5)
        names = np.array(list("abcdef"), dtype=object)
        table = pd.DataFrame(p, columns=[f"p({name})" for name in names])
        return table.assign(prediction=names[p.argmax(axis=1)], target=names[target], hard=scale[:, 0] < 1)

    known, new = classes(4000), classes(4000)
    hard = new["hard"].to_numpy()
    of_hard = []
    for method in ("plain", "adaptive"):
        conformal = conformal_of("multiclass", known, COVERAGE, method)  # type: ignore[arg-type]
        assert within_binomial_bounds(conformal.measure(new)["conformal_coverage"], 4000, 4000, at_least=True)
        of_hard.append(conformal.measure(new[hard])["conformal_coverage"])
        sizes = conformal.columns(new)["set"].str.count(",") + 1
        assert sizes[hard].mean() > sizes[~hard].mean()
    assert of_hard[1] > of_hard[0] + 0.01
    with pytest.raises(InputError, match="adaptive sets are sets of classes"):
        conformal_of("regression", numbers(50, random), COVERAGE, "adaptive")


def folds_of(members: int, rows: int, random: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Which member predicts each calibration row, and the weights of that."""
    fold = random.integers(0, members, rows)
    return fold, [np.eye(members)[one] for one in fold]


def test_intervals_of_folds_are_those_of_the_definition() -> None:
    # Barber et al., "Predictive Inference with the Jackknife+", 2021, CV+.
    random = np.random.default_rng(4)
    n, k, m = 60, 3, 7
    fold, weights = folds_of(k, n, random)
    y, predicted = random.normal(size=n), random.normal(size=n)
    table = pd.DataFrame({"row": np.arange(n), "prediction": predicted, "target": y})
    conformal = conformal_of("regression", table, 0.8, "plus", weights)
    of_members = random.normal(size=(k, m))
    members = [pd.DataFrame({"prediction": one}) for one in of_members]
    found = conformal.columns(pd.DataFrame({"prediction": of_members.mean(axis=0)}), members)
    errors = np.abs(y - predicted)
    last = int(np.ceil(0.8 * (n + 1))) - 1
    for row in range(m):
        own = of_members[fold, row]
        assert found["high"][row] == pytest.approx(np.sort(own + errors)[last])
        assert found["low"][row] == pytest.approx(-np.sort(errors - own)[last])


def test_sets_of_folds_are_those_of_the_definition() -> None:
    # Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", 2020, CV+.
    random = np.random.default_rng(5)
    n, k, m = 50, 2, 20
    fold, weights = folds_of(k, n, random)
    names = ["a", "b", "c"]
    shares = random.dirichlet(np.ones(3), size=n)
    target = random.integers(0, 3, n)
    table = pd.DataFrame(shares, columns=[f"p({name})" for name in names])
    conformal = conformal_of(
        "multiclass", table.assign(target=np.array(names)[target]), COVERAGE, "plus", weights
    )
    of_members = random.dirichlet(np.ones(3), size=(k, m))
    members = [pd.DataFrame(one, columns=table.columns) for one in of_members]
    mean = of_members.mean(axis=0)
    new = pd.DataFrame(mean, columns=table.columns).assign(prediction=np.array(names)[mean.argmax(axis=1)])
    sets = conformal.columns(new, members)["set"]
    scores = 1 - shares[np.arange(n), target]
    for row in range(m):
        wanted = [
            name
            for place, name in enumerate(names)
            if (scores < 1 - of_members[fold, row, place]).sum() < COVERAGE * (n + 1)
            or name == new["prediction"][row]
        ]
        assert sets[row].split(",") == wanted


def test_a_fold_without_a_finite_score_is_left_out() -> None:
    random = np.random.default_rng(6)
    fold = np.repeat([0, 1], [20, 80])
    table = pd.DataFrame({"row": np.arange(100), "prediction": random.normal(size=100), "target": 0.0})
    table.loc[:19, "prediction"] = np.nan
    conformal = conformal_of("regression", table, 0.6, "plus", [np.eye(2)[one] for one in fold])
    members = [pd.DataFrame({"prediction": [0.0, 1.0]})] * 2
    found = conformal.columns(pd.DataFrame({"prediction": [0.0, 1.0]}), members)
    assert np.isfinite(found[["low", "high"]]).all(axis=None)
