"""Changes that must not affect the metrics of a trained run, for the tests of each kind of data."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pandas as pd
import pytest

import dlcli
from dlcli.result import Result


def figures(result: Result) -> dict[str, float]:
    return {name: value for name, value in result.values.items() if name.startswith("test/")}


def check_same_figures(trained: Result, place: Path, *, by_batch: frozenset[str] = frozenset()) -> None:
    """Evaluate a run again, in batches of other sizes and from a copy of its folder.

    Args:
        trained: a run.
        place: an empty folder for the copy.
        by_batch: figures that are means over batches, whose size is therefore fixed.
    """
    check_example_for_mlflow(trained.run_dir / "model")
    again = figures(dlcli.evaluate(trained.run_dir))
    assert again == pytest.approx(figures(trained), rel=1e-6, nan_ok=True)
    for rows in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dlcli.training.network.Network.evaluation_rows", lambda *_, n=rows: n)
            patch.setattr("dlcli.training.scores.VALUES", 1)  # evaluates each batch by itself
            found = figures(dlcli.evaluate(trained.run_dir))
            assert found.keys() == again.keys()
            same = {name: value for name, value in found.items() if name not in by_batch}
            expected = {name: value for name, value in again.items() if name not in by_batch}
            assert same == pytest.approx(expected, rel=1e-4, abs=1e-6, nan_ok=True), rows
    copy = place / "copy" / "artifacts"
    shutil.copytree(trained.run_dir, copy)
    assert figures(dlcli.evaluate(copy)) == pytest.approx(again, rel=1e-9, nan_ok=True)


def check_example_for_mlflow(folder: Path) -> None:
    """MLflow predicts the example of a saved model, as `mlflow models predict` and `serve` read it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own functions
        import mlflow
        from mlflow.pyfunc.scoring_server import infer_and_parse_data

        loaded = mlflow.pyfunc.load_model(str(folder))
        signature = loaded.metadata.signature
        found = loaded.predict(loaded.metadata.load_input_example(str(folder)))
        served = json.loads((folder / "serving_input_example.json").read_text())
        pd.testing.assert_frame_equal(loaded.predict(infer_and_parse_data(served, signature.inputs)), found)
    assert signature.outputs.input_names() == list(found.columns)
