"""Names, tags and notes that a user gives a run: the ledger first, then MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.errors import InputError
from dlcli.runs import annotation
from dlcli.runs.annotation import rename, set_note, set_tags
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.liveness import entries
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store, open_store


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("annotated")


@pytest.fixture
def store(runs_dir: Path) -> Iterator[Store]:
    with open_store(runs_dir) as opened:
        yield opened


@pytest.fixture
def ended(store: Store) -> Path:
    """A run that has ended, with a message."""
    folder = store.create_run(experiment="exp", run_name="toy", kind="run", params={}, tags={})
    with Recorder(folder, system_metrics=False) as recorder:
        recorder.finish({"test/loss": 1.0}, result={"metrics": ["test/loss"], "messages": ["It converged."]})
    store.close()
    return folder


def in_mlflow(store: Store, folder: Path) -> tuple[str, dict[str, str]]:
    run = store.client.get_run(Ledger.load(folder).run_id)
    return run.info.run_name, run.data.tags


def test_mlflow_gets_new_tags_notes_and_names(store: Store, ended: Path, runs_dir: Path) -> None:
    assert set_tags(ended, ["team=red", "why=a=b", "old="]).in_mlflow
    assert set_note(ended, "Look again.").in_mlflow
    changed = rename(ended, "first")
    assert (changed.in_mlflow, changed.notes, entries(runs_dir)) == (True, (), [])
    ledger = Ledger.load(ended)
    assert ledger.run_name == "first"
    assert {key: ledger.tags[key] for key in ("team", "why", "old", "dlcli.note")} == {
        "team": "red", "why": "a=b", "old": "", "dlcli.note": "Look again.",
    }  # fmt: skip
    name, tags = in_mlflow(store, ended)
    assert name == tags["mlflow.runName"] == "first"
    assert tags["team"] == "red"
    assert tags["mlflow.note.content"] == "Look again.\n\nIt converged."
    rename(ended, "second")
    assert in_mlflow(store, ended)[0] == "second"


def test_a_kill_before_mlflow_has_it_loses_nothing(
    store: Store, ended: Path, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(annotation, "reconcile", lambda runs_dir: [])
        assert not set_tags(ended, ["team=blue"]).in_mlflow
        assert not rename(ended, "later").in_mlflow
    assert in_mlflow(store, ended)[0] == "toy"
    reconcile(runs_dir)
    name, tags = in_mlflow(store, ended)
    assert (name, tags["team"], entries(runs_dir)) == ("later", "blue", [])


def test_a_run_that_is_recorded_is_left_alone(store: Store) -> None:
    folder = store.create_run(experiment="exp", run_name="toy", kind="run", params={}, tags={})
    with Recorder(folder, system_metrics=False), pytest.raises(InputError, match="the run is RUNNING"):
        rename(folder, "other")
    assert Ledger.load(folder).run_name == "toy"


def test_nothing_is_written_outside_of_a_runs_folder(ended: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a" / "b" / "c" / "artifacts"
    copy.parent.mkdir(parents=True)
    ended.rename(copy)
    with pytest.raises(InputError, match="outside of a runs folder"):
        set_note(copy, "text")
    assert not (tmp_path / "a" / ".active").exists()


@pytest.mark.parametrize("name", ["", " ", "last", "best", "best:x", "-x", "a/b", ".", "~", "x" * 2000])
def test_names_that_mean_something_else(ended: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a run"):
        rename(ended, name)


@pytest.mark.parametrize(
    "word", ["team", "=red", "a:b=c", "dlcli.kind=cv", "mlflow.user=x", f"a={'x' * 6000}"]
)
def test_words_that_are_not_tags(ended: Path, word: str) -> None:
    with pytest.raises(InputError):
        set_tags(ended, [word])


def test_the_commands_that_tag_note_and_rename(ended: Path, runs_dir: Path) -> None:
    def dlcli(*words: str) -> str:
        done = CliRunner().invoke(app, ["runs", *words, "--runs-dir", str(runs_dir)])
        assert done.exit_code == 0, done.output
        return done.stdout

    run_id = Ledger.load(ended).run_id
    assert "tags: team=red" in dlcli("tag", run_id, "team=red")
    assert "note: Again\\x1b[2J" in dlcli("note", run_id, "Again\x1b[2J")
    document = json.loads(dlcli("rename", run_id, "named", "--json"))
    assert (document["run_name"], document["tags"], document["in_mlflow"]) == ("named", {"team": "red"}, True)
    assert "  note:    Again\\x1b[2J\n" in dlcli("show", "named")
