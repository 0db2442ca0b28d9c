import copy
import math
import pickle
from pathlib import Path

import pandas as pd
import pytest

from dlcli.api.metric_table import MetricTable, metric_table
from dlcli.api.run_result import EvaluationResult, RunResult
from dlcli.result import Result

RESULT = Result(
    "FINISHED", "a", "one", "e", Path("nowhere"), "", {"val/loss": 0.5, "test/accuracy": 0.75}, 1.0,
    {"test/accuracy": 0.5},
)  # fmt: skip


@pytest.fixture
def table() -> MetricTable:
    return metric_table(RESULT, {"test/accuracy": (0.6, 0.9)})


def test_a_row_for_each_metric_with_baseline_and_interval(table: MetricTable) -> None:
    expected = pd.DataFrame(
        {"value": [0.5, 0.75], "baseline": [math.nan, 0.5], "low": [math.nan, 0.6], "high": [math.nan, 0.9]},
        index=pd.Index(["val/loss", "test/accuracy"], name="metric"),
    )
    pd.testing.assert_frame_equal(pd.DataFrame(table), expected)
    assert list(metric_table(Result("FINISHED", "", "", "", Path(), "", {"a": 1.0}, 0.0), {})) == ["value"]


def test_values_are_found_by_the_name_of_the_metric(table: MetricTable) -> None:
    assert table["test/accuracy"] == 0.75 and type(table["test/accuracy"]) is float
    assert "test/accuracy" in table and "baseline" in table and "test/f1" not in table
    assert (table.get("val/loss"), table.get("test/f1"), table.get("test/f1", 2)) == (0.5, None, 2)
    assert table["baseline"]["test/accuracy"] == 0.5
    with pytest.raises(KeyError, match="there is no metric test/acuracy; similar names: test/accuracy"):
        table["test/acuracy"]


@pytest.mark.parametrize(
    "kept", [pickle.loads(pickle.dumps(metric_table(RESULT, {}))), copy.deepcopy(metric_table(RESULT, {}))]
)
def test_copies_and_parts_of_it_are_such_tables(kept: MetricTable, table: MetricTable) -> None:
    assert kept["val/loss"] == 0.5
    tested = table.filter(like="test/", axis=0)
    assert tested["test/accuracy"] == 0.75 and "val/loss" not in tested
    assert table.sort_values("value").index[-1] == "test/accuracy"
    assert table.reset_index()["metric"].tolist() == ["val/loss", "test/accuracy"]
    assert table.T["val/loss"]["value"] == 0.5
    assert len(pd.concat([table, table])["val/loss"]) == 2
    with pytest.raises(KeyError, match="lacks the column `value`"):
        table[["baseline"]]["val/loss"]
    assert "one" not in pd.concat({"one": table, "two": table})


def test_without_the_folder_of_the_run_there_are_values_but_no_intervals() -> None:
    result = RunResult.from_result(RESULT)
    with pytest.warns(UserWarning, match="there are no intervals of the metrics of one"):
        found = result.metrics
    assert list(found) == ["value", "baseline"] and found["test/accuracy"] == 0.75
    assert pickle.loads(pickle.dumps(result)) == result and result.metrics is found
    assert "test/accuracy" in result._repr_html_()


def test_an_evaluation_shows_its_table() -> None:
    evaluated = EvaluationResult.from_result(RESULT)
    assert list(evaluated.metrics) == ["value", "baseline"]
    assert "test/accuracy" in evaluated._repr_html_()
