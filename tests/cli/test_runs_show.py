"""`dlcli runs show RUN` and `dlcli show RUN`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from dlcli.cli.app import app
from dlcli.gate.seal import make_seal
from dlcli.tracking.ledger import LEDGER_FILE, Ledger

FIGURES = {"val/loss": 0.5, "test/loss": 0.6, "test/accuracy": 0.9, "baseline/test/accuracy": 0.25}


def recorded(name: str, number: int = 1, **fields: Any) -> Ledger:
    folder = Path("runs").absolute() / "iris" / f"{number:032x}" / "artifacts"
    (folder / "plots").mkdir(parents=True)
    about: dict[str, Any] = {
        "kind": "run",
        "token": f"{number:016x}",
        "status": "FINISHED",
        "metrics": FIGURES,
        "result": {"metrics": ["val/loss", "test/loss", "test/accuracy"], "messages": ["It converged."]},
    }
    made = Ledger(folder, folder.parent.name, name, "iris", **{**about, **fields})
    made.update(durable=False)
    return made


def with_words(ledger: Ledger, *words: str, sealed: bool = True) -> None:
    text = "".join(f"{word}\n" for word in words)
    (ledger.run_dir / "overrides.txt").write_text(text)
    if sealed:
        for name, content in make_seal({"overrides.txt": text}).items():
            (ledger.run_dir / name).write_text(content)


def dlcli(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def without_age(shown: str) -> list[str]:
    return [line for line in shown.splitlines() if "created:" not in line]


def test_a_run_is_shown_with_its_facts() -> None:
    ledger = recorded("first", tags={"team": "red", "dlcli.host": "here"})
    words = ["model=cnn", "dataset=iris", "model=mlp", "run_name='first'", "dataset.path='a b.csv'"]
    with_words(ledger, *words)
    (ledger.run_dir / "plots" / "roc.png").write_bytes(b"x")
    done = dlcli("runs", "show", "first")
    assert done.exit_code == 0, done.output
    shown = done.stdout
    for text in (ledger.run_id, "run of experiment iris", "FINISHED", "team=red", "It converged."):
        assert text in shown
    assert "0.9000, baseline 0.2500" in shown
    assert "ledger.json" in shown
    plots = ledger.run_dir.relative_to(Path.cwd()) / "plots"
    assert f"\nPictures are in {plots}\n" in shown
    line = shown.partition("\nRepeat it: ")[2].splitlines()[0]
    assert shlex.split(line) == [
        "dlcli", "train", "dataset=iris", "model=mlp", "run_name=first", "dataset.path='a b.csv'",
    ]  # fmt: skip
    assert "seal" not in shown.replace("seal.json", "")
    assert without_age(dlcli("show", "first").stdout) == without_age(shown)


def test_a_run_is_shown_as_json() -> None:
    ledger = recorded("first", status="FAILED", error="no memory\n  Use less.")
    document = json.loads(dlcli("runs", "show", "first", "--json").stdout)
    assert (document["status"], document["run_status"]) == ("OK", "FAILED")
    assert document["metrics"]["test/accuracy"] == 0.9
    assert document["baselines"] == {"test/accuracy": 0.25}
    assert document["error"] == "no memory\n  Use less."
    assert document["files"][LEDGER_FILE] == (ledger.run_dir / LEDGER_FILE).stat().st_size
    assert (document["repeat"], document["columns"], document["pictures"]) == (None, None, [])
    assert "overrides.txt" in document["remarks"][0]
    assert "\nno memory\n  Use less.\n" in dlcli("show", "first").stdout


def test_a_part_is_repeated_with_its_whole() -> None:
    cv = recorded("folds", kind="cv")
    with_words(cv, "dataset=iris", "cv=kfold")
    (cv.run_dir / "plots" / "folds.png").write_bytes(b"x")
    recorded("folds-fold-0", 2, kind="fold", parent_id=cv.run_id)
    shown = dlcli("runs", "show", "folds-fold-0").stdout
    assert "It is a child run of folds, which the command repeats as a whole." in shown
    assert "Repeat it: dlcli train dataset=iris cv=kfold\n" in shown
    assert "Pictures are in" in shown


def test_a_folder_from_elsewhere_is_shown_safely() -> None:
    ledger = recorded("evil\x1b[2J", error="\x1b]52;c;x\x07", status="FAILED", tags={"a\x1b": "b\nc"})
    with_words(ledger, "model=mlp; rm -rf ~", "$(reboot)", sealed=False)
    (ledger.run_dir / "x\x1b[31m").write_text("")
    done = dlcli("runs", "show", str(ledger.run_dir))
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    assert "The run does not have your seal. Read the command before you run it." in done.stdout
    line = done.stdout.partition("Repeat it: ")[2].splitlines()[0]
    assert shlex.split(line)[:4] == ["dlcli", "train", "model=mlp; rm -rf ~", "$(reboot)"]
    for place in (ledger.run_dir, ledger.run_dir.parent):
        assert without_age(dlcli("show", str(place)).stdout) == without_age(done.stdout)


@pytest.mark.parametrize("kind", ["fold", "cv"])
def test_a_run_that_is_a_child_of_itself(kind: str) -> None:
    ledger = recorded("loop", kind=kind)
    result = {**ledger.result, "folds": [ledger.run_id], "chosen": [{}]}
    ledger.update(parent_id=ledger.run_id, result=result)
    done = dlcli("runs", "show", "loop")
    assert done.exit_code == 0, done.output
    assert "A part of the run cannot be read" in done.stdout
    assert "0.9000" in done.stdout


def test_missing_folds_do_not_hide_the_run() -> None:
    recorded("folds", kind="cv", result={"folds": ["gone"], "metrics": ["test/loss"], "messages": ["Wide."]})
    done = dlcli("runs", "show", "folds")
    assert done.exit_code == 0, done.output
    assert "A part of the run cannot be read" in done.stdout
    assert "Wide." in done.stdout


def test_the_plots_of_a_run_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(typer, "launch", lambda path: opened.append(path) or 1)
    ledger = recorded("first")
    done = dlcli("runs", "show", "first", "--open")
    assert done.exit_code == 2
    assert "the run has no pictures" in done.stderr
    (ledger.run_dir / "plots" / "roc.png").write_bytes(b"x")
    done = dlcli("runs", "show", "first", "--open")
    assert done.exit_code == 0
    assert opened == [str(ledger.run_dir / "plots")]
    assert "No program could be started" in done.stderr


def test_a_misspelt_run_gets_the_name_meant() -> None:
    recorded("first")
    done = dlcli("runs", "show", "frist")
    assert done.exit_code == 2
    assert "Did you mean first?" in done.stderr
