"""Whole lines `dlcli ...` of messages are executed as shown, with names that a shell or Hydra would misread."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.config.pasted import assignment
from dlcli.runs.find import find_run
from dlcli.tracking.ledger import Ledger

# Of a run, a file and the folder of runs. A name that begins with `-` is an option unless something is done about it.
NAME = """-x it's "hi" $(x) a=b,c"""
RUNS = """my 'runs' $(y)"""


def told(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


def lines(output: str) -> dict[str, list[str]]:
    """Return the words of each shown line after what stands before it, as a shell reads them."""
    found = {}
    for before, line in re.findall(
        r"^(.*?)(dlcli (?:train|check|sweep|resume|runs|ui|eval) .*)$", output, re.MULTILINE
    ):
        read = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
        words = read.stdout.decode().split("\0")[:-1]
        assert words == shlex.split(line)
        found[before.strip().removeprefix("hint: ").rstrip(": ")] = words[1:]
    return found


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    rows = "\n".join(f"{row % 7},{row % 5},{'yes' if row % 3 else 'no'}" for row in range(40))
    Path(f"{NAME}.csv").write_text(f"a,b,y\n{rows}")
    return ["dataset=table", assignment("dataset.path", f"{NAME}.csv"), "dataset.target=y", "model=linear",
            "trainer.accelerator=cpu", "trainer.max_epochs=1", "--runs-dir", RUNS, "--jobs", "1"]  # fmt: skip


def statuses() -> list[str]:
    ledgers = (Ledger.load(file.parent) for file in Path(RUNS).glob("*/*/artifacts/ledger.json"))
    return sorted(ledger.status for ledger in ledgers if ledger.kind in ("run", "sweep"))


def test_the_lines_of_a_run(words: list[str]) -> None:
    code, output = told("train", *words, f"--name={NAME}")
    assert code == 0
    looks = lines(output)["Look at it with"]
    assert told(*looks, "--help")[0] == 0
    assert looks[-2:] == ["--runs-dir", RUNS]

    run = find_run(NAME, Path(RUNS)).run_dir
    repeat = lines(told("show", str(run), "--runs-dir", RUNS)[1])["Repeat it"]
    assert told(*repeat)[0] == 0
    assert statuses() == ["FINISHED", "FINISHED"]

    (run / "model").rename(run / "gone")
    Ledger.load(run).update(status="KILLED")
    code, output = told("eval", str(run), "--runs-dir", RUNS)
    (resume,) = lines(output).values()
    assert resume == ["resume", run.parent.name[:8], "--runs-dir", RUNS]  # a sweep's is executed below
    (run / "gone").rename(run / "model")
    Ledger.load(run).update(status="FINISHED")

    (restore,) = lines(told("runs", "rm", str(run), "--yes", "--runs-dir", RUNS)[1]).values()
    told("runs", "rm", "--yes", "--runs-dir", RUNS, "--", NAME)
    (other,) = lines(told("eval", "--runs-dir", RUNS, "--", NAME)[1]).values()
    assert told(*restore)[0] == 0
    assert statuses() == ["FINISHED"]
    assert told(*other)[0] == 0
    assert statuses() == ["FINISHED", "FINISHED"]


def test_the_lines_of_a_sweep(words: list[str]) -> None:
    code, output = told("sweep", *words, "optimizer.first=0.1,0.5", "sweep.refit=false", f"--name={NAME}")
    assert code == 0
    assert told(*lines(output)["Train the best trial again"])[0] == 0
    assert statuses() == ["FINISHED", "FINISHED"]
    more = ["--timeout", "0.000000001", "sweep.refit=false", "--name=-late"]
    code, output = told("sweep", *words, "optimizer.first=0.1,0.5", *more)
    assert code == 1
    assert told(*lines(output)["Resume without a limit, or with a longer one"])[0] == 0
    assert statuses() == ["FINISHED"] * 3


def test_the_lines_that_replace_what_was_typed(words: list[str]) -> None:
    words = words[: words.index("--jobs")]
    for typed, says in ((["--epochs", "1"], "Write"), (["sweep.trials=3"], "Leave it out")):
        code, output = told("check", *words, *typed)
        assert code == 2
        assert told(*lines(output)[says])[0] == 0
