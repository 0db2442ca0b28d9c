"""The predictions of folds, which are read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlcli.inference import predictions_file
from dlcli.inference.predictions_file import KeptPredictions, read_predictions, write_predictions
from dlcli.splits.split import HELD_OUT, Split
from dlcli.tracking.ledger import Ledger


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    Ledger(tmp_path, run_id="r1", run_name="toy", experiment="exp", kind="fold", token="t").update()
    split = Split(np.arange(2), np.arange(2, 3), np.arange(3, 6))
    (tmp_path / "split.npz").write_bytes(split.to_bytes())
    columns = {
        "row": [3, 4, 5],
        "split": HELD_OUT,
        "target": ["a", None, "é"],
        "p(a)": np.array([0.5, np.nan, 1], np.float32),
        "is_right": [True, False, True],
        "value": pd.array([1, None, 3], "Int64"),
    }
    write_predictions(tmp_path, pd.DataFrame(columns))
    return tmp_path


def test_predictions_are_read_as_pandas_reads_them(run_dir: Path) -> None:
    wanted = pd.read_parquet(run_dir / "predictions.parquet")
    pd.testing.assert_frame_equal(read_predictions(run_dir), wanted, check_exact=True)


@pytest.mark.parametrize(("most", "reads"), [(100, 1), (10, 2)])
def test_small_predictions_are_read_once_and_no_reader_changes_another(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, most: int, reads: int
) -> None:
    made: list[Path] = []
    once = predictions_file.read_predictions
    monkeypatch.setattr(
        predictions_file, "read_predictions", lambda folder: made.append(folder) or once(folder)
    )
    monkeypatch.setattr(predictions_file, "_KEPT_CELLS", most)
    kept = KeptPredictions()
    kept.read(run_dir).insert(0, "fold", 1)
    pd.testing.assert_frame_equal(kept.read(run_dir), once(run_dir))
    assert made == [run_dir] * reads
