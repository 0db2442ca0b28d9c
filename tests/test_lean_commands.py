"""What each command imports: a package that a command does not need must not slow its start."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dlcli
from dlcli.result import Result

# Importing any of these takes about as long as torch, or a large part of it.
COMPILER = {"torch._dynamo.eval_frame", "sympy"}
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


@pytest.mark.parametrize(
    ("call", "never"),
    [
        ("predict({run!r}, {rows!r})", COMPILER | METRICS | FITTED | TRAINING | RECORD | PLOTS),
        ("evaluate({run!r})", COMPILER | METRICS | FITTED | TRAINING | RECORD | PLOTS),
        (
            "compare([{run!r}, {other!r}], runs_dir={runs!r})",
            COMPILER | METRICS | TRAINING | RECORD | {"skops", "sklearn"},
        ),
        (
            "train(['dataset=iris', 'model=mlp', 'trainer.max_epochs=1'], runs_dir={runs!r})",
            COMPILER | METRICS | FITTED | RECORD,
        ),
    ],
)
def test_a_command_imports_what_it_needs(run: Result, call: str, never: set[str]) -> None:
    assert run.run_dir is not None
    runs = run.run_dir.parents[2]
    words = call.format(
        run=str(run.run_dir), other="other", rows=str(runs.parent / "new.csv"), runs=str(runs)
    )
    look = f"import sys, dlcli\ndlcli.{words}\nprint(sorted({never!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
