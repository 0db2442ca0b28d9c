"""Results in a notebook: docs/notebook.ipynb runs, results show themselves, and progress is one line."""

from __future__ import annotations

import ast
import html
import json
import re
import sys
import types
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import dlcli
from dlcli.api.notebook_progress import ProgressLine, notebook_listener
from dlcli.api.run_result import RunResult
from dlcli.events import EpochDone, Note, TrainingStarted, ignore
from tests.conftest import ROOT


class Output:
    """What IPython's display returns for an output that can be replaced."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def display(self, shown: Any, display_id: bool) -> Output:
        assert display_id
        self.shown.append(shown)
        return self

    def update(self, shown: Any) -> None:
        self.shown.append(shown)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Output:
    """The process as a kernel of Jupyter runs it."""
    output = Output()
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    ipython.version_info = (9, 0, 0)  # type: ignore[attr-defined] # matplotlib asks for it
    display.display = output.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return output


def run_cells(file: Path) -> list[Any]:
    """Run the code of a notebook, and return the value of each cell's last expression, as a kernel does."""
    names: dict[str, Any] = {"__name__": "__main__"}
    values = []
    for number, cell in enumerate(json.loads(file.read_text())["cells"]):
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == [] and cell["execution_count"] is None, "clear the outputs"
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        where = f"<cell {number}>"
        exec(compile(tree, where, "exec"), names)
        values.append(eval(compile(ast.Expression(last.value), where, "eval"), names) if last else None)
    return values


def test_the_notebook_of_the_docs_runs(kernel: Output) -> None:
    result, accuracy, metrics, history, rows, plots, picture, folds, losses, predicted, name = run_cells(
        ROOT / "docs" / "notebook.ipynb"
    )
    assert isinstance(result, RunResult)
    assert isinstance(result.folds, tuple)
    shown = result._repr_html_()
    assert "<script" not in shown and "<svg" in shown
    assert "flowers on iris: loss" in shown
    assert "val loss" in shown
    HTMLParser().feed(shown)
    assert result.metrics["test/accuracy"] == accuracy
    assert metrics.loc["test/accuracy", "value"] == accuracy
    assert list(metrics.columns) == ["value", "baseline", "low", "high"]
    assert len(history) == 3
    assert set(rows.columns) >= {"row", "split", "target", "prediction"}
    assert plots == ["confusion_matrix", "learning_curves", "precision_recall", "reliability", "roc"]
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert folds.index[0] == "cv/loss_mean"
    assert len(losses) == 5
    assert isinstance(predicted, pd.DataFrame)
    assert (name, Path("flowers.html").exists()) == ("flowers.html", True)
    assert str(kernel.shown[-1]).startswith("fold 3/3")


def test_a_report_in_a_notebook_is_a_frame_in_which_nothing_runs() -> None:
    result = dlcli.train(["dataset=iris", "model=mlp", "trainer.max_epochs=1", "run_name='a<b>'"])
    shown = result.report()._repr_html_()
    found = re.fullmatch(r'<iframe sandbox style="[^"]*" srcdoc="([^"]*)"></iframe>', shown)
    assert found is not None
    assert html.unescape(found[1]).lstrip().startswith("<!doctype html>")
    assert "a&lt;b&gt;" in html.unescape(found[1])


def test_progress_is_one_line_with_what_matters() -> None:
    output = Output()
    line = ProgressLine(output.display)
    line.listen(Note("warning: <b>target</b> \x1b[2J"))
    line.listen(TrainingStarted({}, 3, 10, "val/loss", "min"))
    for epoch, loss in enumerate((0.5, 0.3, 0.4)):
        line.listen(EpochDone(epoch, {"train/loss": loss, "val/loss": loss}))
    line.close()
    text, shown = repr(output.shown[-1]), output.shown[-1]._repr_html_()
    assert text.startswith("epoch 3/3  train/loss 0.4000, val/loss 0.4000 (best val/loss 0.3000)")
    assert '<progress value="3" max="3"' in shown
    assert "&lt;b&gt;target" in shown and "\x1b" not in shown


def test_elsewhere_nothing_is_shown() -> None:
    with notebook_listener() as listen:
        assert listen is ignore
