"""Pipes, devices and decompression bombs in place of a run's files: every command refuses them at once, by name."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import dlcli
from dlcli.completion.candidates import candidates
from dlcli.errors import CorruptRun, DlcliError
from dlcli.files.regular import open_regular, os_reason, read_regular
from dlcli.gate.arrays import check_stored
from dlcli.inference.evaluation import OUTPUTS, load_outputs
from dlcli.inference.predictions_file import read_predictions
from dlcli.runner.resume import resume
from dlcli.runs.folder import open_run
from dlcli.splits.split import Split
from dlcli.tracking.history import HISTORY_FILE, HistoryWriter, read_history
from dlcli.training.epoch_state import LAST, find_progress

WORDS = ["dataset=iris", "model=mlp", "model.hidden=4", "trainer.max_epochs=2", "trainer.accelerator=cpu",
         "callbacks=none"]  # fmt: skip


def fifo(file: Path) -> None:
    file.unlink(missing_ok=True)
    os.mkfifo(file)


def device(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.symlink_to("/dev/zero")


def sparse(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.touch()
    os.truncate(file, 1 << 40)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("special")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return dlcli.train([*WORDS, "runs_dir=runs"]).run_dir


@pytest.fixture
def foreign(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run, without digests, as if an earlier dlcli had made it, that was killed and has no model."""
    runs_dir = tmp_path / "runs"
    shutil.copytree(run.parents[2], runs_dir)
    monkeypatch.chdir(tmp_path)
    folder = runs_dir / run.relative_to(run.parents[2])
    forget(folder)
    return folder


def forget(folder: Path, **changes: object) -> None:
    file = folder / "ledger.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "digests": None, **changes}))
    for manifest in folder.glob("*/digests.json"):
        manifest.unlink()


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    """A test that waits for a pipe, or reads without an end, fails instead."""

    def stop(*_: object) -> None:
        raise AssertionError("it waits, or reads without an end")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    space = resource.getrlimit(resource.RLIMIT_AS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, space)


READ = [
    "ledger.json", "config.yaml", "overrides.txt", "conf_dirs.txt", "split.npz", "seal.json", "code/x.py",
    "predictions.parquet", "metrics.jsonl", "model/digests.json", "model/model.json", "model/labels.json",
    "model/weights.safetensors", "model/preprocessing.skops", "checkpoints/digests.json", "checkpoints/last.ckpt",
]  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_no_command_waits_for_a_file_of_a_run(foreign: Path, name: str) -> None:
    runs_dir = foreign.parents[2]
    works: list[Callable[[], object]] = [
        lambda: open_run(str(foreign), runs_dir).load_model(),
        lambda: read_predictions(foreign),
        lambda: resume(str(foreign), ["trainer.max_epochs=3"], runs_dir=runs_dir),
    ]
    file = foreign / name
    file.parent.mkdir(exist_ok=True)
    for make in (fifo, device):
        if name.startswith("checkpoints") and (foreign / "model").exists():
            shutil.rmtree(foreign / "model")
            forget(foreign, status="KILLED")
        make(file)
        refusals = []
        for work in works:
            try:
                work()
            except DlcliError as error:
                refusals.append(str(error))
        ignored = name in ("seal.json", "conf_dirs.txt", "code/x.py")
        assert ignored or any(Path(name).name in text for text in refusals), (make, refusals)
        assert [found.value for found in candidates(["eval"], "last")] == ["last"]


@pytest.mark.parametrize(
    "name", ["ledger.json", "config.yaml", "model/digests.json", "split.npz", "metrics.jsonl"]
)
def test_a_file_that_is_larger_than_memory_is_not_read(foreign: Path, name: str) -> None:
    sparse(foreign / name)
    with pytest.raises(CorruptRun, match=Path(name).name):
        resume(str(foreign), ["trainer.max_epochs=3"], runs_dir=foreign.parents[2])
        open_run(str(foreign), foreign.parents[2]).load_model()


def test_a_link_within_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b", 1) == b"x"
    (tmp_path / "a").write_text("xy")
    with pytest.raises(OSError, match="is larger than 1 B"):
        read_regular(tmp_path / "b", 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (fifo, "is not a regular file"),
        (device, "is not a regular file"),
        (Path.mkdir, "is a folder, but should be a file"),
        (lambda file: None, "is missing"),
        (lambda file: file.symlink_to(file.name), "cannot be read: too many levels of symbolic links"),
    ],
)
def test_only_regular_files_are_opened(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    make(tmp_path / "f")
    with pytest.raises(OSError) as caught:
        open_regular(tmp_path / "f")
    assert os_reason(caught.value) == reason


@pytest.mark.parametrize("make", [fifo, device, sparse])
def test_a_file_that_is_not_a_history_is_neither_read_nor_written(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / HISTORY_FILE)
    with pytest.raises(CorruptRun):
        list(read_history(tmp_path))
    if make is not sparse:
        with pytest.raises(CorruptRun):
            HistoryWriter(tmp_path)


def test_a_long_history_loses_its_incomplete_line_only(tmp_path: Path) -> None:
    line = b'{"step": 1, "time_ms": 1, "metrics": {"a": 1}}\n'
    for torn in (b"", b"{", b"x" * 200_000):
        (tmp_path / HISTORY_FILE).write_bytes(line * 10 + torn)
        HistoryWriter(tmp_path).close()
        assert (tmp_path / HISTORY_FILE).read_bytes() == line * 10
    (tmp_path / HISTORY_FILE).write_bytes(b"x" * 200_000)
    HistoryWriter(tmp_path).close()
    assert (tmp_path / HISTORY_FILE).read_bytes() == b""


def bomb(file: Path, **shapes: tuple[tuple[int, ...], str]) -> None:
    """An .npz file of zeros, written without having them in memory."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, (shape, kind) in shapes.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {"descr": kind, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                left = int(np.prod(shape)) * np.dtype(kind).itemsize
                while left > 0:
                    left -= member.write(bytes(min(left, 1 << 20)))


SMALL = ((1,), "<i8")


@pytest.mark.parametrize("rows", [None, 150])
def test_a_split_that_unpacks_to_more_than_it_can_be_is_refused(tmp_path: Path, rows: int | None) -> None:
    file = tmp_path / "split.npz"
    bomb(file, train=((4_000_000,), "<i8"), val=SMALL, test=SMALL)
    with pytest.raises(CorruptRun, match="it has 4,000,002 rows, more than it can have"):
        Split.load(file, rows)


def test_a_header_with_a_false_size_is_refused(tmp_path: Path) -> None:
    file, buffer = tmp_path / "split.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<i8", "fortran_order": False, "shape": (1 << 50,)}
    )
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("train", "val", "test"):
            archive.writestr(f"{name}.npy", buffer.getvalue() + bytes(8))
    with pytest.raises(CorruptRun, match="train has another size than its header says"):
        Split.load(file)


def test_a_large_split_is_read(tmp_path: Path) -> None:
    file, rows = tmp_path / "split.npz", np.arange(1_000_000)
    file.write_bytes(Split(rows[:900_000], rows[900_000:950_000], rows[950_000:]).to_bytes())
    assert Split.load(file, 1_000_000).sizes == {"train": 900_000, "val": 50_000, "test": 50_000}


@pytest.mark.parametrize(
    ("rows", "outputs", "reason"),
    [
        (((4_000_000,), "<i8"), ((4_000_000, 2), "<f4"), "it does not have the 3 rows of the fold"),
        (((3,), "<i8"), ((3, 1_000_000), "<f4"), "it has more than 100,000 outputs per row"),
        (((3,), "<i8"), ((3, 2), "<f4"), "it has other rows than the fold"),
        (((3,), "<f8"), ((3, 2), "<f4"), "it does not contain row numbers and outputs"),
    ],
)
def test_outputs_that_a_fold_cannot_have_are_refused(
    tmp_path: Path, rows: tuple[tuple[int, ...], str], outputs: tuple[tuple[int, ...], str], reason: str
) -> None:
    bomb(tmp_path / OUTPUTS, rows=rows, outputs=outputs)
    with pytest.raises(CorruptRun, match=reason):
        load_outputs(tmp_path, np.array([1, 2, 3]))


def test_predictions_of_more_lines_than_rows_are_refused(foreign: Path) -> None:
    file = foreign / "predictions.parquet"
    lines = 3_000_000
    pd.DataFrame({"row": np.zeros(lines, int), "split": "test", "prediction": "a", "target": "a"}).to_parquet(
        file
    )
    with pytest.raises(CorruptRun, match=f"they have {lines:,} lines, but the split has 150 rows"):
        read_predictions(foreign)


def test_texts_of_predictions_are_measured_before_they_are_repeated(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = foreign / "predictions.parquet"
    rows = np.resize(Split.load(foreign / "split.npz").test, 1500)
    table = pd.DataFrame({"row": rows, "split": "test", "prediction": "x" * 100_000})
    table.to_parquet(file)
    assert file.stat().st_size < 100_000
    assert len(read_predictions(foreign)) == 1500
    monkeypatch.setattr("dlcli.gate.arrays.free_memory", lambda: 100_000_000)
    with pytest.raises(CorruptRun, match="their content takes 300 MB of memory, of which 100 MB are free"):
        read_predictions(foreign)


def test_a_checkpoint_with_compressed_contents_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(ValueError, match="it has compressed contents"):
        check_stored(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("finished_epochs", "q"),
        ("finished_epochs", -1),
        ("best_epoch", "x"),
        ("best_value", []),
        ("stopped", None),
        ("loops", {}),
        ("optimizer_states", {}),
        ("lr_schedulers", 1),
        ("state_dict", []),
        ("callbacks", {}),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(foreign: Path, name: str, value: object) -> None:
    file = foreign / "checkpoints" / LAST
    checkpoint = torch.load(file, weights_only=True)
    state = checkpoint["callbacks"]["Checkpoints"]
    (state if name in state else checkpoint)[name] = value
    torch.save(checkpoint, file)
    with pytest.raises(CorruptRun, match="the checkpoint cannot be read"):
        find_progress(file.parent, "", best=False)
