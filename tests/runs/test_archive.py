"""Archives of runs: exported runs can be imported again, and an untrusted archive can do no harm."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import zipfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dlcli.cli.app import app
from dlcli.errors import CorruptRun, DlcliError, InputError
from dlcli.runs import archive, arrival
from dlcli.runs.archive import MANIFEST, unpack_archive, write_archive
from dlcli.runs.arrival import arrive
from dlcli.runs.inventory import list_runs
from dlcli.tracking.digests import digest
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.reconcile import reconcile
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import open_store
from dlcli.tracking.trash import TRASH, intents
from tests.runs.toy_ledgers import made

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a cross-validation and its fold."""
    folder = tmp_path_factory.mktemp("archived") / "runs"
    parent = None
    with open_store(folder) as store:
        for kind in ("cv", "fold"):
            run_dir = store.create_run(
                experiment="exp",
                run_name=kind,
                kind=kind,  # type: ignore[arg-type]
                params={"lr": 1},
                tags={"team": "red"},
                parent_id=parent,
                files={"config.yaml": "seed: 1\n", "plots/a.svg": "<svg/>"},
            )
            with Recorder(run_dir, system_metrics=False) as recorder:
                recorder.log({"val/loss": 0.5}, step=0)
                recorder.finish({"test/loss": 1.0}, result={"metrics": ["test/loss"]})
            (run_dir / "checkpoints").mkdir()
            (run_dir / "checkpoints" / "last.ckpt").write_bytes(b"state")
            parent = parent or run_dir.parent.name
    return folder


@pytest.fixture
def packed(runs_dir: Path, tmp_path: Path) -> Path:
    file = tmp_path / "runs.zip"
    write_archive(list_runs(runs_dir, NOW), file)
    return file


def dlcli(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["runs", *map(str, words)])


def contents(runs_dir: Path) -> dict[str, bytes]:
    files = (
        file for file in runs_dir.glob("exp/*/artifacts/**/*") if file.is_file() and file.name != LEDGER_FILE
    )
    return {str(file.relative_to(runs_dir)): file.read_bytes() for file in files}


def test_an_archive_of_runs_is_imported_unchanged(runs_dir: Path, tmp_path: Path) -> None:
    file, there = tmp_path / "all.zip", tmp_path / "there"
    done = dlcli("export", "cv", file, "--runs-dir", runs_dir)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("2 runs in ")
    with zipfile.ZipFile(file) as packed:
        assert {member.compress_type for member in packed.infolist()} == {zipfile.ZIP_DEFLATED}
    done = dlcli("import", file, "--runs-dir", there)
    assert done.exit_code == 0, done.output
    assert "2 runs added. Look at one: dlcli runs show" in done.stdout
    assert contents(there) == contents(runs_dir)
    with open_store(there) as store:
        for run_dir in there.glob("exp/*/artifacts"):
            ledger = Ledger.load(run_dir)
            run = store.client.get_run(ledger.run_id)
            assert (run.info.run_name, run.info.status) == (ledger.run_name, "FINISHED")
            assert (run.data.params, run.data.metrics["val/loss"]) == ({"lr": "1"}, 0.5)
            assert run.data.tags.get("mlflow.parentRunId") == ledger.parent_id
            assert ledger.tracking_uri is None
    document = json.loads(dlcli("import", file, "--runs-dir", there, "--json").stdout)
    assert (len(document["runs"]), len(document["there"])) == (0, 2)
    assert [run.name for run in list_runs(there, NOW)] == ["cv"]


def test_without_checkpoints(runs_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "light.zip"
    assert dlcli("export", "cv", file, "--no-checkpoints", "--runs-dir", runs_dir).exit_code == 0
    assert dlcli("import", file, "--runs-dir", tmp_path / "there").exit_code == 0
    assert not list(tmp_path.glob("there/exp/*/artifacts/checkpoints"))


def test_what_is_not_exported(runs_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "runs.zip"
    file.touch()
    with pytest.raises(InputError, match="exists already"):
        write_archive(list_runs(runs_dir, NOW), file)
    for words in (["cv"], ["my.zip", "cv"]):
        done = dlcli("export", *words, "--runs-dir", runs_dir)
        assert done.exit_code == 2
        assert "does not end with .zip" in done.stderr
        name = "runs.zip" if words == ["cv"] else "my.zip"
        assert f"dlcli runs export cv {name} --runs-dir {runs_dir}" in done.stderr.replace("\n", " ")
    made(tmp_path / "runs", "changed", digests={"config.yaml": [digest("seed: 1")]})
    with pytest.raises(CorruptRun, match="is missing"):
        write_archive(list_runs(tmp_path / "runs", NOW), tmp_path / "other.zip")
    assert not list(tmp_path.glob("*other*"))


def test_a_record_that_differs_is_not_replaced(packed: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    arrive(there, partial(unpack_archive, packed))
    run_dir = next(iter(sorted(there.glob("exp/*/artifacts"))))
    Ledger.load(run_dir).update(metrics={"test/loss": 2.0})
    with pytest.raises(InputError, match="there is another record of this run"):
        arrive(there, partial(unpack_archive, packed))
    dlcli("rm", "cv", "--yes", "--runs-dir", there)
    with pytest.raises(InputError, match="the run is in the trash"):
        arrive(there, partial(unpack_archive, packed))


def test_a_run_that_is_there_under_another_experiment(packed: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    arrive(there, partial(unpack_archive, packed))
    (there / "exp").rename(there / "other")
    with pytest.raises(InputError, match="there is a run of this ID in another experiment"):
        arrive(there, partial(unpack_archive, packed))
    (there / "other").rename(there / TRASH / "other")
    with pytest.raises(InputError, match="the run is in the trash"):
        arrive(there, partial(unpack_archive, packed))
    assert not (there / "exp").exists()


def test_mlflow_gets_all_of_a_run_that_it_has_in_part(packed: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    arrive(there, partial(unpack_archive, packed))
    dlcli("rm", "cv", "--yes", "--runs-dir", there)
    dlcli("gc", "--only", "trash", "--older-than", "0s", "--yes", "--runs-dir", there)
    with sqlite3.connect(there / "mlflow.db") as connection:
        for table in ("metrics", "latest_metrics", "params"):
            connection.execute(f"DELETE FROM {table}")
    arrived = arrive(there, partial(unpack_archive, packed))
    assert len(arrived.new) == 2
    with open_store(there) as store:
        for ledger in arrived.new:
            run = store.client.get_run(ledger.run_id)
            assert (run.info.lifecycle_stage, run.data.params) == ("active", {"lr": "1"})
            assert run.data.metrics["val/loss"] == 0.5


@pytest.mark.parametrize(
    "place", ["before the intent", "before the moves", "between the moves", "before MLflow"]
)
def test_a_kill_leaves_all_or_nothing(
    packed: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"

    class Killed(BaseException):
        pass

    with monkeypatch.context() as killed:
        if place == "before MLflow":

            def tell(*_: object) -> list[str]:
                raise Killed

            killed.setattr(arrival, "tell_mlflow", tell)
        else:
            left = [("before the intent", "before the moves", "between the moves").index(place)]

            def rename(path: Path, target: Path) -> Path:
                if not left[0]:
                    raise Killed
                left[0] -= 1
                path.replace(target)
                return target

            killed.setattr(Path, "rename", rename)
        with pytest.raises(Killed):
            arrive(there, partial(unpack_archive, packed))
    reconcile(there)
    arrived = list(there.glob("exp/*/artifacts"))
    assert len(arrived) == (0 if place == "before the intent" else 2)
    assert intents(there) == []
    arrive(there, partial(unpack_archive, packed))
    assert len(list(there.glob("exp/*/artifacts"))) == 2
    assert {path.name for path in (there / TRASH).iterdir()} == {".intents", ".lock"}
    with open_store(there) as store:
        for run_dir in there.glob("exp/*/artifacts"):
            assert store.client.get_run(run_dir.parent.name).info.status == "FINISHED"


def rewritten(packed: Path, change: Callable[[dict[str, bytes]], None], *, seal: bool = True) -> Path:
    """Return a copy of an archive with changed members; `seal` makes their list fit again."""
    with zipfile.ZipFile(packed) as source:
        members = {name: source.read(name) for name in source.namelist()}
    change(members)
    if seal:
        files = {name: [len(data), digest(data)] for name, data in members.items() if name != MANIFEST}
        members[MANIFEST] = json.dumps({"schema_version": 1, "files": files}).encode()
    target = packed.with_name("changed.zip")
    with zipfile.ZipFile(target, "w") as copy:
        for name, data in members.items():
            copy.writestr(name, data)
    return target


RUN = "a" * 32


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "exp/../../../evil",
        f"exp/{RUN}/artifacts/../../../../evil",
        f"exp/{RUN}/other/evil",
        f"exp/{RUN}/artifacts/.reserve",
        f".trash/{RUN}/artifacts/evil",
        f"exp/{RUN}/artifacts/a\\..\\evil",
        f"exp/{RUN}/artifacts//evil",
        f"exp/{RUN}/artifacts/a\x1b[2J",
        f"exp/{RUN}/artifacts/" + "x" * 300,
        "exp/" + "/x" * 60,
    ],
)
def test_names_that_lead_elsewhere(packed: Path, tmp_path: Path, name: str) -> None:
    def change(members: dict[str, bytes]) -> None:
        members[name] = b""

    before = list(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="names a place that is not a file of a run"):
        arrive(tmp_path / "there", partial(unpack_archive, rewritten(packed, change)))
    new = set(tmp_path.rglob("*")) - set(before)
    assert {path.relative_to(tmp_path).parts[0] for path in new} == {"there", "changed.zip"}
    assert not list((tmp_path / "there").glob("[!.]*"))


def test_an_archive_that_was_packed_again(packed: Path, runs_dir: Path, tmp_path: Path) -> None:
    """Other programs add folders."""
    with zipfile.ZipFile(packed) as source:
        source.extractall(tmp_path / "unpacked")
    again = shutil.make_archive(str(tmp_path / "again"), "zip", tmp_path / "unpacked")
    with zipfile.ZipFile(again) as file:
        assert any(member.is_dir() for member in file.infolist())
    arrive(tmp_path / "there", partial(unpack_archive, Path(again)))
    assert contents(tmp_path / "there") == contents(runs_dir)


def test_links_in_an_archive(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed, "a") as file:
        link = zipfile.ZipInfo(f"exp/{RUN}/artifacts/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="names a place"):
        arrive(tmp_path / "there", partial(unpack_archive, packed))


def test_an_archive_that_grows_beyond_measure(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_SMALL", 100_000)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"exp/{RUN}/artifacts/bomb", bytes(20_000_000))
    changed = rewritten(packed, lambda members: None)
    packed.unlink()
    with zipfile.ZipFile(changed) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name))
    with pytest.raises(InputError, match="would grow from"):
        arrive(tmp_path / "there", partial(unpack_archive, packed))


def test_damaged_and_changed_archives(packed: Path, tmp_path: Path) -> None:
    def one(members: dict[str, bytes], ending: str) -> str:
        return next(name for name in members if name.endswith(ending))

    def other_experiment(members: dict[str, bytes]) -> None:
        for name in [name for name in members if name != MANIFEST]:
            members[name.replace("exp/", "other/", 1)] = members.pop(name)

    def other_run(members: dict[str, bytes]) -> None:
        for name in [name for name in members if name != MANIFEST]:
            experiment, _, rest = name.split("/", 2)
            members[f"{experiment}/{RUN}/{rest}"] = members.pop(name)

    changes: dict[str, Callable[[dict[str, bytes]], object]] = {
        "differs from what was recorded": lambda x: x.update({one(x, "config.yaml"): b"seed: 2\n"}),
        "was changed: SHA-256 mismatch": lambda x: x.update(
            {one(x, LEDGER_FILE): x[one(x, LEDGER_FILE)].replace(b"FINISHED", b"FAILED")}
        ),
        "the run's ledger is missing": lambda x: x.pop(one(x, LEDGER_FILE)),
        "is not that of its run": other_run,
        "is not that of the experiment": other_experiment,
        "contains no run": lambda x: [x.pop(name) for name in list(x)],
    }
    for message, change in changes.items():
        with pytest.raises(DlcliError, match=message):
            arrive(tmp_path / "there", partial(unpack_archive, rewritten(packed, change)))  # type: ignore[arg-type]
    unsealed: dict[str, Callable[[dict[str, bytes]], object]] = {
        "differs from its digest": lambda x: x.update({one(x, "a.svg"): b"<svg>."}),
        "its list of files does not match": lambda x: x.update({f"exp/{RUN}/artifacts/more": b""}),
        "is not an archive of dlcli": lambda x: x.pop(MANIFEST),
    }
    for message, change in unsealed.items():
        with pytest.raises(DlcliError, match=message):
            arrive(tmp_path / "there", partial(unpack_archive, rewritten(packed, change, seal=False)))  # type: ignore[arg-type]
    assert not list((tmp_path / "there").glob("[!.]*"))


def test_files_that_are_not_archives(packed: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.zip"
    cut.write_bytes(packed.read_bytes()[:-200])
    fifo = tmp_path / "fifo.zip"
    os.mkfifo(fifo)
    for file in (cut, fifo, tmp_path, tmp_path / "missing.zip"):
        done = dlcli("import", file, "--runs-dir", tmp_path / "there")
        assert done.exit_code == 2, (file, done.output)
        assert done.stderr.startswith("error: ")


def test_a_damaged_archive_is_refused_or_imported_unchanged(
    runs_dir: Path, packed: Path, tmp_path: Path
) -> None:
    """Whatever is damaged, the archive is refused by name, or the record arrives as it was."""
    data = packed.read_bytes()
    whole = contents(runs_dir)
    for place in range(7, len(data), len(data) // 40):
        packed.write_bytes(flipped(data, place))
        there = tmp_path / f"there-{place}"
        try:
            arrive(there, partial(unpack_archive, packed))
        except DlcliError:
            assert not list(there.glob("[!.]*"))
        else:
            assert contents(there) == whole


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def test_each_byte_of_a_small_archive_may_be_damaged(tmp_path: Path) -> None:
    name, content = f"exp/{RUN}/artifacts/a.txt", b"a line of a record\n" * 9
    file = tmp_path / "tiny.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as tiny:
        tiny.writestr(name, content)
        files = {name: [len(content), digest(content)]}
        tiny.writestr(MANIFEST, json.dumps({"schema_version": 1, "files": files}))
    data = file.read_bytes()
    for place in range(len(data)):
        file.write_bytes(flipped(data, place))
        there = tmp_path / f"there-{place}"
        there.mkdir()
        with suppress(InputError):
            unpack_archive(file, there)
            assert (there / name).read_bytes() == content


def test_archives_compressed_otherwise(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_LZMA) as file:
        file.writestr(f"exp/{RUN}/artifacts/a", bytes(1000))
    with pytest.raises(InputError, match="compressed by another method than Deflate"):
        arrive(tmp_path / "there", partial(unpack_archive, packed))
