import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dlcli.errors import CorruptRun, InputError
from dlcli.tracking.history import HISTORY_FILE, HistoryWriter, read_history


def figures(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [(line.step, line.metrics) for line in read_history(folder)]


def test_a_metric_is_recorded_once_a_step(tmp_path: Path) -> None:
    history = HistoryWriter(tmp_path)
    assert history.append(0, {"a": 1.0})
    assert not history.append(0, {"a": 2.0})
    assert history.append(0, {"a": 3.0, "b": 4.0})
    history.close()
    history = HistoryWriter(tmp_path)
    assert not history.append(0, {"a": 5.0, "b": 5.0})
    history.append(1, {"a": 6.0})
    history.close()
    assert figures(tmp_path) == [(0, {"a": 1.0}), (0, {"b": 4.0}), (1, {"a": 6.0})]


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_left_out_and_written_again(tmp_path: Path, cut: int) -> None:
    history = HistoryWriter(tmp_path)
    history.append(0, {"a": 1.0})
    history.append(1, {"a": 2.0})
    history.close()
    file = tmp_path / HISTORY_FILE
    file.write_bytes(file.read_bytes()[:-cut])
    assert figures(tmp_path) == [(0, {"a": 1.0})]
    history = HistoryWriter(tmp_path)
    assert history.append(1, {"a": 3.0})
    history.close()
    assert figures(tmp_path) == [(0, {"a": 1.0}), (1, {"a": 3.0})]


def test_nan_and_infinities_survive_as_strict_json(tmp_path: Path) -> None:
    history = HistoryWriter(tmp_path)
    history.append(0, {"a": math.nan, "b": math.inf, "c": -math.inf})
    history.close()
    assert json.loads((tmp_path / HISTORY_FILE).read_text())["metrics"] == {
        "a": "NaN",
        "b": "Infinity",
        "c": "-Infinity",
    }
    ((_, metrics),) = figures(tmp_path)
    assert math.isnan(metrics["a"])
    assert (metrics["b"], metrics["c"]) == (math.inf, -math.inf)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    history = HistoryWriter(tmp_path)
    with pytest.raises(InputError, match="another process is recording"):
        HistoryWriter(tmp_path)
    history.close()
    HistoryWriter(tmp_path).close()


def test_reading_continues_from_an_offset(tmp_path: Path) -> None:
    history = HistoryWriter(tmp_path)
    for step in range(3):
        history.append(step, {"a": step})
    history.close()
    first = next(read_history(tmp_path))
    assert [line.step for line in read_history(tmp_path, first.end)] == [1, 2]


def test_a_damaged_line_in_the_middle_hides_no_other(tmp_path: Path) -> None:
    good = '{"step": 0, "time_ms": 1, "metrics": {"a": 1}}\n'
    (tmp_path / HISTORY_FILE).write_text(good + "\0\0\0\n[1]\n" + good.replace('"step": 0', '"step": 1'))
    assert [line.step for line in read_history(tmp_path)] == [0, 1]


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    history = HistoryWriter(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda step: history.append(step, {"a": step}), range(200)))
    history.close()
    assert sorted(step for step, _ in figures(tmp_path)) == list(range(200))


@pytest.mark.parametrize("value", ["1e400", "-1e400", '"x"', "null", "[]", "9" * 5000])
def test_lines_whose_step_or_time_is_no_number_are_skipped(tmp_path: Path, value: str) -> None:
    lines = [f'{{"step": {value}, "time_ms": 1, "metrics": {{"a": 1}}}}',
             f'{{"step": 1, "time_ms": {value}, "metrics": {{"a": 1}}}}',
             '{"step": 2, "time_ms": 1, "metrics": {"a": 1}}']  # fmt: skip
    (tmp_path / HISTORY_FILE).write_text("\n".join(lines) + "\n")
    assert figures(tmp_path) == [(2, {"a": 1.0})]


def test_more_metrics_than_any_run_has_are_refused(tmp_path: Path) -> None:
    lines = (f'{{"step": 0, "time_ms": 1, "metrics": {{"m{number}": 1}}}}\n' for number in range(20_001))
    (tmp_path / HISTORY_FILE).write_text("".join(lines))
    with pytest.raises(CorruptRun, match="more than 20,000 metrics"):
        HistoryWriter(tmp_path)
    with pytest.raises(CorruptRun, match="more than 20,000 metrics"):
        figures(tmp_path)
