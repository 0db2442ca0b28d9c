"""The table of measurements that is written into a page, on invented measurements, and the clock of processes."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

import pytest

from bench._docs_table import BEGIN, END, HEADER, Line, replaced
from bench._environments import Environment, NotInstalled
from bench._whole import ProcessFailed, own_figures, whole
from bench.peers import PAGE

PAGE_TEXT = f"# Speed\n\n{BEGIN}\n{END}\n\nMore.\n"
ORDER = [("folds", "loop"), ("folds", "skorch"), ("sweep", "Ray Tune")]
PAIRS = [
    ({"cpu": 3.0, "wall": 2.0}, {"cpu": 2.0, "wall": 2.0}),
    ({"cpu": 4.0, "wall": 2.0}, {"cpu": 2.0, "wall": 4.0}),
    ({"cpu": 12.0, "wall": 6.0}, {"cpu": 3.0, "wall": 4.0}),
]


def test_a_line_has_medians_ratios_of_pairs_and_conditions() -> None:
    assert str(Line("folds", "skorch", "skorch 1.2.0", PAIRS, 3.14159)) == (
        "| folds | skorch (skorch 1.2.0) | 4 | 2 | 2.00 (1.50 to 4.00) | 2 | 4 | 1.00 (0.50 to 1.50) | 3, 3.1 |"
    )
    assert str(Line("folds", "loop", "", PAIRS[:1], 0)) == (
        "| folds | loop | 3 | 2 | 1.50 | 2 | 2 | 1.00 | 1, 0.0 |"
    )


def test_new_lines_replace_their_own_and_others_remain_in_order() -> None:
    first = [Line("sweep", "Ray Tune", "ray 1", PAIRS, 1), Line("folds", "skorch", "skorch 1", PAIRS, 1)]
    page = replaced(PAGE_TEXT, ORDER, first)
    again = replaced(
        page, ORDER, [Line("folds", "loop", "", PAIRS[:1], 1), Line("folds", "skorch", "skorch 2", PAIRS, 2)]
    )
    assert page.startswith("# Speed\n\n") and again.endswith(f"\n{END}\n\nMore.\n")
    table = again.partition(HEADER)[2].partition(END)[0].strip().splitlines()
    assert [line.split("|")[1:3] for line in table] == [
        [" folds ", " loop "],
        [" folds ", " skorch (skorch 2) "],
        [" sweep ", " Ray Tune (ray 1) "],
    ]
    assert replaced(again, ORDER, []) == again
    assert "skorch" not in replaced(again, ORDER[::2], [])


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}\n{BEGIN}", PAGE_TEXT * 2])
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="once, in this order"):
        replaced(page, ORDER, [])


def test_the_page_has_the_markers() -> None:
    assert BEGIN in replaced(PAGE.read_text(), ORDER, [])


def test_a_process_is_timed_with_its_children_also_those_that_outlive_it(tmp_path: Path) -> None:
    work = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    code = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {work!r}])"
    figures = whole([sys.executable, "-c", code], tmp_path, {})
    assert figures["wall"] > 0
    if sys.platform == "linux":
        assert figures["cpu"] >= 0.2


def test_a_failed_process_is_reported_with_its_last_output(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="no such file"):
        whole([sys.executable, "-c", "import sys; sys.exit('no such file')"], tmp_path, {})


def test_a_process_may_state_its_own_figures(tmp_path: Path) -> None:
    code = "print('5 images'); print('{\"cpu\": 1.5, \"wall\": 2.5}')"
    assert whole([sys.executable, "-c", code], tmp_path, {}) == {"cpu": 1.5, "wall": 2.5}
    assert own_figures("accuracy 0.9") == own_figures("") == own_figures("0.9") == {}


def test_a_peer_that_cannot_be_installed_is_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = venv.create
    monkeypatch.setattr(venv, "create", lambda folder, **_: create(folder, with_pip=False))  # takes seconds
    with pytest.raises(NotInstalled, match="No module named pip"):
        Environment("none", ("no-such-package-here",), ()).python(tmp_path)
