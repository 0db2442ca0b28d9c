"""The logged model of a run in MLflow, and `dlcli runs register`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import dlcli as api
from dlcli.cli.app import app
from dlcli.runs import registration
from dlcli.runs.annotation import rename
from dlcli.runs.deletion import delete, plan_deletion, plan_restoration, restore
from dlcli.runs.find import find_run
from dlcli.runs.inventory import list_runs
from dlcli.tracking import pushing
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.logged_model import model_id
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import open_store
from tests.runs.toy_ledgers import NOW

TABLE = "size,colour,born,paid,sold\n" + "".join(
    f"{number % 7},{('red', 'blue')[number % 2]},2024-01-{number + 1:02},{('yes', 'no')[number // 2 % 2]},"
    f"{('no', 'yes')[number % 2]}\n"
    for number in range(30)
)
QUICK = [
    "dataset=table",
    "dataset.types={paid: boolean}",
    "dataset.target=sold",
    "trainer.max_epochs=1",
    "model.hidden=[4]",
]


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with two runs."""
    folder = tmp_path_factory.mktemp("registered")
    (folder / "sales.csv").write_text(TABLE)
    for name in ("first", "second"):
        api.train(
            [*QUICK, f"dataset.path='{folder}/sales.csv'", f"run_name={name}"], runs_dir=folder / "runs"
        )
    return folder / "runs"


def run_id(runs_dir: Path, name: str) -> str:
    return next(run.run_id for run in list_runs(runs_dir, NOW) if run.name == name)


def register(runs_dir: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["runs", "register", *words, "--runs-dir", str(runs_dir)])


def stage(runs_dir: Path, name: str) -> str | None:
    with open_store(runs_dir) as store:
        found = store.client.search_logged_models(["1"])
    return next((model.name for model in found if model.model_id == model_id(run_id(runs_dir, name))), None)


def test_a_run_is_a_logged_model(runs_dir: Path) -> None:
    with open_store(runs_dir) as store:
        model = store.client.get_logged_model(model_id(run_id(runs_dir, "first")))
        run = store.client.get_run(model.source_run_id)
    assert (model.name, str(model.status)) == ("first", "READY")
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    tested = {key: value for key, value in run.data.metrics.items() if key.startswith("test/")}
    assert {metric.key: metric.value for metric in model.metrics} == tested != {}


@pytest.mark.filterwarnings(
    "ignore:.*Any type hint:UserWarning"
)  # of MLflow's own functions, at their import
@pytest.mark.filterwarnings("ignore:.* is empty:UserWarning")
def test_a_table_has_a_signature_and_an_example_that_fits_it(runs_dir: Path) -> None:
    folder = next(runs_dir.glob(f"*/{run_id(runs_dir, 'first')}/artifacts/model"))
    loaded = mlflow.pyfunc.load_model(folder.as_uri())
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == ["size", "colour", "born", "paid"]
    assert signature.outputs.input_names() == ["prediction", "p(no)", "p(yes)"]
    example = loaded.metadata.load_input_example(str(folder))
    rows = pd.DataFrame(
        {
            "size": [1, None],
            "colour": pd.Categorical(["red", None]),
            "born": ["2024-01-05", None],
            "paid": ["yes", None],
        }
    )
    typed = pd.read_csv(runs_dir.parent / "sales.csv", parse_dates=["born"]).drop(columns="sold")
    for frame in (
        example,
        rows,
        typed,
        typed.astype({"size": str, "paid": "category"}),
    ):  # MLflow compares them with the signature
        pd.testing.assert_frame_equal(loaded.predict(frame), api.load_run(folder.parent).predict(frame))
    assert json.loads((folder / "serving_input_example.json").read_text())["dataframe_split"]["columns"]


def test_versions_and_an_alias_that_moves(runs_dir: Path) -> None:
    made = json.loads(register(runs_dir, "first", "sales", "--alias", "champion", "--json").stdout)
    assert (made["version"], made["is_new"], made["uri"]) == (1, True, "models:/sales/1")
    again = json.loads(register(runs_dir, "first", "sales", "--json").stdout)
    assert (again["version"], again["is_new"], again["aliases"]) == (1, False, ["champion"])
    shown = register(runs_dir, "second", "sales", "--alias", "champion").stdout
    assert "models:/sales/2, models:/sales@champion" in shown and "alias was at: version 1" in shown
    assert f"MLFLOW_TRACKING_URI=sqlite:///{runs_dir}/mlflow.db" in "".join(shown.split()).replace("│", "")
    with open_store(runs_dir) as store:
        version = store.client.get_model_version_by_alias("sales", "champion")
        tags = store.client.get_logged_model(model_id(str(version.run_id))).tags
    assert (version.version, version.run_id) == (2, run_id(runs_dir, "second"))
    assert json.loads(tags["mlflow.modelVersions"]) == [{"name": "sales", "version": "2"}]


def test_a_version_stands_for_its_run(runs_dir: Path) -> None:
    for name, words in (("first", ["--alias", "old"]), ("second", ["--alias", "new"])):
        register(runs_dir, name, "shop", *words)

    def shown(address: str) -> Result:
        return CliRunner().invoke(app, ["runs", "show", address, "--runs-dir", str(runs_dir)])

    for address, name in (
        ("models:/shop@old", "first"),
        ("models:/shop/1", "first"),
        ("models:/shop@new", "second"),
        ("models:/shop", "second"),
        ("models:/shop/latest", "second"),
        (f"models:/{model_id(run_id(runs_dir, 'first'))}", "first"),
    ):
        assert find_run(address, runs_dir).run_dir.parent.name == run_id(runs_dir, name), address
    assert find_run("models:/shop@new", runs_dir).note == (
        f"models:/shop@new is shop version 2 (new): second ({run_id(runs_dir, 'second')})."
    )
    text = shown("models:/shop@old").stdout
    assert "shop version 1 (old)" in " ".join(text.split())
    rows = pd.DataFrame({"size": [1], "colour": ["red"], "born": ["2024-01-05"], "paid": ["yes"]})
    predicted = api.load_run("models:/shop@old", runs_dir=runs_dir).predict(rows)
    pd.testing.assert_frame_equal(predicted, api.load_run("first", runs_dir=runs_dir).predict(rows))
    listed = CliRunner().invoke(
        app, ["runs", "--runs-dir", str(runs_dir), "--filter", "registered~shop and name=second", "--json"]
    )
    (only,) = json.loads(listed.stdout)["runs"]
    assert {"name": "shop", "version": 2, "run_id": only["run_id"], "aliases": ["new"]} in only["registered"]
    assert "registered" in CliRunner().invoke(app, ["runs", "--runs-dir", str(runs_dir)]).stdout
    assert "There are: shop version 1 (old), shop version 2 (new)." in shown("models:/shop@none").output
    assert "there is no such registered model" in shown("models:/nothing@at-all").output


def test_any_name_can_be_repeated(runs_dir: Path) -> None:
    for name in ("it's", 'the "best"', "both ' and \"", "50 %_x"):
        made = [json.loads(register(runs_dir, "first", name, "--json").stdout) for _ in range(2)]
        assert [one["version"] for one in made] == [1, 1]


def test_a_change_of_the_run_is_followed(runs_dir: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(runs_dir, tmp_path / "runs")
    folder = next(copied.glob(f"*/{run_id(copied, 'second')}/artifacts"))
    with open_store(copied) as store:
        before = store.client.get_logged_model(model_id(run_id(copied, "second"))).metrics
    rename(folder, "other")
    with open_store(copied) as store:
        model = store.client.get_logged_model(model_id(run_id(copied, "other")))
    assert model.name == "other" and len(model.metrics) == len(before)


def test_the_address_follows_the_runs_folder(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(runs_dir, "first", "moved")
    moved = shutil.copytree(runs_dir, tmp_path / "moved")
    assert register(moved, "first", "moved", "--alias", "here").exit_code == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved}/mlflow.db")
    for address in ("models:/moved@here", f"models:/{model_id(run_id(runs_dir, 'first'))}"):
        assert mlflow.models.get_model_info(address).run_id == run_id(runs_dir, "first")
    with open_store(moved) as store:
        model = store.client.get_logged_model(model_id(run_id(runs_dir, "first")))
    assert model.artifact_location.startswith(moved.as_uri())


def test_a_new_store_has_the_logged_models(runs_dir: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(runs_dir, tmp_path / "runs")
    (copied / "mlflow.db").unlink()
    assert stage(copied, "second") == "second"


def test_it_follows_a_run_into_the_trash_and_back(runs_dir: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(runs_dir, tmp_path / "runs")
    (copied / "mlflow.db").unlink()
    with open_store(copied):
        pass
    delete(plan_deletion(["first"], None, copied, NOW, force=False))
    with open_store(copied) as store:
        assert "first" not in [model.name for model in store.client.search_logged_models(["1"])]
    restore(plan_restoration(["first"], copied, NOW))
    assert stage(copied, "first") == "first"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["first", "a/b"], "cannot be the name of a registered model"),
        (["first", "../x"], "cannot be the name of a registered model"),
        (["first", ".."], "cannot be the name of a registered model"),
        (["first", " "], "cannot be the name of a registered model"),
        (["first", "sales", "--alias", "v1"], "cannot be an alias"),
        (["first", "sales", "--alias", "my best"], "cannot be an alias"),
        (["nothing", "sales"], "no run"),
    ],
)
def test_invalid_names_of_models_are_refused(runs_dir: Path, words: list[str], message: str) -> None:
    done = register(runs_dir, *words)
    assert done.exit_code == 2 and message in done.output


def test_runs_without_a_model_are_not_registered(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(tmp_path) as store:
        made = store.create_run(experiment="exp", run_name="cv", kind="cv", params={}, tags={})
        failed = store.create_run(experiment="exp", run_name="failed", kind="run", params={}, tags={})
        with Recorder(made, system_metrics=False) as recorder:
            recorder.finish({"test/loss": 1.0}, result={"metrics": ["test/loss"]})
        with pytest.raises(ValueError, match="no"), Recorder(failed, system_metrics=False):
            raise ValueError("no")
    assert "cv.refit=true" in register(tmp_path, "cv", "sales").output
    assert "is FAILED" in register(tmp_path, "failed", "sales").output
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    assert "--trust" in register(runs_dir, "first", "theirs").output
    assert register(runs_dir, "first", "theirs", "--trust").exit_code == 0
    assert Ledger.load(made).status == "FINISHED"


def test_a_pushed_run_is_registered_where_it_was_pushed(
    runs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pushing, registration):  # a store that assigns IDs and keeps artifacts, as a server does
        monkeypatch.setattr(module, "sqlite_file", lambda uri: None)
    first = Ledger.load(next(runs_dir.glob(f"*/{run_id(runs_dir, 'first')}/artifacts")))
    with open_store(tmp_path / "server") as server:
        there, _ = pushing.push_run(server, first, None)
        (model,) = server.client.search_logged_models([server.client.get_run(there).info.experiment_id])
        assert (model.name, str(model.status), model.source_run_id) == ("first", "READY", there)
        assert {metric.key: metric.value for metric in model.metrics}.items() <= first.metrics.items()
        (output,) = server.client.get_run(there).outputs.model_outputs
        assert output.model_id == model.model_id
        assert len(server.client.get_metric_history(there, "test/accuracy")) == 1
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        assert "Push it there: dlcli runs push" in register(runs_dir, "second", "shared").stderr.replace(
            "\n  ", " "
        )
        assert (
            json.loads(register(runs_dir, "first", "shared", "--json").stdout)["tracking_uri"] == server.uri
        )
        assert server.client.get_model_version("shared", "1").run_id == there
        assert "shared" in server.client.get_logged_model(model.model_id).tags["mlflow.modelVersions"]
