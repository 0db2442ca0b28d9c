"""`dlcli new KIND NAME`: the files of each kind train as they are written, and the run is opened again."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import dlcli
from dlcli.errors import CorruptRun, InputError
from dlcli.events import Note
from dlcli.runner.resume import resume
from dlcli.templates.scaffold import Kind, Scaffold, scaffold
from dlcli.tracking.ledger import Ledger

KINDS = [kind for kind in get_args(Kind) if kind not in ("project", "experiment")]
QUICK = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.limit_rows=60"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a new part of each kind, whose modules are forgotten at the end."""
    folder, path, before = tmp_path_factory.mktemp("parts"), list(sys.path), set(sys.modules)
    (folder / "ours").mkdir()
    (folder / "ours" / "__init__.py").write_text("")
    yield folder
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.split(".")[0] == "ours":
            del sys.modules[name]


def trained(made: Scaffold, folder: Path, *more: str) -> dlcli.Result:
    words = shlex.split(made.command)
    assert words[:2] == ["dlcli", "train"]
    words = words[2 : words.index("-C")] if "-C" in words else words[2:]
    return dlcli.train([*words, *QUICK, *more, f"runs_dir='{folder / 'runs'}'"], conf_dirs=[folder / "conf"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_part_trains_as_it_is_written(kind: str, folder: Path) -> None:
    made = scaffold(kind, f"own_{kind}", folder)
    code, option = (next(file for file in made.files if file.suffix == end) for end in (".py", ".yaml"))
    assert code.read_text().count("dlcli.templates") == option.read_text().count("dlcli.templates") == 0
    result = trained(made, folder)
    assert result.status == "FINISHED"
    assert (Path(result.run_dir) / "code" / code.relative_to(folder)).is_file()
    with pytest.raises(InputError, match="already"):
        scaffold(kind, f"own_{kind}", folder)


def test_a_metric_of_ones_own_is_computed_monitored_and_evaluated(folder: Path) -> None:
    made = scaffold("metric", "error_rate", folder)
    result = trained(made, folder, "monitor=val/error_rate", "cv=kfold", "cv.folds=3")
    assert result.values["cv/error_rate_mean"] == pytest.approx(1 - result.values["cv/accuracy_mean"])
    assert result.values["cv/error_rate_pooled"] == pytest.approx(1 - result.values["cv/accuracy_pooled"])
    fold = Path(result.folds[0].run_dir)
    assert Ledger.load(fold).result["scales"]["error_rate"] == {"better": "lower", "low": 0.0, "high": 1.0}
    whole = trained(made, folder, "monitor=val/error_rate")
    again = dlcli.evaluate(whole.run_dir, conf_dirs=[folder / "conf"])
    assert again.values["test/error_rate"] == whole.values["test/error_rate"]
    assert dlcli.evaluate(whole.run_dir, trust=True).values == again.values
    with pytest.raises(CorruptRun, match=r"metric.error_rate._target_ names code outside dlcli"):
        dlcli.evaluate(whole.run_dir)


def test_code_that_changes_before_a_run_is_resumed_is_told_and_recorded(tmp_path: Path) -> None:
    made = scaffold("loss", "changed_loss", tmp_path)
    result = trained(made, tmp_path)
    code = next(file for file in made.files if file.suffix == ".py")
    code.write_text(f"{code.read_text()}\n# Another line.\n")
    told: list[object] = []
    resumed = resume(str(result.run_dir), ["trainer.max_epochs=2"], [tmp_path / "conf"], listen=told.append)
    notes = [event.text for event in told if isinstance(event, Note)]
    assert any(
        "losses/changed_loss.py has changed" in note or "changed_loss.py has changed" in note
        for note in notes
    )
    assert (Path(resumed.run_dir) / "code" / "changed_loss.py").read_text() == code.read_text()
    assert Ledger.load(Path(resumed.run_dir)).tags["dlcli.changed.code"] == "changed_loss.py"
    dlcli.evaluate(resumed.run_dir, conf_dirs=[tmp_path / "conf"])
