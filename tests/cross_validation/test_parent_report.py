"""Pictures of the held-out rows of all folds, whose models predict in units of their own training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dlcli
from dlcli.tasks.forecast import Forecast
from dlcli.tasks.regression import Regression


@pytest.mark.parametrize(
    ("words", "kind", "prediction"),
    [
        (
            ["dataset=series", "dataset.horizon=2", "dataset.lookback=4", "dataset.target=v"],
            Forecast,
            "prediction",
        ),
        (["dataset=table", "dataset.target=v", "dataset.time=t"], Regression, "prediction"),
    ],
    ids=["series", "table"],
)
def test_they_show_the_predictions_of_each_fold_in_the_unit_of_the_data(
    words: list[str], kind: Any, prediction: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = np.arange(60)
    times = pd.date_range("2024-01-01", periods=60, freq="D")
    table = pd.DataFrame({"t": times, "v": 1.5 ** (steps / 4), "w": steps % 7})
    table.to_csv(tmp_path / "t.csv", index=False)
    shown: list[np.ndarray] = []

    def pictures(self: Any, outputs: Any, y: Any) -> Any:
        shown.append(self.predictions(outputs)[prediction].to_numpy())
        return iter(())

    monkeypatch.setattr(kind, "pictures", pictures)
    words = [
        *words,
        f"dataset.path='{tmp_path}/t.csv'",
        "model=linear" if kind is Regression else "model=dlinear",
    ]
    more = ["cv=time_series", "cv.folds=3", "trainer.max_epochs=2", "trainer.accelerator=cpu"]
    found = dlcli.train([*words, *more, f"runs_dir='{tmp_path}/runs'"])
    recorded = pd.read_parquet(found.run_dir / "predictions.parquet")
    np.testing.assert_allclose(shown[-1], recorded[prediction], rtol=1e-4, atol=1e-3)
