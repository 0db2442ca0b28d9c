"""`dlcli runs`, as a user sees it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dlcli.cli.app import app
from dlcli.tracking.ledger import LEDGER_FILE, Ledger

HOSTILE = "evil\x1b]52;c;cm0=\x07\nname"


def ledger(runs_dir: Path, name: str, number: int, **fields: object) -> Ledger:
    folder = runs_dir / "iris" / f"{number:032x}" / "artifacts"
    folder.mkdir(parents=True)
    created = datetime.now(UTC) - timedelta(hours=number)
    about = {
        "kind": "run",
        "token": f"{number:016x}",
        "status": "FINISHED",
        "created_at": created.isoformat(),
    }
    made = Ledger(folder, folder.parent.name, name, "iris", **{**about, **fields})
    made.update(durable=False)
    return made


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    figures = {"test/loss": 0.5, "test/accuracy": 0.9, "baseline/test/accuracy": 0.25}
    result = {"metrics": ["test/loss", "test/accuracy"]}
    cv = ledger(folder, "folds", 1, kind="cv")
    ledger(folder, "folds-fold-0", 2, kind="fold", parent_id=cv.run_id)
    ledger(folder, "good", 3, metrics=figures, result=result)
    ledger(folder, HOSTILE, 4, status="FAILED", error="no\x1b[2Jmemory")
    ledger(folder, "good", 5)
    return folder


def dlcli(*words: str) -> Result:
    return CliRunner().invoke(app, ["runs", *words])


def test_runs_are_listed_with_status_and_main_metric(runs_dir: Path) -> None:
    done = dlcli()
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["name", "kind", "experiment", "status"]
    assert " age  duration  figure (baseline) " in lines[0]
    assert lines[1].startswith("folds ")
    assert "cv of 1" in lines[1]
    assert "good (00000000)" in lines[2]
    assert "test/accuracy 0.9000 (0.2500)" in lines[2]
    assert lines[3].startswith(r"evil\x1b]52;c;cm0=\x07\nname ")
    assert lines[5].startswith("4 runs in runs, ")
    assert "  folds-fold-0" not in done.stdout
    assert "\n  folds-fold-0 " in dlcli("--all").stdout
    assert "\x1b" not in done.stdout


def test_some_runs_are_listed(runs_dir: Path) -> None:
    assert "None of 4 runs fits." in dlcli("--filter", "status=killed").stdout
    assert "1 of 4 runs: -n 0 shows all." in dlcli("-n", "1").stdout
    done = dlcli("--sort", "-age", "--filter", "kind=run", "-n", "1", "--json")
    assert [run["run_id"][-1] for run in json.loads(done.stdout)["runs"]] == ["5"]
    done = dlcli("--filter", "test/acuracy<1")
    assert done.exit_code == 2
    assert "hint: Did you mean test/accuracy?" in done.stderr


def test_runs_are_listed_as_json(runs_dir: Path) -> None:
    document = json.loads(dlcli("--json", "--all").stdout)
    assert document["total"] == len(document["runs"]) == 5
    run = document["runs"][2]
    assert run["figure"] == {"name": "test/accuracy", "value": 0.9, "baseline": 0.25}
    assert run["metrics"] == {"test/loss": 0.5, "test/accuracy": 0.9}
    assert (run["duration_s"], run["parent_id"], run["parts"]) == (None, None, 0)
    assert Path(run["run_dir"]) == runs_dir / "iris" / run["run_id"] / "artifacts"
    assert document["runs"][0]["parts"] == 1
    assert document["runs"][1]["parent_id"] == document["runs"][0]["run_id"]


def test_runs_are_listed_as_csv(runs_dir: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(dlcli("--csv").stdout)))
    assert [row["name"] for row in rows] == ["folds", "good", HOSTILE, "good"]
    assert (rows[1]["value"], rows[1]["test/loss"], rows[0]["test/loss"]) == ("0.9", "0.5", "")
    done = dlcli("--csv", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["errors"][0]["where"] == "--json --csv"


def test_a_damaged_ledger_is_a_line(runs_dir: Path) -> None:
    damaged = runs_dir / "iris" / f"{5:032x}" / "artifacts"
    (damaged / LEDGER_FILE).write_text("[")
    done = dlcli()
    assert done.exit_code == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("damaged: ")]
    assert str(damaged.relative_to(runs_dir.parent)) in line
    assert "the run's ledger cannot be read" in line
    assert json.loads(dlcli("--filter", "status=damaged", "--json").stdout)["total"] == 1


def test_folders_without_a_ledger_are_reported(runs_dir: Path) -> None:
    for number in (8, 9):
        (runs_dir / "iris" / f"{number:032x}" / "artifacts").mkdir(parents=True)
    (runs_dir / ".active").mkdir()
    (runs_dir / ".active" / "t").write_text(json.dumps({"run_id": f"{9:032x}"}) + "\n")  # being created
    told = f"Not listed, because it has no ledger.json: runs/iris/{8:032x}/artifacts"
    assert told in " ".join(dlcli().output.split())
    assert json.loads(dlcli("--json").stdout)["notes"] == [told]


def test_an_empty_folder_has_no_runs() -> None:
    assert "There is no run in runs yet. Start one: dlcli train" in dlcli().stdout
    assert json.loads(dlcli("--json").stdout)["runs"] == []
    assert dlcli("--csv").stdout == ""


def test_options_of_the_group_do_not_vanish() -> None:
    done = dlcli("--all", "nonsense")
    assert done.exit_code == 2
    assert "no such command 'nonsense'" in done.stderr or "options of a command" in done.stderr
    done = dlcli("--all", "show", "good")
    assert done.exit_code == 2
    assert "dlcli runs show ..." in " ".join(done.stderr.replace("root", "dlcli").split())


def test_nothing_heavy_is_loaded(runs_dir: Path) -> None:
    heavy = ("torch", "pytorch_lightning", "mlflow", "hydra", "omegaconf", "pandas", "numpy", "sqlalchemy")
    for words in ([], ["--json"], ["--csv"], ["--filter", "test/loss<1", "--sort", "age"]):
        look = (
            f"from dlcli.cli import app; app.app(['runs', *{words}], standalone_mode=False)\n"
            f"import sys; loaded = set({heavy!r}) & set(sys.modules); assert not loaded, loaded"
        )
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
