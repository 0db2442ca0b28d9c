"""Fitted statistics compared with scikit-learn's transformers."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from dlcli.preprocessing.columns.numbers import Numbers
from dlcli.preprocessing.columns.outliers import Clip


@pytest.mark.parametrize(
    "options",
    [
        {"scaling": scaling, "fill": fill, "clip": clip, "indicator": clip is None}
        for scaling, fill, clip in product(
            ("standard", "min_max", "robust", "center", "none"),
            ("mean", "median", "most_frequent", "constant", "keep"),
            (None, Clip()),
        )
    ],
    ids=str,
)
def test_numbers_are_transformed_bit_for_bit_as_by_the_pipelines(options: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((200, 5)) * 10.0 ** np.arange(-2, 3)
    x[random.random(x.shape) < 0.1] = np.nan
    x[:, 3] = 7.0  # has no deviation
    x[1 if options["fill"] == "keep" else 0 :, 4] = np.nan
    fitted = Numbers(**options).fit(list(x.T))
    new = np.vstack([x[:20], -100 * x[:20], np.full((1, 5), np.nan), np.zeros((1, 5)), np.full((1, 5), -0.0)])
    pipelines = np.concatenate(
        [
            pipeline.transform(new[:, first : first + fitted.block_])
            for first, pipeline in zip(range(0, 5, fitted.block_), fitted.pipelines_, strict=True)
        ],
        axis=1,
    ).astype(np.float32)
    found = fitted.transform(new.copy())
    np.testing.assert_array_equal(found[:, :5].view(np.int32), pipelines.view(np.int32))
    np.testing.assert_array_equal(found[:, 5:], np.isnan(new[:, fitted.gaps_]))
