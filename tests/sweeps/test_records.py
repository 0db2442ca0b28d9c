"""Metrics of a trial over its folds, some of which do not define them."""

from __future__ import annotations

import math

from dlcli.sweeps.records import means, means_of_defined, undefined_in_folds

FOLDS = [{"val/loss": 1.0, "val/auroc": math.nan}, {"val/loss": 3.0, "val/auroc": 0.5}]


def test_a_metric_is_the_mean_over_the_folds_that_define_it() -> None:
    assert means_of_defined(FOLDS) == {"val/loss": 2.0, "val/auroc": 0.5}
    assert math.isnan(means_of_defined(FOLDS[:1])["val/auroc"])
    assert undefined_in_folds(FOLDS) == [
        "The metrics of the best trial are means over the folds that define them: val/auroc in 1 of 2."
    ]
    assert undefined_in_folds(FOLDS[:1]) == undefined_in_folds([]) == undefined_in_folds(FOLDS[1:] * 2) == []


def test_an_objective_has_to_be_defined_in_all_folds() -> None:
    assert math.isnan(means(FOLDS)["val/auroc"])
