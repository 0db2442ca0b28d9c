"""`dlcli reproduce` and `dlcli train --like`: a new run of a recorded configuration, and its differences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from dlcli import sweep, train
from dlcli.cli.app import app
from dlcli.comparison.reproduction import (
    Change,
    code_changes,
    compare_repetition,
    environment_changes,
    machine_changes,
)
from dlcli.config.kept_words import kept_words
from dlcli.cross_validation.children import PLACE_TAG
from dlcli.errors import CorruptRun, DataError, InputError
from dlcli.gate.seal import SEAL_FILE
from dlcli.runner.reproduce import reproduce
from dlcli.tracking.digests import digest
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.run_provenance import environment_txt
from tests.runs.toy_ledgers import made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of a table, and with its data."""
    folder = tmp_path_factory.mktemp("reproduced")
    rows = [f"{i},{(i * 7) % 11},{'ab'[i % 3 == 0]}" for i in range(60)]
    (folder / "rows.csv").write_text("x,y,label\n" + "\n".join(rows) + "\n")
    data = ["dataset=table", f"dataset.path={folder}/rows.csv", "dataset.target=label"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train([*data, "model=mlp", "model.hidden=4", "trainer=debug", "run_name=first"])
    return folder


def dlcli(*words: str) -> Result:
    return CliRunner().invoke(app, [*words])


def test_the_same_machine_gives_the_same_weights(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    done = dlcli("reproduce", "first", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    found = document["reproduction"]
    assert (found["weights"], found["figures"], found["differences"]) == ("equal", True, {})
    assert found["verdict"][0] == "The weights are equal bit for bit."
    assert (found["environment"], found["code"]) == ([], [])
    new = Ledger.load(Path(document["run_dir"]))
    assert new.tags["dlcli.reproduces"] == found["run_id"] != new.run_id
    assert new.run_name.startswith("first-")
    assert f"  reproduces: {found['run_id']}" in " ".join(dlcli("show", new.run_id).stdout.split()).replace(
        "reproduces:", "  reproduces:"
    )


def test_changes_are_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (old,) = [Ledger.load(path) for path in project.glob("runs/by-name/first")]
    ledger = Ledger.load(project / "runs" / old.experiment / old.run_id / "artifacts")
    text = environment_txt() + "gone==1.0\n"
    (ledger.run_dir / "environment.txt").write_text(text.replace("torch==", "torch==9."))
    before = dict(ledger.metrics), dict(ledger.digests or {})
    ledger.update(
        digests={**before[1], "environment.txt": [digest((ledger.run_dir / "environment.txt").read_bytes())]},
        metrics={**before[0], "test/accuracy": before[0]["test/accuracy"] + 0.5},
    )
    done = dlcli("reproduce", "first")
    ledger.update(metrics=before[0])
    assert done.exit_code == 0, done.output
    assert "Package torch: 9." in done.output
    assert "Package gone: 1.0, now not there." in done.output
    assert "1 figure of " in done.output
    assert "--seeds 5 measures their effect." in done.output


def test_one_seed_is_refused_before_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    before = len(list(project.glob("runs/*/*/artifacts")))
    done = dlcli("reproduce", "first", "--seeds", "1")
    assert done.exit_code == 2
    assert "one seed gives no variation" in done.stderr
    assert len(list(project.glob("runs/*/*/artifacts"))) == before


def test_other_rows_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    other = project / "other.csv"
    other.write_text((project / "rows.csv").read_text().replace("\n1,", "\n2,", 1))
    before = len(list(project.glob("runs/*/*/artifacts")))
    with pytest.raises(DataError, match="the data differs from that of the run"):
        reproduce("first", [f"dataset.path={other}"])
    assert len(list(project.glob("runs/*/*/artifacts"))) == before


def test_a_run_from_elsewhere_passes_the_gate(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    run_dir = next(iter(project.glob("runs/by-name/first"))).resolve()
    config, seal = run_dir / "config.yaml", (run_dir / SEAL_FILE).read_text()
    text = config.read_text()
    (run_dir / SEAL_FILE).write_text("{}")
    config.write_text(text.replace("dlcli.models.mlp.MLP", "os.system"))
    ledger = Ledger.load(run_dir)
    kept = dict(ledger.digests or {})
    ledger.update(digests={**kept, "config.yaml": [digest(config.read_bytes())]})
    try:
        for words in (["reproduce", "first"], ["train", "--like", "first"]):
            done = dlcli(*words)
            assert done.exit_code == 1, done.output
            assert "model._target_ names code outside dlcli: os.system" in done.stderr
    finally:
        config.write_text(text)
        (run_dir / SEAL_FILE).write_text(seal)
        ledger.update(digests=kept)


def test_a_run_is_trained_like_another_one_with_changes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    done = dlcli("train", "--like", "first", "model.layers=3", "--name", "second", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert "Like first (" in done.stderr
    run_dir = Path(document["run_dir"])
    words = (run_dir / "overrides.txt").read_text().splitlines()
    assert words[2:] == [
        "dataset.target=label",
        "model=mlp",
        "model.hidden=4",
        "trainer=debug",
        "model.layers=3",
        "run_name='second'",
    ]
    assert document["run_name"] == "second"
    first = Ledger.load(next(iter(project.glob("runs/by-name/first"))))
    assert Ledger.load(run_dir).tags["dlcli.like"] == first.run_id


def test_an_option_leaves_out_the_keys_of_another() -> None:
    kept, notes = kept_words(
        ["model=mlp", "model.hidden=3", "optimizer.lr=1", "seed=2"], ["model=cnn", "seed=3"]
    )
    assert kept == ["optimizer.lr=1"]
    assert notes == ["Left out, since the option changes: model.hidden=3"]
    assert kept_words(["model.hidden=3"], ["model.hidden=4"]) == ([], [])
    assert kept_words(["task=regression", "task/loss=huber"], ["task=multiclass"]) == (
        [],
        ["Left out, since the option changes: task/loss=huber"],
    )


@pytest.mark.parametrize(
    ("recorded", "override", "kept"),
    [
        (
            ["dataset=table", "dataset.path=a.csv"],
            "dataset={drop: [z]}",
            ["dataset=table", "dataset.path=a.csv"],
        ),
        (["optimizer=sgd", "optimizer.lr=1"], "optimizer={lr: 0.5}", ["optimizer=sgd"]),
        (["optimizer={lr: 1}"], "optimizer={lr: 0.5}", []),
        (["optimizer={lr: 1, momentum: 0.9}"], "optimizer.lr=0.5", ["optimizer={lr: 1, momentum: 0.9}"]),
        (["dataset=table"], "dataset={}", ["dataset=table"]),
        (["dataset.types={a: date}"], "dataset.types={b: date}", []),
    ],
)
def test_a_mapping_of_keys_changes_no_option(recorded: list[str], override: str, kept: list[str]) -> None:
    assert kept_words(recorded, [override]) == (kept, [])


def test_runs_that_cannot_be_reproduced_are_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    ledger = Ledger.load(next(iter(project.glob("runs/by-name/first"))).resolve())
    for changes, message, seeds in (
        ({"status": "KILLED"}, "the run is KILLED", 0),
        ({"kind": "sweep"}, "a search is not repeated with other seeds", 2),
    ):
        before = {name: getattr(ledger, name) for name in changes}
        ledger.update(**changes)
        try:
            with pytest.raises(InputError, match=message):
                reproduce("first", seeds=seeds)
        finally:
            ledger.update(**before)


def test_a_sweep_is_searched_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    data = ["dataset=table", "dataset.path=rows.csv", "dataset.target=label", "model=mlp", "trainer=debug"]
    words = [
        *data,
        "model.hidden=int(interval(2,9))",
        "sweep.trials=2",
        "sweep/sampler=random",
        "executor.jobs=1",
    ]
    old = sweep([*words, "run_name=search"])
    done = dlcli("reproduce", "search", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    found = document["reproduction"]
    assert (found["trials"], found["weights"], found["figures"]) == ([], "equal", True)
    assert "All 2 trials have the same settings and values" in " ".join(found["verdict"])
    assert document["run_id"] != old.run_id and len(document["trials"]) == 2
    new = Ledger.load(Path(document["run_dir"]))
    assert new.tags["dlcli.reproduces"] == old.run_id and new.kind == "sweep"
    changed = {**new.result, "trials": [{**new.result["trials"][0], "value": 9.0}, new.result["trials"][1]]}
    new.update(result=changed)
    other = compare_repetition(Ledger.load(old.run_dir), new, [], None, [])
    assert other.trials == (0,)
    assert "1 trial of 2 has other settings or another value: 0." in " ".join(other.verdict)


def test_folds_search_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    data = ["dataset=table", "dataset.path=rows.csv", "dataset.target=label", "model=mlp", "trainer=debug"]
    nested = [
        "cv=nested",
        "cv.folds=2",
        "cv.inner_folds=2",
        "cv.space={model.hidden:[2,3]}",
        "executor.jobs=1",
    ]
    train([*data, *nested, "run_name=nested"])
    result, found = reproduce("nested")
    assert found.weights == "equal" and found.figures
    assert "All 2 folds chose the same settings." in found.verdict
    assert len(result.folds) == 2


def with_weights(ledger: Ledger, values: list[float]) -> Ledger:
    (ledger.run_dir / "model").mkdir()
    save_file({"w": torch.tensor(values)}, ledger.run_dir / "model" / "weights.safetensors")
    return ledger


def pair(tmp_path: Path, then: float, now: float) -> tuple[Ledger, Ledger]:
    old = with_weights(made(tmp_path, "old", figures={"test/loss": 1.0, "test/accuracy": then}), [1.0, 2.0])
    new = with_weights(made(tmp_path, "new", figures={"test/loss": 1.0, "test/accuracy": now}), [1.0, 2.5])
    return old, new


def test_differences_of_a_repetition_are_measured(tmp_path: Path) -> None:
    found = compare_repetition(*pair(tmp_path, 0.9, 0.8), [Change("torch", "1", "2")], [], [])
    assert (found.weights, found.largest_weight_difference) == ("differ", 0.5)
    assert found.differences == {"test/accuracy": (0.9, 0.8)}
    assert found.within_seeds is None
    assert found.verdict[0] == "The weights differ, by at most 0.5000."
    assert found.verdict[1] == "1 figure of 2 differ: test/accuracy 0.9000, now 0.8000."


def test_the_number_of_runs_with_equal_weights_is_counted(tmp_path: Path) -> None:
    """Of three folds, one has not kept its weights, and one is missing in the repetition."""
    wholes = []
    for name, folds in (("old", 3), ("new", 2)):
        cv = made(tmp_path, name, kind="cv")
        for i in range(folds):
            tags = {PLACE_TAG: str(i)}
            fold = made(tmp_path, f"{name}-fold-{i}", kind="fold", parent_id=cv.run_id, tags=tags)
            if i != 1 or name == "old":
                with_weights(fold, [1.0])
        wholes.append(cv)
    found = compare_repetition(*wholes, [], [], [])
    assert (found.weights, found.weights_of) == ("equal", (1, 3))
    of_all = "The weights of 1 of 3 runs are equal bit for bit; those of the others cannot be compared."
    assert found.verdict[0] == of_all


def test_a_metric_that_is_not_a_number(tmp_path: Path) -> None:
    seeds = [made(tmp_path, f"s{i}", figures={"test/accuracy": 0.9 + 0.01 * i}) for i in range(3)]
    found = compare_repetition(*pair(tmp_path, 0.9, float("nan")), [], [], seeds)
    assert found.within_seeds is None
    assert "not a finite number" in found.verdict[2]


@pytest.mark.parametrize(("gap", "within"), [(0.01, True), (0.2, False)])
def test_what_seeds_explain(tmp_path: Path, gap: float, within: bool) -> None:
    seeds = [made(tmp_path, f"s{i}", figures={"test/accuracy": 0.9 + 0.01 * i}) for i in range(3)]
    found = compare_repetition(*pair(tmp_path, 0.9, 0.9 - gap), [], [], seeds)
    assert found.within_seeds is within
    assert ("no more than" if within else "more than seeds explain") in found.verdict[2]
    # t(0.975, 2) = 4.3027, s = 0.01
    assert "0.06085 in 95 %" in found.verdict[2]


def test_code_environment_and_machine(tmp_path: Path) -> None:
    old = made(tmp_path, "old", digests={"code/mine.py": [digest("a")], "code/gone.py": [digest("b")]})
    found = code_changes(old, {"mine.py": b"A", "new.py": b"c"})
    assert found is not None
    changes = {change.name: change for change in found}
    assert code_changes(made(tmp_path, "without", digests=None), {"mine.py": b"a"}) is None
    assert changes.keys() == {"mine.py", "gone.py", "new.py"}
    assert changes["gone.py"].now is changes["new.py"].was is None
    assert code_changes(old, {"mine.py": b"a", "gone.py": b"b"}) == []
    with pytest.raises(CorruptRun):
        environment_changes(made(tmp_path, "none", digests={"environment.txt": [digest("")]}))
    new = made(tmp_path, "new", tags={"dlcli.host": "here", "dlcli.version": "1"})
    old.update(tags={"dlcli.host": "there", "dlcli.version": "1"})
    assert machine_changes(old, new) == [Change("host", "there", "here")]
