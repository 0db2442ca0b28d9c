"""Output on a terminal, in a log, and with --json."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest

from dlcli.errors import ConfigError, Problem
from dlcli.events import TrainingStarted
from dlcli.formatting import number
from dlcli.process.quiet import quiet
from dlcli.terminal.bars import TrainingBar
from dlcli.terminal.console import Terminal, json_document
from dlcli.terminal.fold_table import FoldTable
from dlcli.terminal.sweep_table import SweepTable
from dlcli.terminal.table_layout import fitting

SHOW = """
from dlcli.events import TrainingStarted
from dlcli.terminal.console import Terminal
from dlcli.terminal.bars import TrainingBar
from dlcli.errors import ConfigError, Problem
with Terminal() as terminal:
    terminal.panel("dlcli train", {"data": "digits: 1,797 images, 10 classes", "record": "0123456789" * 5})
    with TrainingBar(terminal, TrainingStarted({}, 3, 10, "val/accuracy", "max")) as bar:
        for epoch in range(3):
            bar.advance(10)
            bar.epoch(epoch, {"train/loss": 1.5 - epoch / 2, "val/accuracy": 0.9 + epoch / 100})
            if epoch == 1:
                terminal.warning("printed above the bar")
                INTERRUPT
    terminal.results({"val/accuracy": 0.92, "test/accuracy": 0.91, "test/balanced_accuracy": 0.9})
    terminal.sentence("Prose is broken between its words, at any width that a person may have chosen for it")
    problem = Problem("must be greater than 0, but it is -1", "optimizer.lr", "try 1e-3 there")
    terminal.error(ConfigError(problem))
"""


def on_a_terminal(code: str, columns: int, **environment: str) -> str:
    """What a program writes to a pseudo-terminal."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **environment}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says EIO once the other end is closed
            break
        if not chunk:
            break
        written += chunk
    child.wait()
    os.close(ours)
    return written.decode()


def visible(text: str) -> list[str]:
    return [part for part in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)) if part]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = visible(on_a_terminal(SHOW.replace("INTERRUPT", ""), columns))
    assert max(map(len, lines)) <= columns
    bars = [line for line in lines if line.startswith("epoch 3/3")]
    assert "in all" in bars[-1]
    assert any("val/accuracy 0.9200 (best 0.9200)" in line for line in lines)
    assert "Prose is broken between its words, at any width that" in " ".join(lines)


LIVE = """
from dlcli.terminal.console import Terminal
from dlcli.terminal.fold_table import FoldTable
from dlcli.terminal.sweep_table import SweepTable
with Terminal() as terminal:
    with FoldTable(terminal, ["fold 0 seed 1", "fold 1 seed 1"], 2) as table:
        for fold in (0, 1):
            table.prepared(fold, 10, "val/balanced_accuracy")
            table.epoch(fold, 9, {"val/balanced_accuracy": 0.98765})
            table.finished(fold, {"test/loss": 1.2345e-5, "test/f1": 0.5, "test/balanced_accuracy": 0.91}, 12.3)
    with SweepTable(terminal, 2, "val/balanced_accuracy") as table:
        params = {f"model.a_long_name_{number}": number / 7 for number in range(6)}
        table.began(0, params, None)
        table.ended(0, params, "finished", 0.98765, None, (0, 0.98765, params))
        table.began(1, params, (1, 5))
        table.computed(1, 30, 120)
"""


@pytest.mark.parametrize("columns", [60, 100])
def test_live_tables_keep_their_figures_on_a_narrow_terminal(columns: int) -> None:
    lines = [line.rstrip() for line in visible(on_a_terminal(LIVE, columns))]
    assert max(map(len, lines)) <= columns
    fold = next(line for line in reversed(lines) if line.startswith(" fold 1"))
    assert fold.split()[-2:] == ["12.3", "s"]
    assert "0.9877" in fold
    assert "1.234e-05" in fold or columns == 60
    assert "…" not in fold
    best = " ".join(lines[max(i for i, line in enumerate(lines) if line.startswith("best")) :])
    assert "val/balanced_accuracy 0.9877" in best
    assert "model.a_long_name_5=0.7143" in best.partition("now")[0]
    assert "now   trial 1  fold 2/5  features 25%" in best


def test_a_table_that_is_too_wide_loses_nothing() -> None:
    cells = {"optimizer.lr": "0.001", "optimizer": "torch.optim.adam.Adam"}
    runs = {f"a-run-with-a-long-name-{number}": cells for number in range(3)}
    assert list(fitting(runs, 110)) == [runs]
    # Its headings are broken first, ...
    (table,) = fitting(runs, 90)
    assert {heading.replace("\n", "") for heading in table} == set(runs)
    assert max(len(line) for heading in table for line in heading.splitlines()) <= len(cells["optimizer"])
    # ... and then columns stand below each other.
    tables = list(fitting(runs, 60))
    assert [len(table) for table in tables] == [1, 1, 1]
    assert {name: of for table in tables for name, of in table.items()} == table


@pytest.mark.parametrize("interrupt", ["", "raise KeyboardInterrupt"])
def test_the_cursor_is_back_after_the_bar(interrupt: str) -> None:
    written = on_a_terminal(SHOW.replace("INTERRUPT", interrupt), 80)
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_no_color_is_kept() -> None:
    coloured, plain = (on_a_terminal(SHOW.replace("INTERRUPT", ""), 80, **e) for e in ({}, {"NO_COLOR": "1"}))
    colour = re.compile(r"\x1b\[[0-9;]*3[0-7]")
    assert colour.search(coloured)
    assert not colour.search(plain)


def test_a_log_gets_plain_lines_and_always_the_last_epoch(capfd: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal.panel("dlcli train", {"data": "digits [bold]", "record": "x" * 120})
        with TrainingBar(terminal, TrainingStarted({}, 20, 1, "val/loss", "min")) as bar:
            for epoch in range(12):
                bar.advance()
                bar.epoch(epoch, {"train/loss": 1.0, "val/loss": abs(epoch - 7) + 1})
        terminal.results({"val/accuracy": 0.5, "test/accuracy": 0.25, "train/loss": 1.0})
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[:3] == ["dlcli train", "  data:   digits [bold]", "  record: " + "x" * 120]
    assert lines[3].startswith("epoch 12/20  train/loss 1.000  val/loss 5.000 (best 1.000)  ")
    assert [line.split() for line in lines[4:]] == [["val", "test"], ["accuracy", "0.5000", "0.2500"]]
    assert "\x1b" not in out + err


@pytest.mark.parametrize(("monitor", "main"), [("val/loss", "accuracy"), ("val/f1", "f1")])
def test_a_fold_s_line_in_a_log_has_the_loss_and_the_main_figure(
    monitor: str, main: str, capfd: pytest.CaptureFixture[str]
) -> None:
    figures = {f"test/{name}": 0.5 for name in ("loss", "accuracy", "balanced_accuracy", "f1")}
    with Terminal() as terminal, FoldTable(terminal, ["fold 0", "fold 1"], 1) as table:
        table.prepared(0, 3, monitor)
        table.finished(0, {"val/loss": 0.4, **figures}, 1.5)
    assert capfd.readouterr().out == f"fold 0 (1/2)  held-out loss 0.5000  held-out {main} 0.5000  1.5 s\n"


def test_a_sweep_s_lines_in_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    best = (0, 0.25, {"optimizer.lr": 0.0123456})
    with Terminal() as terminal, SweepTable(terminal, 3, "val/loss", "search of fold 1 (2 of 5)") as table:
        for trial in (0, 1):
            table.began(trial, best[2], None)
            for done in (0, 60, 120):
                table.computed(trial, done, 120)
        table.epoch(0, 0, 0.25)
        table.ended(0, best[2], "finished", 0.25, None, best)
        table.ended(1, {"optimizer.lr": 9.0}, "failed", None, "out of memory", best)
    assert capfd.readouterr().out.splitlines() == [
        "search of fold 1 (2 of 5), trial 0: computing the features of 120 rows, once",
        "search of fold 1 (2 of 5), trial 0 (1/3)  val/loss 0.2500  best so far  optimizer.lr=0.01235",
        "search of fold 1 (2 of 5), trial 1 (2/3)  failed: out of memory  optimizer.lr=9",
    ]


def test_long_training_logs_every_few_seconds(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("dlcli.terminal.bars.time", types.SimpleNamespace(monotonic=lambda: now))
    with TrainingBar(Terminal(), TrainingStarted({}, 68, 10, "val/loss", "min", first_epoch=50)) as bar:
        for epoch in range(50, 68):
            now += 2
            bar.advance(10)
            bar.epoch(epoch, {"train/loss": 1.0})
    lines = capfd.readouterr().out.splitlines()
    assert [re.findall(r"\d+", line)[0] for line in lines] == ["53", "56", "59", "62", "65", "68"]
    # 15 epochs of 2 s are left, by the speed of this process alone, not by what an earlier one had done.
    assert lines[0].endswith("  0:30 left")
    assert lines[-1].endswith("  0:36 in all")


def test_the_best_value_follows_the_mode_and_ignores_nan(capfd: pytest.CaptureFixture[str]) -> None:
    with TrainingBar(Terminal(), TrainingStarted({}, None, 1, "val/f1", "max")) as bar:
        for epoch, value in enumerate([math.nan, 0.5, 0.7, math.nan, 0.6]):
            bar.epoch(epoch, {"val/f1": value})
    assert capfd.readouterr().out.startswith("epoch 5  val/f1 0.6000 (best 0.7000)  ")


def test_json_leaves_stdout_to_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(json=True) as terminal:
        terminal.note("for a person")
        terminal.results({"val/loss": 1.0})
        print("a user's own model prints")
        terminal.document({"status": "FINISHED", "metrics": {"val/loss": math.nan}, "run_dir": Path("runs")})
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema_version": 1,
        "status": "FINISHED",
        "metrics": {"val/loss": None},
        "run_dir": "runs",
    }
    assert "for a person" in err
    assert "own model prints" in err


def test_errors_say_where_what_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    error = ConfigError([Problem("is -1", "optimizer.lr", "try 1e-3"), Problem("two\nlines")])
    Terminal(json=True).error(error)
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        "error: optimizer.lr",
        "  is -1",
        "  hint: try 1e-3",
        "error: two",
        "  lines",
    ]
    assert json.loads(out) == {
        "schema_version": 1,
        "status": "ERROR",
        "errors": [
            {"where": "optimizer.lr", "message": "is -1", "hint": "try 1e-3"},
            {"where": "", "message": "two\nlines", "hint": ""},
        ],
    }


def test_documents_are_plain_json() -> None:
    document = {"a": np.float32("inf"), "b": [np.int64(3), (True, None)], "c": {"d": np.array([1.0, np.nan])}}
    assert json.loads(json_document(document)) == {
        "schema_version": 1,
        "a": None,
        "b": [3, [True, None]],
        "c": {"d": [1.0, None]},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.97222, "0.9722"),
        (1.0, "1.000"),
        (0.0, "0"),
        (45213.2, "45213"),
        (6899.2, "6899"),
        (-9999.6, "-10000"),
        (1.234e-5, "1.234e-05"),
        (-12.3456, "-12.35"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_figures_have_four_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_closed_pipe_does_not_end_training(tmp_path: Path) -> None:
    code = SHOW.replace("INTERRUPT", "") + "open('trained', 'w').close()"
    ours, theirs = os.pipe()
    os.close(ours)
    child = subprocess.run([sys.executable, "-c", code], stdout=theirs, stderr=subprocess.PIPE, cwd=tmp_path)
    os.close(theirs)
    assert child.returncode == 0, child.stderr
    assert (tmp_path / "trained").exists()


def test_a_name_that_the_terminal_cannot_encode_does_not_fail() -> None:
    code = "from dlcli.terminal.console import Terminal\nwith Terminal() as t: t.note('caf\\xe9 \\udcff')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert (child.returncode, child.stdout) == (0, b"caf\\xe9 \\udcff\n"), child.stderr


def test_quiet_holds_against_libraries_that_set_their_level_on_import() -> None:
    library = logging.getLogger("pytorch_lightning")
    before = library.level
    with quiet(), quiet():
        library.setLevel(logging.INFO)  # what `import pytorch_lightning` does
        assert not logging.getLogger("pytorch_lightning.utilities.rank_zero").isEnabledFor(logging.INFO)
        assert library.isEnabledFor(logging.WARNING)
    library.setLevel(logging.INFO)
    assert library.isEnabledFor(logging.INFO)
    library.setLevel(before)


def test_quiet_puts_back_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_PYTHON_REFRESH", raising=False)
    environment, filters = dict(os.environ), list(warnings.filters)
    loggers = {name: logging.getLogger(name).level for name in ("mlflow", "pytorch_lightning", "alembic")}
    with quiet():
        assert os.environ["GIT_PYTHON_REFRESH"] == "quiet"
    assert dict(os.environ) == environment
    assert list(warnings.filters) == filters
    assert {name: logging.getLogger(name).level for name in loggers} == loggers


def test_quiet_hides_only_what_a_user_can_do_nothing_about() -> None:
    def warned(text: str, category: type[Warning], module: str) -> bool:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with quiet():
                warnings.warn_explicit(text, category, f"{module}.py", 1, module=module)
        return bool(caught)

    assert not warned(
        "The 'train_dataloader' does not have many workers which may be a bottleneck.", UserWarning, "x"
    )
    assert not warned("use something else", FutureWarning, "sklearn.base")
    assert not warned("use something else", DeprecationWarning, "torch")
    assert warned("your target has one class", UserWarning, "sklearn.metrics")
    assert warned("use something else", FutureWarning, "my_model")
    assert warned("use something else", FutureWarning, "torch_like_package")


def test_debug_shows_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLCLI_DEBUG", "1")
    library = logging.getLogger("mlflow")
    before = library.level
    with quiet():
        library.setLevel(logging.DEBUG)
        assert library.level == logging.DEBUG
    library.setLevel(before)


@pytest.mark.slow
def test_lightning_and_mlflow_print_nothing(tmp_path: Path) -> None:
    code = """
from dlcli.process.quiet import quiet
from dlcli.terminal.bars import TrainingBar
with quiet():
    import mlflow, torch, pytorch_lightning as lightning
    mlflow.set_tracking_uri("sqlite:///store.db")
    mlflow.set_experiment("new")
    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
        def training_step(self, batch, index):
            return self.layer(batch).mean()
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)
    loader = torch.utils.data.DataLoader(torch.zeros(4, 1), batch_size=2)
    trainer = lightning.Trainer(max_epochs=1, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(Model(), loader)
"""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
