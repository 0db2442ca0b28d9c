"""Hostile folders x commands: no code of a folder is executed, and each command reports what it rejects."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.errors import DlcliError
from dlcli.inference.pyfunc import _load_pyfunc
from dlcli.runs.archive import MANIFEST, SCHEMA_VERSION
from tests.gate.hostile import RESUME, Hostile, cases

QUICK = [
    "dataset=iris", "model=mlp", "model.hidden=4", "preprocessing=table", "trainer.max_epochs=1",
    "trainer.accelerator=cpu", "callbacks=none", "tracking.system_metrics=false",
]  # fmt: skip

# A forger leaves out the digests, which commands report.
pytestmark = pytest.mark.filterwarnings("ignore:.*recorded without digests")

# Fast commands, which are run on every folder. The others train or export unless stopped, and are run on every folder
# only if DLCLI_TEST_WHOLE is set, which takes minutes.
ALWAYS = frozenset({"eval", "predict", "compare", "load_run", "pyfunc", "runs", "runs show"})
CHANGES = frozenset({"runs tag", "runs register", "runs note", "runs rename", "runs du", "runs export"})
HANDS_ON = frozenset({"runs push", "runs import", "reproduce", "train --like", "serve", "ui"})
REMOVES = frozenset({"~1 rm", "~2 restore", "~3 rm", "~4 gc"})  # after all others, as they are sorted
if os.environ.get("DLCLI_TEST_WHOLE"):
    ALWAYS |= RESUME | CHANGES | HANDS_ON | REMOVES | {"check", "export", "show"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder of another user, with another key."""
    folder = tmp_path_factory.mktemp("theirs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        result = dlcli.train([*QUICK, f"runs_dir='{folder}/runs'"])
    forge(result.run_dir)
    return result.run_dir


def forge(folder: Path) -> None:
    """Remove the digests, as a forger would, who can also compute them."""
    (folder / "model" / "digests.json").unlink(missing_ok=True)
    change_ledger(folder, digests=None)


def change_ledger(folder: Path, **changes: Any) -> None:
    """Change fields of the ledger, if it is readable."""
    with suppress(ValueError, TypeError, RecursionError):
        ledger = json.loads((folder / "ledger.json").read_text())
        (folder / "ledger.json").write_text(json.dumps({**ledger, **changes}))


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's current folder; modules that commands import are removed again."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("DLCLI_CONF_DIR", "DLCLI_RUNS_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return here


def unpacked(made: Path, place: Path) -> Path:
    """Unpack the runs folder of another user into a folder."""
    runs = shutil.copytree(made.parents[2], place / "their runs" / "runs")
    return runs / made.relative_to(made.parents[2])


def words_of(command: str, folder: Path, good: Path, here: Path) -> list[str]:
    run, place = str(folder.parent), ["--runs-dir", str(folder.parents[2])]
    rows = here / "rows.csv"
    rows.write_text(
        "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5.1,3.5,1.4,0.2\n"
    )
    return {
        "eval": ["eval", str(folder)],
        "predict": ["predict", str(folder), str(rows)],
        "export": ["export", str(folder), "--output", str(here / "x.pt2")],
        "resume": ["resume", run, *place],
        "compare": ["compare", str(folder), str(good)],
        "check": ["check", *QUICK, f"model.weights='{folder}'"],
        "show": ["show", str(folder)],
        "runs": ["runs", "--all", "--filter", "test/accuracy>=0 or status=damaged", *place],
        "runs show": ["runs", "show", run, *place],
        "runs tag": ["runs", "tag", run, "team=red", *place],
        "runs register": ["runs", "register", run, "theirs", *place],
        "runs note": ["runs", "note", run, "A note.", *place],
        "runs rename": ["runs", "rename", run, "other", *place],
        "runs du": ["runs", "du", *place],
        "runs export": ["runs", "export", run, str(here / "runs.zip"), *place],
        "runs push": ["runs", "push", str(here / "pushed"), run, *place],
        "runs import": ["runs", "import", str(here / "theirs.zip"), "--runs-dir", str(here / "imported")],
        "reproduce": ["reproduce", run, *place],
        "train --like": ["train", "--like", run, *place],
        "serve": ["serve", str(folder), "--port", "0"],
        "ui": ["ui", "--no-open", *place],
        "~1 rm": ["runs", "rm", run, "--yes", *place],
        "~2 restore": ["runs", "restore", folder.parent.name, *place],
        "~3 rm": ["runs", "rm", run, "--yes", "--force", *place],
        "~4 gc": ["runs", "gc", "--older-than", "0s", "--yes", *place],
    }[command]


def run(command: str, folder: Path, good: Path, here: Path) -> tuple[int, str]:
    """Return the exit code and the output of a command on a folder."""
    if command in ("load_run", "pyfunc"):
        load: Any = dlcli.load_run if command == "load_run" else _load_pyfunc
        try:
            load(str(folder if command == "load_run" else folder / "model"))
        except DlcliError as error:
            return error.exit_code, str(error)
        return 0, ""
    if command == "resume":
        change_ledger(folder, status="KILLED")
    if command == "runs import":
        packed(folder, here / "theirs.zip")
    done = CliRunner().invoke(app, words_of(command, folder, good, here))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def packed(folder: Path, archive: Path) -> None:
    """Write an archive as `dlcli runs export` does, but of a folder as it is."""
    files = {f"{folder.relative_to(folder.parents[2])}/{file.relative_to(folder)}": file
             for file in folder.rglob("*") if file.is_file() and not file.is_symlink()}  # fmt: skip
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, file in files.items():
            opened.write(file, name)
        digests = {
            name: [x.stat().st_size, hashlib.sha256(x.read_bytes()).hexdigest()] for name, x in files.items()
        }
        opened.writestr(MANIFEST, json.dumps({"schema_version": SCHEMA_VERSION, "files": digests}))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_opening_a_folder_runs_nothing(
    case: Hostile, made: Path, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for server in ("ui.serve_ui", "serve.serve_until_stopped"):
        monkeypatch.setattr(f"dlcli.runner.{server}", lambda *_, **__: None)
    folder, marker = unpacked(made, tmp_path), tmp_path / "MARKER"
    case.damage(folder, marker)
    around = outside(tmp_path, folder)
    loaded = set(sys.modules)
    # Those that must refuse come first: others, such as resume, may write the damaged file anew.
    for command in sorted(ALWAYS | case.stops, key=lambda command: (command not in case.stops, command)):
        code, said = run(command, folder, made, user)
        assert not marker.exists(), (command, said)
        assert "Traceback" not in said and "not foreseen" not in said, (command, said)
        if command in case.stops:
            assert code in (1, 2), (command, code, said)
        assert not {"evil_code"} & (set(sys.modules) - loaded), command
    assert outside(tmp_path, folder) == around


def outside(place: Path, folder: Path) -> set[Path]:
    """Return what lies outside of the runs folder and of the user's current folder."""
    inside = (folder.parents[2], place / "here")
    return {path for path in place.rglob("*") if not any(path.is_relative_to(one) for one in inside)}


def test_the_undamaged_folder_of_somebody_else_opens(
    made: Path, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpacked(made, tmp_path)
    for server in ("ui.serve_ui", "serve.serve_until_stopped"):
        monkeypatch.setattr(f"dlcli.runner.{server}", lambda *_, **__: None)
    for command in sorted(ALWAYS | RESUME | CHANGES | HANDS_ON | REMOVES | {"check"}):
        code, said = run(command, folder, made, user)
        assert code == (2 if command == "runs register" else 0), (command, said)  # whose loader is MLflow's


def test_what_stops_a_command_says_where_and_what_to_do(made: Path, user: Path, tmp_path: Path) -> None:
    folder = unpacked(made, tmp_path)
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(
        text.replace("callbacks: {}", "callbacks: {x: {_target_: os.system}}")
    )
    code, said = run("resume", folder, made, user)
    told = " ".join(said.replace("│", " ").split())
    assert code == 1
    for part in (
        "callbacks.x._target_ names code outside dlcli: os.system",
        "does not have your seal",
        "-C DIR",
        "--trust",
    ):
        assert part in told


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of another user's sweep, with one trial."""
    folder = tmp_path_factory.mktemp("sweep")
    words = [word for word in QUICK if not word.startswith("model.hidden")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        more = ["model.hidden=2,4", "sweep/sampler=random", "sweep.trials=1", "sweep.refit=false"]
        result = dlcli.sweep([*words, *more, f"runs_dir='{folder}/runs'"])
    for ledger in result.run_dir.parents[1].glob("*/artifacts"):
        forge(ledger)
    return result.run_dir


@pytest.mark.parametrize(
    "word", ["model._target_=os.system", "+callbacks.x._target_=os.system", "optimizer._target_=${run_name}"]
)
def test_a_sweep_is_not_planned_again_by_hostile_overrides(
    searched: Path, user: Path, tmp_path: Path, word: str
) -> None:
    folder, marker = unpacked(searched, tmp_path), tmp_path / "MARKER"
    words = (folder / "overrides.txt").read_text()
    hostile = f"{words}{word}\n+{word.partition('._target_')[0].lstrip('+')}.command='touch {marker}'\n"
    (folder / "overrides.txt").write_text(f"{hostile}run_name=os.system\n")
    code, said = run("resume", folder, folder, user)
    assert code in (1, 2) and not marker.exists(), said
    assert "Traceback" not in said and "not foreseen" not in said


@pytest.mark.parametrize("name", ["${oc.env:PRIVATE}", "${oc.${mode}:PRIVATE}", "x-${oc.env:${monitor}}"])
def test_a_sweep_from_elsewhere_does_not_read_the_environment(
    searched: Path, user: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpacked(searched, tmp_path)
    words = [w for w in (folder / "overrides.txt").read_text().splitlines() if "run_name" not in w]
    more = [f"run_name='{name}'", *(["mode=env"] if "mode" in name else []), "sweep.trials=2"]
    if "monitor" in name:
        more.append("monitor=PRIVATE")
    (folder / "overrides.txt").write_text("\n".join([*words, *more, ""]))
    change_ledger(folder, status="KILLED")
    monkeypatch.setenv("PRIVATE", "private-value-4711")
    code, said = run("resume", folder, folder, user)
    assert code in (1, 2), said
    assert "not foreseen" not in said
    assert "private-value-4711" not in said
    for file in folder.parents[2].rglob("*"):
        assert not file.is_file() or b"private-value-4711" not in file.read_bytes(), file


def test_the_recorded_settings_of_a_trial_are_checked(searched: Path, user: Path, tmp_path: Path) -> None:
    folder, marker = unpacked(searched, tmp_path), tmp_path / "MARKER"
    (trial,) = folder.parents[1].glob("*/artifacts/trial.json")
    params = {"model._target_": "os.system", "model.command": f"touch {marker}"}
    trial.write_text(json.dumps({"number": 0, "params": params}))
    change_ledger(trial.parent, status="KILLED")
    code, said = run("resume", folder, folder, user)
    assert code in (1, 2) and not marker.exists(), said
    assert "Traceback" not in said and "not foreseen" not in said
