"""`list`, `show`, `check`, `new` and `doctor`, as a user sees them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

import dlcli as package
from dlcli import __version__
from dlcli.cli.app import app
from dlcli.config.folders import groups, options, shipped_folder


def dlcli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})


def document(*arguments: str) -> dict:
    done = dlcli(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_list_names_all_options() -> None:
    lines = {words[0]: words[1:] for line in dlcli("list").stdout.splitlines() if (words := line.split())}
    assert {group: lines[group] for group in groups()} == {
        group: sorted(options(group)) for group in groups()
    }
    assert len(lines) < 30
    Path("conf/model").mkdir(parents=True)
    Path("conf/dlcli.yaml").touch()
    Path("conf/model/mine.yaml").write_text("# Mine.\n_target_: dlcli.models.linear.Linear\n")
    done = dlcli("list")
    assert " mine* " in done.stdout
    assert done.stdout.endswith(" * is your own.\n")


def test_version_and_help() -> None:
    assert dlcli("version").stdout == dlcli("--version").stdout == f"dlcli {__version__}\n"
    for words in (["train"], ["runs", "rm"], ["runs"], []):
        assert f"Usage: {' '.join(['dlcli', *words])} [OPTIONS]" in dlcli("help", *words).stdout
    done = dlcli("help", "trian")
    assert done.exit_code == 2
    assert "no such command 'trian'" in done.stderr


def test_list_names_the_options_of_a_group_and_their_headers() -> None:
    for option in options("model"):
        assert f"\n  {option} " in dlcli("list", "model").stdout
    assert "lstm" in dlcli("list", "model").stdout
    assert "adam" not in dlcli("list", "model").stdout
    assert {"name": "lstm", "summary": "Long short-term memory network."}.items() <= next(
        option for option in document("list", "model")["groups"]["model"] if option["name"] == "lstm"
    ).items()


def test_list_of_a_misspelt_group_names_the_one_meant() -> None:
    done = dlcli("list", "modle")
    assert done.exit_code == 2
    assert "error: modle\n  there is no such group\n  hint: Did you mean model?" in done.stderr


def test_list_names_pretrained_models_without_loading_torch() -> None:
    done = dlcli("list", "pretrained", "mobilenetv1_100.*")
    assert "mobilenetv1_100.ra4_e3600_r224_in1k     4.2 M  224 px\n" in done.stdout
    models = document("list", "pretrained", "resnet18")["pretrained"]
    assert models
    assert all("resnet18" in model["name"] and model["parameters"] > 1e6 for model in models)
    done = dlcli("list", "pretrained", "nothing_like_it")
    assert done.exit_code == 2
    assert "no pretrained model has such a name" in done.stderr
    look = (
        "from dlcli.cli import app; app.app(['list', 'pretrained', 'vit'], standalone_mode=False)\n"
        "import sys; assert not {'torch', 'timm'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", look], capture_output=True).returncode == 0


def test_show_tells_where_each_value_came_from() -> None:
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/dlcli.yaml").write_text("seed: 3\n")
    Path("conf/experiment/mine.yaml").write_text("# @package _global_\n# Mine.\noptimizer:\n  lr: 0.5\n")
    done = dlcli("show", "experiment=mine", "model.hidden=7")
    assert done.exit_code == 0, done.output
    places = {
        line.split("#")[0].strip(): line.partition("# ")[2]
        for line in done.stdout.splitlines()
        if "  # " in line
    }
    assert places["lr: 0.5"] == "conf/experiment/mine.yaml:4"
    assert places["hidden: 7"] == "command line"
    assert places["seed: 3"] == "conf/dlcli.yaml:1"
    assert places["patience: 10"] == "dlcli:callbacks/default.yaml:9"
    assert f"# dlcli: is {shipped_folder()}/" in done.stdout
    # What is shown can be read back.
    shown = yaml.safe_load(done.stdout)
    found = document("show", "experiment=mine", "model.hidden=7")
    assert shown == found["config"]
    assert found["origins"]["optimizer.lr"] == "conf/experiment/mine.yaml:4"
    assert found["choices"]["experiment"] == "mine"


def test_show_leaves_to_the_data_what_is_the_datas() -> None:
    assert dlcli("show", "dataset=breast_cancer", "task.tune_threshold=f1").exit_code == 0
    assert dlcli("show", "dataset=hf", "dataset.path=x", "preprocessing.tokens=bpe").exit_code == 0


def test_show_explains_an_option() -> None:
    text = dlcli("show", "optimizer/adam").stdout
    assert "lr: 0.001  (float or Tensor)\n    Learning rate.\n" in text
    assert "  amsgrad: false  (bool)" in text
    assert "params" not in text
    keys = {key["name"]: key for key in document("show", "model/cnn")["keys"]}
    assert keys["dropout"] == {
        "name": "dropout", "value": 0.25, "type": "float >= 0 and < 1", "is_section": False,
        "explanation": "Dropout rate after the blocks.",
    }  # fmt: skip


@pytest.mark.parametrize("option", [f"{group}/{option}" for group in groups() for option in options(group)])
def test_every_option_is_explained(option: str) -> None:
    found = document("show", option)
    assert found["header"]
    # An experiment's sections are the groups, which their own options explain.
    sections = groups() if option.startswith("experiment/") else ()
    assert [k["name"] for k in found["keys"] if not k["explanation"] and k["name"] not in sections] == []


def test_show_of_no_option() -> None:
    done = dlcli("show", "model/lsmt")
    assert done.exit_code == 2
    assert "there is no option lsmt in group model" in done.stderr
    assert "Did you mean lstm?" in done.stderr


def test_check_reports_the_required_resources() -> None:
    done = dlcli("check", "dataset=iris", "model=mlp", "trainer.accelerator=cpu")
    assert done.exit_code == 0, done.output
    for text in (
        "parameters: 17,539",
        "device:     cpu",
        "weights 70.2 kB",
        ", 7 steps",
        "No mistake was found.",
    ):
        assert text in done.stdout, text
    found = document("check", "dataset=iris", "model=mlp")
    assert (found["status"], found["parameters"], found["steps_per_epoch"]) == ("OK", 17539, 7)


def test_warnings_are_what_check_was_asked_for(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b,y\n" + "".join(f"{n % 7},4,{'pq'[n * n % 5 % 2]}\n" for n in range(60)))
    asked = ("check", "dataset=table", f"dataset.path={table}", "dataset.target=y", "trainer.accelerator=cpu")
    done = dlcli(*asked)
    assert done.exit_code == 0, done.output
    told = document(*asked)["data"]["warnings"]
    assert len(told) > 1
    assert done.stdout.count("warning: ") == len(told)
    assert done.stdout.endswith(f"No mistake was found; {len(told)} warnings.\n")
    assert "warning" not in done.stderr


def test_check_with_mistakes() -> None:
    done = dlcli("check", "optimizer.lrr=1", "trainer.max_epochs=0", "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout) == {
        "schema_version": 1,
        "status": "ERROR",
        "errors": [
            {
                "where": "optimizer.lrr",
                "message": "torch.optim.Adam has no argument lrr",
                "hint": "Did you mean optimizer.lr?",
            },
            {
                "where": "trainer.max_epochs",
                "message": "no epoch would be trained",
                "hint": "Set it to at least 1.",
            },
        ],
    }


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A short training, in one store for all tests: making a store takes longer than training."""
    runs = tmp_path_factory.mktemp("runs")
    return ["trainer.max_epochs=1", "trainer.accelerator=cpu", f"runs_dir='{runs}'"]


@pytest.fixture
def imports() -> Iterator[None]:
    """Forgets what a test imported from its own folder."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(("tiny", "birds", "my_proj")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("kind", "name", "files"),
    [
        ("model", "tiny", ["conf/model/tiny.yaml", "tiny.py", "conf/dlcli.yaml"]),
        ("dataset", "birds", ["conf/dataset/birds.yaml", "birds.py", "conf/dlcli.yaml"]),
        ("experiment", "first", ["conf/experiment/first.yaml", "conf/dlcli.yaml"]),
    ],
)
@pytest.mark.usefixtures("imports")
def test_files_of_dlcli_new_train_without_changes(
    kind: str, name: str, files: list[str], quick: list[str], tmp_path: Path
) -> None:
    found = document("new", kind, name)
    assert [Path(file).relative_to(tmp_path).as_posix() for file in found["files"]] == files
    command = found["command"].split()
    assert command[:2] == ["dlcli", "train"]
    result = package.train([*command[2:], *quick])
    assert result.status == "FINISHED"
    assert name in result.run_name or name == result.experiment


@pytest.mark.usefixtures("imports")
def test_a_new_project_trains_and_grows(quick: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done = dlcli("new", "project", "my-proj")
    assert "Train it: cd my-proj && dlcli train experiment=baseline" in done.stdout
    monkeypatch.chdir("my-proj")
    assert "my_proj/models/my_proj_net.py" in {
        file.relative_to(Path.cwd()).as_posix() for file in Path.cwd().rglob("*.py")
    }
    assert "mynet" not in "".join(
        file.read_text().lower() for file in Path.cwd().rglob("*") if file.is_file()
    )
    assert dlcli("new", "model", "second").exit_code == 0
    assert Path("my_proj/models/second.py").is_file()
    assert package.train(["experiment=baseline", *quick]).experiment == "baseline"
    assert package.train(["experiment=baseline", "model=second", *quick]).run_name.startswith("second")


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("model", "mlp", "there is already a model of this name"),
        ("model", "torch", "a module torch is installed and would be imported instead"),
        ("model", "My-Net", "'My-Net' is not a valid name of a module"),
        ("model", "class", "'class' is not a valid name of a module"),
        ("dataset", "tiny", "tiny.py\n  already exists"),
    ],
)
def test_names_that_new_refuses(kind: str, name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text("mine = 1\n")
    done = dlcli("new", kind, name)
    assert done.exit_code == 2, done.output
    assert text in done.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"tiny.py"}
    assert (tmp_path / "tiny.py").read_text() == "mine = 1\n"


def test_new_never_writes_into_dlcli_s_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(package.__file__).parent.parent)
    done = dlcli("new", "experiment", "first")
    assert done.exit_code == 2
    assert "this folder belongs to dlcli itself" in done.stderr


def test_the_help_begins_with_what_people_do_first() -> None:
    shown = dlcli("--help").stdout
    panels = (
        "Train",
        "Look at results",
        "Use a model",
        "Find options, add your own",
        "Installation and help",
    )
    places = [shown.index(f"─ {panel} ") for panel in panels]
    assert places == sorted(places)
    assert shown.index("│ train ") < shown.index("│ runs ") < shown.index("│ predict ")


def test_a_command_of_a_group_is_shown_with_its_group() -> None:
    done = dlcli("rm", "first")
    assert done.exit_code == 2
    assert "hint: Write: dlcli runs rm first" in done.stderr
    assert dlcli("gc").stderr == "error: no such command 'gc'\n  hint: Write: dlcli runs gc ...\n"
    assert "Did you mean 'train'?" in dlcli("trian").stderr
