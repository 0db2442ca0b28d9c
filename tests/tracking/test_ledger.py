import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from dlcli.errors import CorruptRun, InputError
from dlcli.tracking.ledger import SCHEMA_VERSION, Ledger, atomic_write, now, to_ms


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


def test_the_file_is_strict_json_even_with_nan(tmp_path: Path) -> None:
    ledger(tmp_path).update(metrics={"a": math.nan})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads((tmp_path / "ledger.json").read_text(), parse_constant=refuse)
    assert document["schema_version"] == 2
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
