"""Text from data, files and user code cannot control the terminal."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.sanitize.escapes import shortened, visible, visible_json, visible_name
from dlcli.sanitize.presentable import presentable, presentable_name, python_presentable
from tests.terminal.test_console import on_a_terminal

# OSC 52 writes to the clipboard; the others clear, overwrite, reverse, hide or end a line.
HOSTILE = "a\x1b]52;c;cm0gLXJm\x07b\x1b[2J\rc\x9b31md\x7fe\u202ef\u2066g\u200bh\x85i\u2028j\udcffk\x00l\tm[red]n:smile:"

RICHS_OWN = re.compile(r"\x1b\[[0-9;?]*[mKAhlGJ]")


def is_plain(written: str) -> bool:
    """Return whether text contains no control sequences except rich's own styles and cursor movements."""
    rest = RICHS_OWN.sub("", written).replace("\r\n", "\n").replace("\r", "").replace("\t", "")
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in rest.replace("\n", ""))


@given(st.text(st.characters()))
def test_nothing_controls_whatever_the_text(text: str) -> None:
    for made in (visible(text), visible_name(text)):
        assert not re.search(
            r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff]", made
        )
        made.encode()
    assert visible(visible(text)) == visible(text)
    assert not set("\t\n") & set(visible_name(text))


@pytest.mark.parametrize("text", ["été", "日本", "a b", "50 %", "C:\\new", "🙂", "$x$", "line\nline"])
def test_ordinary_text_stays(text: str) -> None:
    assert visible(text) == text


def test_control_characters_are_named() -> None:
    assert visible_name("a\x1b[31m\r\n\t\x9b\u202e\udcff") == r"a\x1b[31m\r\n\t\x9b\u202e\udcff"


def test_the_truncation_of_a_long_text_is_reported() -> None:
    short = shortened("a" * 50_000 + "z" * 50_000, 400)
    assert len(short) <= 400
    assert short.startswith("aaa")
    assert short.endswith("zzz")
    left_out = int(re.search(r" ... \(([\d,]+) characters omitted\) ... ", short)[1].replace(",", ""))
    assert left_out + short.count("a", 0, 290) + short.count("z") in range(99_990, 100_010)


def test_lines_and_names_are_cut_unless_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(presentable("x" * 10**6)) <= 4000
    assert len(presentable_name("x" * 10**6)) <= 400
    monkeypatch.setenv("DLCLI_DEBUG", "1")
    assert len(presentable("x" * 10**6)) == 10**6


SHOW_ALL = """
from dlcli.terminal.console import Terminal, plain
from dlcli.events import TrainingStarted
from dlcli.terminal.bars import ComputingBar
from dlcli.errors import DlcliError, Problem
from dlcli.terminal.fold_table import FoldTable
from dlcli.terminal.sweep_table import SweepTable
from dlcli.terminal.bars import TrainingBar
bad = HOSTILE
with Terminal(DATA) as terminal:
    terminal.panel(bad, {bad: bad, "short": bad, "path": "/" + "x" * 100 + bad})
    terminal.table({bad: {bad: bad, "row": "1"}, "other": {"row": bad}}, title=bad)
    terminal.results({"val/" + bad: 1.0}, bad, headings={"val": bad})
    terminal.note(bad)
    terminal.sentence(bad)
    terminal.warning(bad)
    terminal.error(DlcliError([Problem(bad, bad, bad), Problem(bad)]))
    terminal.console.print(bad)
    with FoldTable(terminal, [bad, "fold 1"], 2) as table:
        table.prepared(0, 10, bad)
        table.epoch(0, 9, {bad: 0.98765})
        table.finished(0, {"test/" + bad: 1.0}, 12.3)
    with SweepTable(terminal, 2, bad) as table:
        table.began(0, {bad: bad}, None)
        table.ended(0, {bad: bad}, "failed", None, bad, (0, 0.9, {bad: bad}))
        table.began(1, {bad: bad}, (1, 5))
    with TrainingBar(terminal, TrainingStarted({}, 3, 10, bad, "max")) as bar:
        bar.epoch(0, {"train/loss": 1.0, bad: 1.0})
    with ComputingBar(terminal, bad, 10, bad) as bar:
        bar.advance_to(3)
    import logging, threading, warnings
    warnings.warn(bad)
    logging.getLogger("someone").warning("said %s", bad)
    try:
        raise ValueError(bad)
    except ValueError:
        logging.getLogger("someone").exception("failed")
"""


@pytest.mark.parametrize("columns", [60, 120])
def test_a_terminal_gets_no_controls_but_richs(columns: int) -> None:
    written = on_a_terminal(SHOW_ALL.replace("HOSTILE", ascii(HOSTILE)).replace("DATA", ""), columns)
    assert is_plain(written)
    seen = re.sub(r"\s", "", RICHS_OWN.sub("", written))
    for mark in (r"\x1b]52", r"\x9b31m", r"\u202e", r"\udcff", r"\r", "[red]", ":smile:"):
        assert seen.count(mark) > 10, mark


@pytest.mark.parametrize("data", ["", "json=True"])
def test_a_pipe_gets_none_at_all(data: str) -> None:
    code = SHOW_ALL.replace("HOSTILE", ascii(HOSTILE)).replace("DATA", data)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    for stream in (done.stdout, done.stderr):
        assert "\x1b" not in stream.decode()
        assert is_plain(stream.decode())


def test_warnings_and_logs_are_as_before_afterwards() -> None:
    before = warnings.formatwarning, logging.getLogRecordFactory()
    with python_presentable():
        assert warnings.formatwarning is not before[0]
        record = logging.getLogRecordFactory()("n", logging.INFO, "f", 1, "%s and %d", ("a\x1b", 3), None)
        assert record.getMessage() == r"a\x1b and 3"
    assert (warnings.formatwarning, logging.getLogRecordFactory()) == before


@pytest.mark.parametrize("words", [["train", "--nope\x1b[2J"], ["tra\x1b]52;x\x07in"], ["\x1b[31m"]])
def test_words_that_no_command_takes(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "dlcli", *words], capture_output=True, check=False)
    assert done.returncode == 2
    assert "\x1b" not in done.stderr.decode()
    assert r"\x1b" in done.stderr.decode()


def test_a_traceback_is_presentable_too() -> None:
    code = "import dlcli.sanitize.presentable as p\np.present_process()\nraise ValueError('\\x1b[2J api_key=hunter2')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert r"ValueError: \x1b[2J api_key=***" in done.stderr


def test_pictures_of_hostile_names(tmp_path: Path) -> None:
    from dlcli.reports.classification import confusion_matrix, roc
    from dlcli.reports.style import save

    classes = [HOSTILE, r"$\frac{$", "$x$", "_hidden", "a\nb"]
    y = np.arange(20) % 5
    for figure in (
        confusion_matrix(y, y, classes),
        roc(y, np.random.default_rng(0).dirichlet(np.ones(5), 20), classes),
    ):
        assert save(figure, tmp_path / "p.png").stat().st_size > 1000


def test_hostile_names_in_a_table(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    bad = re.sub("[\udcff\r\x00]", "", HOSTILE)  # names in a table cannot contain these
    column, kinds = f"size{bad}", [bad, "owl$x$"]
    table = pd.DataFrame({column: random.normal(size=60), "weight": random.normal(size=60)})
    table["kind"] = [kinds[row % 2] for row in range(60)]
    table.to_csv(tmp_path / "birds.csv", index=False)
    folder = ["--runs-dir", str(tmp_path / "runs")]
    words = ["dataset=table", f"dataset.path={tmp_path}/birds.csv", "dataset.target=kind", "model=linear"]
    words += ["trainer.max_epochs=1", "trainer.accelerator=cpu", "run_name='a\x1b[2Jb\u202e'"]
    for command in (
        ["check", *words],
        ["train", *words, f"dataset.positive='{kinds[1]}'"],
        ["train", *words, "--json"],
        ["train", *words, "dataset.target='none\x1b[2J'"],
        ["eval", "last"],
        ["compare", "last", "last"],
    ):
        done = CliRunner().invoke(app, [*command, *folder])
        assert done.exit_code in (
            (2,) if "none" in command[-1] else (0, 2) if command[0] == "compare" else (0,)
        ), done.output
        assert "Traceback" not in done.output
        assert is_plain(done.output), command
    # The search is planned again from the overrides, so these are kept unchanged.
    texts = [f.read_text() for f in (tmp_path / "runs").rglob("*.txt") if f.name != "overrides.txt"]
    assert all("\x1b" not in text for text in texts)
    assert len(list((tmp_path / "runs").rglob("*.png"))) > 4


def test_json_keeps_its_value_and_shows_no_control_characters() -> None:
    value = [
        "é",
        "\x1b[31m",
        "\x7f\x85\x9b",
        "\u202e\u200b\ufeff\U000e0041",
        "\U0001d11e",
        "a\tb\n",
        "\ud800",
        "\\u202e",
    ]
    text = visible_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == value
    assert visible(text) == text
    assert "é" in text and "\U0001d11e" in text
