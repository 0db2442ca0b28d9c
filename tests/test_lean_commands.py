"""What each command imports: a package that a command does not need must not slow its start."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dlcli
from dlcli.result import Result

# Importing any of these takes about as long as torch, or a large part of it.
COMPILER = {"torch._dynamo.eval_frame", "torch._refs", "torch.export.exported_program", "sympy"}
METRICS = {"torchmetrics.text.bleu", "transformers", "torchvision"}
FITTED = {"skops", "scipy.stats.distributions"}
TRAINING = {"pytorch_lightning", "lightning_fabric.fabric", "optuna", "hydra"}
RECORD = {"mlflow", "sqlalchemy", "alembic"}
PLOTS = {"matplotlib", "sklearn.metrics._classification"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("lean")
    (folder / "new.csv").write_text(
        "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5.1,3.5,1.4,0.2\n"
    )
    words = ["dataset=iris", "model=mlp", "trainer.max_epochs=1"]
    dlcli.train([*words, "run_name=other"], runs_dir=folder / "runs")
    return dlcli.train(words, runs_dir=folder / "runs")


CALLS = {
    "predict({run!r}, {rows!r})": COMPILER | METRICS | FITTED | TRAINING | RECORD | PLOTS,
    "evaluate({run!r})": COMPILER | METRICS | FITTED | TRAINING | RECORD | PLOTS,
    "compare([{run!r}, {other!r}], runs_dir={runs!r})": COMPILER
    | METRICS
    | TRAINING
    | RECORD
    | {"skops", "sklearn"},
    "train(['dataset=iris', 'model=mlp', 'trainer.max_epochs=1'], runs_dir={runs!r})": COMPILER
    | METRICS
    | FITTED
    | RECORD,
    "executors.template.import_needed() or __import__('dlcli.runner.sweep')": COMPILER
    | METRICS
    | FITTED
    | RECORD
    | PLOTS,
}

# A process that has what all of these commands need; a fork of it executes a command, and tells what is loaded then.
LOOK = """
import os, sys
from dlcli.process import program
program.is_running = True
import dlcli.executors.template, numpy, pandas, torch
for call in sys.argv[1:]:
    sys.stdout.flush()
    if os.fork():
        assert os.wait()[1] == 0, call
        continue
    eval(f"dlcli.{call}")
    print("loaded", *sys.modules)
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.fixture(scope="module")
def loaded(run: Result) -> dict[str, set[str]]:
    """The modules that each command has loaded."""
    assert run.run_dir is not None
    runs = run.run_dir.parents[2]
    calls = [
        call.format(run=str(run.run_dir), other="other", rows=str(runs.parent / "new.csv"), runs=str(runs))
        for call in CALLS
    ]
    done = subprocess.run([sys.executable, "-c", LOOK, *calls], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [set(line.split()) for line in done.stdout.splitlines() if line.startswith("loaded ")]
    return dict(zip(CALLS, lines, strict=True))


@pytest.mark.parametrize("call", CALLS)
def test_a_command_imports_what_it_needs(call: str, loaded: dict[str, set[str]]) -> None:
    assert sorted(CALLS[call] & loaded[call]) == []
