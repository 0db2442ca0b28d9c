"""`cv=learning_curve`: the metrics of a cross-validation by the number of training rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.datasets.bundled import iris
from dlcli.errors import DataError
from dlcli.reports.folds import size_curves
from dlcli.result import Result
from dlcli.splits.kfold import KFold
from dlcli.splits.learning_curve import LearningCurve, first_of_each_share, share_of_splits
from dlcli.statistics.interval import UNDEFINED, Interval

QUICK = ["dataset=iris", "model=mlp", "model.hidden=8", "trainer.max_epochs=2", "trainer.accelerator=cpu"]


@pytest.mark.parametrize("stratify", [False, True])
def test_smaller_sizes_are_subsets_of_larger_ones(stratify: bool) -> None:
    data = iris()
    strategy = LearningCurve(folds=3, sizes=[0.5, 0.2, 0.5], stratify=stratify)
    splits = strategy.splits(data)
    assert share_of_splits(strategy, splits) == (1.0,) * 3 + (0.5,) * 3 + (0.2,) * 3
    for split, plain in zip(splits, KFold(folds=3, stratify=stratify).splits(data), strict=False):
        assert split.fingerprint == plain.fingerprint
    for larger, smaller in zip(splits, splits[3:], strict=False):
        assert smaller.test.tolist() == larger.test.tolist()
        assert set(smaller.train) < set(larger.train) and set(smaller.val) < set(larger.val)
    for place, split in enumerate(splits):
        whole, share = splits[place % 3], (1.0, 0.5, 0.2)[place // 3]
        assert len(split.train) == round(share * len(whole.train))
        assert len(split.val) == round(share * len(whole.val))
        if stratify:
            counts = np.bincount(data.y[split.train], minlength=3)
            assert counts.max() - counts.min() <= 1


def test_a_share_of_less_than_one_row_is_refused() -> None:
    with pytest.raises(DataError, match=r"0\.01 of 15 val rows is less than one row"):
        LearningCurve(folds=3, sizes=[0.01]).splits(iris())


def test_shares_by_default_and_without_validation_rows() -> None:
    assert LearningCurve().shares == [1.0, 0.5, 0.25, 0.1]
    splits = LearningCurve(folds=3, sizes=[0.5], val_size=0).splits(iris())
    assert [split.sizes["val"] for split in splits] == [0] * 6
    kept, shares = first_of_each_share(splits, (1.0,) * 3 + (0.5,) * 3, 2)
    assert (kept, shares) == ([*splits[:2], *splits[3:5]], (1.0, 1.0, 0.5, 0.5))


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Result:
    runs = tmp_path_factory.mktemp("runs")
    return dlcli.train([*QUICK, "cv=learning_curve", "cv.folds=2", "cv.sizes=[0.3]", f"runs_dir='{runs}'"])


def test_the_run_s_figures_are_those_of_all_training_rows(curve: Result, tmp_path: Path) -> None:
    plain = dlcli.train([*QUICK, "cv=kfold", "cv.folds=2", f"runs_dir='{tmp_path}'"])
    assert curve.values == plain.values
    assert [fold.values for fold in curve.folds] == [fold.values for fold in plain.folds]


def test_each_size_is_recorded(curve: Result) -> None:
    table = pd.read_csv(curve.run_dir / "sizes.csv")
    sizes = table[table["metric"] == "accuracy"]
    assert sizes["share"].tolist() == [0.3, 1.0] and sizes["folds"].tolist() == [2, 2]
    assert sizes["mean"].iloc[1] == pytest.approx(curve.metrics["cv/accuracy_mean"])
    few, many = sizes["rows"]
    assert few == round(0.3 * many)
    assert (curve.run_dir / "plots" / "sizes.png").is_file()
    (told,) = [line for line in curve.messages if "by training rows" in line]
    assert told.endswith(
        f"{sizes['mean'].iloc[0]:.3g} ({few:.0f}), {sizes['mean'].iloc[1]:.3g} ({many:.0f})."
    )
    names = {path.name for path in curve.run_dir.parents[1].iterdir()}
    assert len(names) == 1 + 2 * 2  # the parent and a run for each size and fold


def test_the_plot_has_an_interval_for_each_size() -> None:
    points = [
        (10.0, Interval(0.5, 0.1, 0.05, 0.3, 0.7)),
        (100.0, UNDEFINED),
        (1000.0, Interval(0.9, 0, 0, 0.8, 1)),
    ]
    (ax,) = size_curves({"accuracy": points}).axes
    assert ax.get_xscale() == "log" and [t.get_text() for t in ax.get_xticklabels()] == ["10", "100", "1,000"]
    assert list(ax.lines[0].get_xdata()) == [10, 100, 1000]
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == 1
