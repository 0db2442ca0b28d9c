import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dlcli.errors import CorruptRun, InputError
from dlcli.tracking.ledger import SCHEMA_VERSION, Ledger, atomic_write, encode_number, now, to_ms


def ledger(folder: Path) -> Ledger:
    return Ledger(
        folder,
        run_id="r1",
        run_name="toy",
        experiment="exp",
        kind="run",
        token="t1",
    )


def test_a_ledger_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = ledger(tmp_path)
    written.update(
        status="RUNNING", metrics={"a": 0.5, "b": math.inf, "c": -math.inf}, result={"best_run_id": "r2"}
    )
    assert Ledger.load(tmp_path) == written


def test_a_ledger_is_read_again_after_each_change_and_no_reader_changes_another(tmp_path: Path) -> None:
    written = ledger(tmp_path)
    for status in ("RUNNING", "FINISHED", "RUNNING"):
        written.update(status=status, tags={"at": status}, result={"trials": [{"lr": 0.1}]})
        found = Ledger.load(tmp_path)
        assert found == written
        found.tags["at"] = "changed by a reader"
        found.result["trials"][0].clear()
        assert Ledger.load(tmp_path) == written
    file = tmp_path / "ledger.json"
    file.write_text(file.read_text().replace("RUNNING", "STOPPED"))  # of the same size, by another program
    with pytest.raises(CorruptRun):
        Ledger.load(tmp_path)


def test_a_clock_that_was_set_back_makes_no_negative_duration(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    run.update(started_at="2026-01-01T00:00:05.000+00:00", ended_at="2026-01-01T00:00:00.000+00:00")
    assert run.seconds == 0.0


def test_the_file_is_strict_json_even_with_nan(tmp_path: Path) -> None:
    ledger(tmp_path).update(metrics={"a": math.nan})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads((tmp_path / "ledger.json").read_text(), parse_constant=refuse)
    assert document["schema_version"] == 2
    assert "run_dir" not in document  # a run can be moved
    assert math.isnan(Ledger.load(tmp_path).metrics["a"])


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    atomic_write(tmp_path / "x", "one")
    atomic_write(tmp_path / "x", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "two"


def test_a_folder_that_cannot_be_written_is_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write") as caught:
        atomic_write(tmp_path / "file" / "x", "")
    assert caught.value.problems[0].where == str(tmp_path / "file")


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_a_damaged_ledger_is_a_corrupt_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "ledger.json").write_text(content)
    with pytest.raises(CorruptRun, match=r"ledger"):
        Ledger.load(tmp_path)


def test_classes_and_columns_may_be_called_as_secrets_are(tmp_path: Path) -> None:
    profile = {"classes": {"recover_password": 120}, "columns": {"api_key": "3 values"}, "rows": 120}
    warning = {"where": "x", "message": "https://bob:h1nter2@h/", "hint": ""}
    example = ledger(tmp_path)
    example.update(about={"profile": profile, "warnings": [warning]})
    about = Ledger.load(tmp_path).about
    assert about["profile"] == profile
    assert "h1nter2" not in str(about)


def test_the_next_schema_is_refused_and_this_one_read(tmp_path: Path) -> None:
    ledger(tmp_path).update(status="FINISHED")
    document = json.loads((tmp_path / "ledger.json").read_text())
    (tmp_path / "ledger.json").write_text(json.dumps({**document, "schema_version": SCHEMA_VERSION + 1}))
    with pytest.raises(CorruptRun, match=rf"newer dlcli \(ledger schema {SCHEMA_VERSION + 1}\)"):
        Ledger.load(tmp_path)
    (tmp_path / "ledger.json").write_text(json.dumps({**document, "schema_version": SCHEMA_VERSION}))
    assert Ledger.load(tmp_path).status == "FINISHED"


def test_times_are_utc_and_keep_milliseconds() -> None:
    assert to_ms("2026-01-01T00:00:00.123+00:00") == 1767225600123
    assert now().endswith("+00:00")


def test_ledger_and_history_need_no_heavy_import() -> None:
    code = (
        "import sys, dlcli.tracking.history, dlcli.runs.find, dlcli.tracking.recorder, dlcli.tracking.reconcile;"
        "assert not {'mlflow', 'torch', 'pandas', 'requests', 'sqlalchemy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("value", "word"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (2, 2.0), (0.1, 0.1)],
)
def test_numbers_that_json_lacks_become_strings(value: float, word: float | str) -> None:
    assert encode_number(value) == word


@pytest.mark.parametrize("durable", [True, False, None])
def test_fsync_is_called_unless_disabled(
    tmp_path: Path, durable: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    options = {} if durable is None else {"durable": durable}
    atomic_write(tmp_path / "x", "text", **options)
    assert len(synced) == (durable is not False)
    ledger(tmp_path).update(**options)
    assert len(synced) == 2 * (durable is not False)
    assert all(isinstance(descriptor, int) for descriptor in synced)


def test_partial_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    class Slow:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, content: memoryview) -> int:
            return self.file.write(content[:3])

        def fileno(self) -> int:
            return self.file.fileno()

    monkeypatch.setattr(Path, "open", lambda self, *a, **options: Slow(opened(self, *a, **options)))
    atomic_write(tmp_path / "x", "some longer text")
    monkeypatch.undo()
    assert (tmp_path / "x").read_text() == "some longer text"


def test_unfinished_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[Path] = []
    monkeypatch.setattr("dlcli.files.unfinished.remove_abandoned", swept.append)
    atomic_write(tmp_path / "x", "")
    assert swept == [tmp_path]


def test_only_the_folder_itself_is_created(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a" / "x", "")
    atomic_write(tmp_path / "a" / "y", "")
    with pytest.raises(InputError):
        atomic_write(tmp_path / "b" / "c" / "x", "")
    assert not (tmp_path / "b").exists()


def document(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "ledger.json").read_text())


def test_changed_content_does_not_match_the_digest(tmp_path: Path) -> None:
    written = ledger(tmp_path)
    written.update(digests={"model": ["a" * 64]}, metrics={"loss": 0.5}, result={"at": Path("x")})
    assert Ledger.load(tmp_path).digests == {"model": ["a" * 64]}
    right = document(tmp_path)
    assert set(right["digests"]) == {"model", "ledger.json"}
    for change in (
        {"metrics": {"loss": 0.4}},
        {"digests": {**right["digests"], "model": ["b" * 64]}},
        {"digests": {"model": ["a" * 64]}},
        {"digests": {**right["digests"], "ledger.json": ["0" * 64]}},
    ):
        (tmp_path / "ledger.json").write_text(json.dumps({**right, **change}))
        with pytest.raises(CorruptRun, match="changed"):
            Ledger.load(tmp_path)
    again = {**right, "digests": None}
    (tmp_path / "ledger.json").write_text(json.dumps(again))
    assert Ledger.load(tmp_path).digests is None


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "../r2"},
        {"token": "a/b"},
        {"parent_id": ".."},
        {"run_id": ""},
        {"parent_id": ""},
        {"run_id": None},
        {"run_id": 5},
        {"experiment": None},
        {"kind": "other"},
        {"status": "DONE"},
        {"status": None},
        {"pid": "12"},
        {"metrics": []},
        {"metrics": {"loss": "low"}},
        {"tags": None},
        {"digests": []},
        {"schema_version": None},
        {"schema_version": "2"},
    ],
)
def test_invalid_values_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    ledger(tmp_path).update()
    (tmp_path / "ledger.json").write_text(json.dumps({**document(tmp_path), **change}))
    with pytest.raises(CorruptRun):
        Ledger.load(tmp_path)


@pytest.mark.parametrize("missing", ["run_id", "token", "metrics", "schema_version"])
def test_missing_fields_are_refused(tmp_path: Path, missing: str) -> None:
    ledger(tmp_path).update()
    found = document(tmp_path)
    del found[missing]
    (tmp_path / "ledger.json").write_text(json.dumps(found))
    with pytest.raises(CorruptRun):
        Ledger.load(tmp_path)


def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    written = ledger(tmp_path)
    written.update(pid=12, parent_id="p-1", former_runs_dir="/old")
    more = {**document(tmp_path), "run_dir": "/elsewhere", "of_tomorrow": 1}
    (tmp_path / "ledger.json").write_text(json.dumps(more))
    assert Ledger.load(tmp_path) == written


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("sqlite:////old/runs/mlflow.db", None),
        ("sqlite:////other/runs/mlflow.db", "sqlite:////other/runs/mlflow.db"),
        ("http://server", "http://server"),
        (None, None),
    ],
)
def test_locations_of_schema_1_are_removed(tmp_path: Path, uri: str | None, kept: str | None) -> None:
    """The address of the store in the runs folder is removed, so that the folder can be moved; others are kept."""
    ledger(tmp_path).update()
    old = {**document(tmp_path), "schema_version": 1, "runs_dir": "/old/runs", "tracking_uri": uri}
    (tmp_path / "ledger.json").write_text(json.dumps(old))
    found = Ledger.load(tmp_path)
    assert (found.former_runs_dir, found.tracking_uri) == ("/old/runs", kept)
    del old["runs_dir"]
    (tmp_path / "ledger.json").write_text(json.dumps(old))
    found = Ledger.load(tmp_path)
    assert (found.former_runs_dir, found.tracking_uri) == (None, uri)


def test_the_place_of_a_run(tmp_path: Path) -> None:
    found = ledger(tmp_path / "exp" / "r1" / "artifacts")
    assert found.runs_dir == tmp_path
    assert found.is_in_place
    assert found.sibling("r2") == tmp_path / "exp" / "r2" / "artifacts"
    assert not ledger(tmp_path / "exp" / "r2" / "artifacts").is_in_place
    assert not ledger(tmp_path / "exp" / "r1" / "copy").is_in_place
    for name in ("../r2", "", "a/b", "..", "."):
        with pytest.raises(CorruptRun) as refused:
            found.sibling(name)
        assert refused.value.problems[0].where == str(found.run_dir / "ledger.json")
    assert ledger(Path("/r1")).runs_dir == Path("/")
    assert found.store_uri.endswith("mlflow.db")
    found.tracking_uri = "http://server"
    assert found.store_uri == "http://server"


def test_added_tags_replace_those_of_the_same_name(tmp_path: Path) -> None:
    written = ledger(tmp_path)
    written.add_tags({"a": "1", "b": "2"})
    written.add_tags({"b": "3"})
    assert Ledger.load(tmp_path).tags == {"a": "1", "b": "3"}


def test_how_long_a_run_took(tmp_path: Path) -> None:
    run = ledger(tmp_path)
    start, end = "2026-01-01T00:00:00.250+00:00", "2026-01-01T00:01:01.750+00:00"
    assert run.seconds == 0
    run.ended_at = end
    assert run.seconds == 0
    run.started_at = start
    assert run.seconds == 61.5
    run.ended_at = None
    assert run.seconds == 0


@pytest.mark.parametrize("status", ["SCHEDULED", "RUNNING", "FINISHED", "FAILED", "KILLED"])
def test_a_run_is_unfinished_until_it_ends(tmp_path: Path, status: Any) -> None:
    run = ledger(tmp_path)
    run.status = status
    assert run.unfinished is (status in ("SCHEDULED", "RUNNING"))


def test_a_ledger_has_a_line_for_each_tag_and_metric(tmp_path: Path) -> None:
    ledger(tmp_path).update(tags={"a": "1", "b": "line\nbreak"}, about={"panel": {"data": "x"}}, metrics={})
    lines = (tmp_path / "ledger.json").read_text().splitlines()
    assert {'  "tags": {', '    "a": "1",', '    "b": "line\\nbreak"', '    "panel": {"data": "x"}'} < set(
        lines
    )
    assert '  "metrics": {},' in lines
    assert lines[0] == "{" and lines[-1] == "}"
