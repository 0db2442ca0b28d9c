"""Ledgers whose fields have other types or lengths than dlcli writes are refused with the field's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlcli.errors import CorruptRun
from dlcli.runs.folder import read_result
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.ledger_shape import invalid_fields

RESULT: dict[str, Any] = {
    "metrics": ["val/loss"], "messages": ["fine"], "duration_s": 1.5, "folds": ["a", "b"], "chosen": [{}, {}],
    "trials": [{"trial": 0}], "best": {"metrics": {"val/loss": 1.0}, "params": {}, "folds": 1}, "front": [0],
    "out_of_time": False, "best_run_id": None, "refit_run_id": "x",
}  # fmt: skip


MEMBER = {"run_id": "x", "run_name": "one", "count": 1}


def write(folder: Path, **changes: Any) -> Path:
    ledger = Ledger(
        folder, "id", "name", "experiment", "run", "token", metrics={"val/loss": 1.0}, result=RESULT
    )
    ledger.update()
    file = folder / LEDGER_FILE
    document = json.loads(file.read_text())
    for place, value in changes.items():
        *above, last = place.split("/")
        node = document
        for key in above:
            node = node[key]
        node[last] = value
    file.write_text(json.dumps(document))
    return folder


def test_a_ledger_as_it_is_written_is_read(tmp_path: Path) -> None:
    assert Ledger.load(write(tmp_path)).result == RESULT


WRONG: list[Any] = [1, -1, True, "", "x", "../x", [1], ["x"], [None], {"a": 1}, [{}], 1e400, None]


@pytest.mark.parametrize("name", list(RESULT))
def test_a_result_of_another_type_is_refused_by_name_or_can_be_used(tmp_path: Path, name: str) -> None:
    refused = 0
    for value in WRONG:
        changes = {"result/folds": [], "result/chosen": [], f"result/{name}": value}
        write(tmp_path, **changes)
        try:
            read_result(tmp_path)
        except CorruptRun as error:
            refused += f"the run's ledger is invalid: result.{name}" in str(error)
    assert refused >= 6


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"result/metrics": ["val/f1"]}, "result.metrics"),
        ({"result/chosen": [{}]}, "result.chosen"),
        ({"tags": {"dlcli.split_fingerprint": []}}, "tags"),
        ({"tags": {"dlcli.fold": "x"}}, "tags.dlcli.fold"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"ended_at": "later"}, "ended_at"),
        ({"projected": {"offset": -1}}, "projected.offset"),
        ({"projected": {"tags": 1}}, "projected.tags"),
        ({"run_name": "x" * 20_000}, "run_name"),
        ({"experiment": "x" * 20_000}, "experiment"),
        ({"error": "x" * 20_000}, "error"),
        ({"tags": {"x" * 20_000: "y"}}, "tags"),
        ({"tags": {"x": "y" * 20_000}}, "tags"),
        ({"tags": dict.fromkeys(map(str, range(20_000)), "")}, "tags"),
        ({"result/messages": ["x" * 200_000]}, "result.messages"),
        ({"result/messages": ["x"] * 20_000}, "result.messages"),
        ({"result/messages": {"fine": 1}}, "result.messages"),
        ({"result/folds": ["../x", "b"]}, "result.folds"),
        ({"result/front": [1 << 63]}, "result.front"),
        ({"result/front": [1.5]}, "result.front"),
        ({"result/best": {"metrics": {"val/loss": "low"}, "params": {}}}, "result.best"),
        ({"result/best": {"metrics": {}, "params": []}}, "result.best"),
        ({"result/best": {"metrics": {}, "params": {}, "folds": -1}}, "result.best"),
        ({"result/importances": {"x": "much"}}, "result.importances"),
        ({"result/importances": {"x" * 20_000: 1.0}}, "result.importances"),
        ({"result/members": [{**MEMBER, "count": 0}]}, "result.members"),
        ({"result/members": [{**MEMBER, "run_id": "../x"}]}, "result.members"),
        ({"about": {"words": {"a": 1}}}, "about.words"),
        ({"about": {"warnings": [{"where": "", "message": 1, "hint": ""}]}}, "about.warnings"),
        ({"about": {"profile": {"rows": -1}}}, "about.profile"),
        ({"about": {"profile": {"columns": {"x": 1}}}}, "about.profile"),
        ({"about": {"profile": {"targets": {"x": 1}}}}, "about.profile"),
        ({"about": {"profile": {"classes": {"a": -1}}}}, "about.profile"),
        ({"about": {"profile": {"classes": {"a" * 20_000: 1}}}}, "about.profile"),
    ],
)
def test_other_fields_are_refused_by_name(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    with pytest.raises(CorruptRun, match=f"the run's ledger is invalid: {field}"):
        Ledger.load(write(tmp_path, **change))


def test_digests_have_64_hexadecimal_digits() -> None:
    for digest, found in (
        ("a" * 64, []),
        ("512:" + "a" * 64, []),
        ("a" * 63, ["digests"]),
        ("a" * 65, ["digests"]),
    ):
        assert invalid_fields({"digests": {"split.npz": [digest]}}) == found


def test_a_task_of_ones_own_may_tune_facts_of_other_names(tmp_path: Path) -> None:
    tuned = {"my_cutoff": 0.4, "kept": "yes", "table": [[1, 2.5], [3, 4]]}
    assert Ledger.load(write(tmp_path, **{"result/tuned": tuned})).result["tuned"] == tuned
    with pytest.raises(CorruptRun, match=r"result\.tuned"):
        Ledger.load(write(tmp_path, **{"result/tuned": {"my_cutoff": {"a": 1}}}))
