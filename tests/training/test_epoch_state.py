"""Progress of a checkpoint, and the part of each rank."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from dlcli.errors import CorruptRun
from dlcli.tracking.manifest import Manifest
from dlcli.training import epoch_state
from dlcli.training.epoch_state import (
    LAST,
    PREVIOUS,
    ResumePoint,
    all_parts,
    best_name,
    find_progress,
    own_part,
    random_state,
    set_random_state,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("max_epochs", "reached"), [(None, False), (-1, False), (0, True), (2, True), (3, True), (4, False)]
)
def test_progress_of_three_epochs(max_epochs: int | None, reached: bool) -> None:
    assert ResumePoint(Path(LAST), 3, False, {}).reaches(max_epochs) is reached
    assert ResumePoint(Path(LAST), 3, True, {}).reaches(max_epochs) is True


def part(number: int) -> dict[str, Any]:
    return {"rows": 10, "metrics": {"loss": 0.5}, "lr": 0.1, "losses": torch.tensor([float(number)])}


def as_bytes(state: dict[str, Any]) -> torch.Tensor:
    file = io.BytesIO()
    torch.save(state, file)
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def test_each_rank_gets_its_own_part() -> None:
    parts = [as_bytes(part(number)) for number in range(3)]
    for rank in range(3):
        assert own_part(parts, rank, 3, CPU)["losses"].tolist() == [rank]
    alone = all_parts(part(7), CPU)
    assert own_part(alone, 0, 1, CPU)["losses"].tolist() == [7]


def test_counts_of_another_number_of_ranks_are_left_out() -> None:
    expected = {"rows": 10, "metrics": {"loss": 0.5}, "lr": 0.1}
    assert own_part([as_bytes(part(number)) for number in range(3)], 1, 2, CPU) == expected
    assert own_part([as_bytes(part(number)) for number in range(2)], 0, 1, CPU) == expected
    assert own_part(part(0), 1, 2, CPU) == expected


def test_random_state_is_restored() -> None:
    torch.manual_seed(3)
    state = random_state()
    drawn = torch.rand(4)
    torch.rand(9)
    set_random_state(state)
    assert torch.equal(torch.rand(4), drawn)


def written(folder: Path, name: str, epochs: int, best: int | None = None) -> None:
    state = {"finished_epochs": epochs, "stopped": False, "best_epoch": best, "best_value": 0.5}
    rest = {"state_dict": {}, "loops": {"fit_loop": {}}, "optimizer_states": [], "lr_schedulers": []}
    torch.save({"callbacks": {"Checkpoints": state}, **rest}, folder / name)


def recorded(folder: Path, *names: str) -> None:
    manifest = Manifest.for_writing(folder, "r1")
    for name in names:
        (folder / "partial").write_bytes((folder / name).read_bytes())
        manifest.replace({name: folder / "partial"})


def test_without_checkpoints_there_is_no_progress(tmp_path: Path) -> None:
    assert find_progress(tmp_path, "r1") is None


def test_the_last_checkpoint_contains_its_progress(tmp_path: Path) -> None:
    written(tmp_path, LAST, 4, best=2)
    written(tmp_path, PREVIOUS, 3, best=2)
    (tmp_path / best_name(2)).write_bytes(b"weights")
    recorded(tmp_path, LAST, PREVIOUS, best_name(2))
    found = find_progress(tmp_path, "r1")
    assert found is not None
    assert (found.file, found.finished_epochs, found.stopped) == (tmp_path / LAST, 4, False)
    assert (found.checkpoints["best_epoch"], found.note) == (2, "")


@pytest.mark.parametrize("missing", [True, False])
def test_a_damaged_checkpoint_is_replaced_by_the_previous_one(missing: bool, tmp_path: Path) -> None:
    written(tmp_path, LAST, 4)
    written(tmp_path, PREVIOUS, 3)
    recorded(tmp_path, LAST, PREVIOUS)
    (tmp_path / LAST).unlink() if missing else (tmp_path / LAST).write_bytes(b"torn")
    found = find_progress(tmp_path, "r1")
    assert found is not None
    assert (found.file, found.finished_epochs) == (tmp_path / PREVIOUS, 3)
    assert found.note.count(LAST) == 1


def test_best_weights_are_checked_unless_disabled(tmp_path: Path) -> None:
    written(tmp_path, LAST, 4, best=2)
    (tmp_path / best_name(2)).write_bytes(b"weights")
    recorded(tmp_path, LAST, best_name(2))
    (tmp_path / best_name(2)).write_bytes(b"damaged")
    with pytest.raises(CorruptRun) as refused:
        find_progress(tmp_path, "r1")
    assert refused.value.problems[0].where == str(tmp_path / best_name(2))
    found = find_progress(tmp_path, "r1", best=False)
    assert found is not None
    assert found.finished_epochs == 4


def test_a_checkpoint_of_an_earlier_version_is_read_without_a_digest(tmp_path: Path) -> None:
    written(tmp_path, LAST, 2, best=1)
    found = find_progress(tmp_path, "r1")
    assert found is not None
    assert found.finished_epochs == 2
    (tmp_path / LAST).write_bytes(b"torn")
    with pytest.raises(CorruptRun) as refused:
        find_progress(tmp_path, "r1", "Start over by hand.")
    assert refused.value.problems[0].where == str(tmp_path / LAST)
    assert refused.value.problems[0].hint == "Start over by hand."


def test_all_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    written(tmp_path, LAST, 4)
    written(tmp_path, PREVIOUS, 3)
    recorded(tmp_path, LAST, PREVIOUS)
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes(b"torn")
    with pytest.raises(CorruptRun) as refused:
        find_progress(tmp_path, "r1")
    assert [problem.where for problem in refused.value.problems] == [
        str(tmp_path / LAST),
        str(tmp_path / PREVIOUS),
    ]


def test_names_of_best_weights_sort_by_epoch() -> None:
    names = [best_name(epoch) for epoch in (0, 9, 10, 999, 1000)]
    assert names == sorted(set(names))


class Malicious:
    """An object that creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


def test_checkpoints_are_not_unpickled(tmp_path: Path) -> None:
    state = {"finished_epochs": 1, "stopped": False, "best_epoch": None, "x": Malicious(tmp_path / "ran")}
    torch.save({"callbacks": {"Checkpoints": state}}, tmp_path / LAST)
    with pytest.raises(CorruptRun):
        find_progress(tmp_path, "r1")
    with pytest.raises(pickle.UnpicklingError):
        own_part([as_bytes(state)], 0, 1, CPU)
    assert not (tmp_path / "ran").exists()


def test_the_parts_of_all_ranks_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    devices: list[torch.device] = []

    def gather(content: bytes, device: torch.device) -> list[bytes]:
        devices.append(device)
        return [bytes(as_bytes(part(5)).numpy()), content]

    monkeypatch.setattr(epoch_state, "is_group", lambda: True)
    monkeypatch.setattr(epoch_state, "all_gather_bytes", gather)
    parts = all_parts(part(6), CPU)
    assert devices == [CPU]
    assert [own_part(parts, rank, 2, CPU)["losses"].tolist() for rank in range(2)] == [[5], [6]]


def test_the_seed_of_the_cpu_is_that_of_all_devices() -> None:
    for seed in (0, 2**63 + 5):
        epoch_state.seed_device(torch.device("cpu"), seed)
        drawn = torch.rand(3)
        torch.manual_seed(seed)
        assert torch.equal(torch.rand(3), drawn)
