"""Commands in this process: output, exit codes, `--json`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dlcli.cli.app import app

QUICK = ["dataset=iris", "model=mlp", "model.hidden=16", "trainer.max_epochs=3", "trainer.accelerator=cpu"]


def dlcli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trained(runs: Path) -> Result:
    return dlcli("train", *QUICK, "run_name=told", "--runs-dir", str(runs))


def test_train_shows_its_settings_and_its_results(trained: Result, runs: Path) -> None:
    assert trained.exit_code == 0, trained.output
    for text in (
        "iris: 150 rows, 3 classes",
        "102 train, 18 val, 30 final test",
        "MLP, 403 parameters",
        "fitted on 102 of 150 rows; 0 validation or test rows seen",
        "multiclass, loss CrossEntropy",
        "told, best epoch",
        "accuracy",
        ", baseline 0.3333",
        f"Look at it with: dlcli ui --runs-dir {runs}",
    ):
        assert text in trained.stdout, text
    assert "\x1b" not in trained.stdout
    assert trained.stderr == ""


def test_train_json_is_one_document(tmp_path: Path) -> None:
    done = dlcli("train", *QUICK, "--json", "--runs-dir", str(tmp_path / "runs with 'quotes', commas"))
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert list(document) == [
        "schema_version", "status", "run_id", "run_name", "experiment", "run_dir", "tracking_uri", "metrics",
        "baselines", "folds", "notices", "duration_s",
    ]  # fmt: skip
    assert document["status"] == "FINISHED"
    assert document["experiment"] == "iris"
    assert Path(document["run_dir"]).is_dir()
    assert 0 <= document["metrics"]["test/accuracy"] <= 1
    assert "iris: 150 rows" in done.stderr


def test_eval_tells_the_same_figures(trained: Result, runs: Path) -> None:
    done = dlcli("eval", "told", "--runs-dir", str(runs))
    assert done.exit_code == 0, done.output

    def cell(text: str, name: str) -> str:
        # "0.9667, baseline 0.3333": the last three words are the test column.
        return next(line.split()[-3] for line in text.splitlines() if line.split()[:1] == [name])

    assert all(cell(done.stdout, name) == cell(trained.stdout, name) for name in ("loss", "accuracy", "f1"))


def test_eval_as_json_has_metrics_and_baselines(trained: Result, runs: Path) -> None:
    document = json.loads(dlcli("eval", "last", "--split", "val", "--json", "--runs-dir", str(runs)).stdout)
    names = ("loss", "accuracy", "precision", "recall", "f1", "auroc", "log_loss")
    assert set(document["metrics"]) >= {f"val/{name}" for name in names}
    # Shares of the classes are calibrated by construction.
    assert set(document["baselines"]) == set(document["metrics"]) - {"val/calibration_error"}


def test_eval_takes_no_other_experiment(trained: Result, runs: Path) -> None:
    done = dlcli("eval", "told", "model.hidden=3", "--runs-dir", str(runs))
    assert done.exit_code == 2
    assert "would change the experiment" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["train", "modle=mlp"], ["there is no group modle", "Did you mean model?"]),
        (["train", "model=lsmt"], ["there is no option lsmt", "Did you mean lstm?"]),
        (["train", "optimizer.lr=fast"], ["optimizer.lr", 'should be a valid number, not "fast"']),
        (["train", "trainer.max_epoch=3"], ["Did you mean trainer.max_epochs?"]),
        (["train", "optimizer.lr=-1"], ["optimizer", "Invalid learning rate: -1"]),
        (
            ["train", "model=lstm", "dataset=iris"],
            ["Recurrent takes audio, image, sequence, tokens or words data"],
        ),
        (["train", "-C", "nowhere"], ["nowhere"]),
        (["eval", "nothing"], ["nothing"]),
    ],
    ids=" ".join,
)
def test_wrong_input_exits_with_2_and_a_hint(arguments: list[str], texts: list[str]) -> None:
    done = dlcli(*arguments)
    assert done.exit_code == 2, done.output
    for text in texts:
        assert text in done.stderr, done.stderr
    assert "Traceback" not in done.output
    assert done.stdout == ""
    assert not Path("runs").exists()


def test_all_mistakes_are_reported_at_once_in_json_too() -> None:
    done = dlcli("train", "modle=mlp", "optimizer.lr=fast", "trainer.max_epoch=3", "--json")
    assert done.exit_code == 2
    document = json.loads(done.stdout)
    assert document["status"] == "ERROR"
    assert len(document["errors"]) == 3
    assert all(set(error) == {"where", "message", "hint"} for error in document["errors"])


def test_the_error_about_a_missing_mnist_names_the_files_and_their_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torchvision.datasets import MNIST

    # A closed port on this machine: refused at once, as a machine without a network refuses.
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    done = dlcli("train", "dataset=mnist", f"dataset.root={tmp_path}")
    assert done.exit_code == 2, done.output
    for text in ("train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "dataset.root=DIR", "MNIST/raw"):
        assert text in " ".join(done.stderr.split()), done.stderr


def test_a_store_that_does_not_answer_is_known_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    done = dlcli("train", *QUICK)
    assert done.exit_code == 2, done.output
    assert "127.0.0.1:9" in done.stderr
    assert "secret" not in done.output


def test_what_stopped_a_run_names_the_run_in_json(tmp_path: Path) -> None:
    done = dlcli("train", *QUICK, "optimizer=sgd", "optimizer.lr=1e30", "--json", "--runs-dir", str(tmp_path))
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["status"] == "ERROR"
    assert document["run_status"] == "FAILED"
    assert Path(document["run_dir"]).parent.name == document["run_id"]
    assert "loss became" in document["errors"][0]["message"]


def test_a_forgotten_folder_of_one_s_own_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("# Mine.\n_target_: mine.Mine\n")
    monkeypatch.chdir(tmp_path)
    done = dlcli("check", "model=mine")
    assert done.exit_code == 2
    assert "conf/model/mine.yaml exists: add its folder with -C conf." in done.stderr


def test_the_folders_of_a_project_above_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "dlcli.yaml").write_text("")
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("# Mine.\n_target_: mine.Mine\n")
    folder = tmp_path / "runs" / "e" / "1" / "artifacts"
    folder.mkdir(parents=True)
    (folder / "ledger.json").write_text("{}")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    conf, runs = tmp_path / "conf", tmp_path / "runs"
    for words, place in (
        (("check", "model=mine"), conf),
        (("show", "model/mine"), conf),
        (("list",), conf),
        (("runs",), runs),
        (("eval", "last"), runs),
        (("eval", "mine"), runs),
    ):
        done = dlcli(*words)
        told = " ".join(f"{done.stdout} {done.stderr}".split())
        assert f"in {tmp_path}" in told
        assert str(place) in told


@pytest.mark.parametrize("group", ["model", "task/loss"])
def test_show_of_a_group_names_its_options(group: str) -> None:
    done = dlcli("show", group)
    assert done.exit_code == 2
    first, _, rest = done.stderr.partition("hint: Name an option: dlcli show ")[2].partition(". Choices: ")
    assert first == f"{group}/{rest.split(',')[0]}"
    assert dlcli("show", first).exit_code == 0
