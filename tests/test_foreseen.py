"""Sections that name nothing or the wrong kind, and incomplete folders of runs, are reported before a run starts."""

from __future__ import annotations

import io
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

import dlcli
from dlcli.errors import ConfigError, CorruptRun
from dlcli.experiment import plan_experiment
from dlcli.runs.overview import overview
from dlcli.splits.split import Split
from tests.fuzz_runs import forget_digests, make_base

IRIS = ["dataset=iris", "model=mlp", "trainer.accelerator=cpu"]


@pytest.mark.parametrize(
    ("words", "where", "message"),
    [
        (["~optimizer._target_"], "optimizer._target_", "is missing"),
        (["~model._target_"], "model._target_", "is missing"),
        (["task=multiclass", "~task._target_"], "task._target_", "is missing"),
        (["~callbacks.early_stopping._target_"], "callbacks.early_stopping._target_", "is missing"),
        (["~runs_dir", "finder=lr"], "runs_dir", "is missing"),
        (["cv.seed=-1"], "cv.seed", "should be at least 0, not -1"),
        (["cv.seed=2147483648"], "cv.seed", "should be less than 2147483648, not 2147483648"),
        (["model.layers=4294967295"], "model.layers", "should be at most 1000, not 4294967295"),
        (
            ["+callbacks.x._target_=torch.nn.ReLU"],
            "callbacks.x._target_",
            "torch.nn.ReLU is not of type Callback",
        ),
        (
            ["optimizer._target_=torch.nn.ReLU"],
            "optimizer._target_",
            "torch.nn.ReLU is not of type Optimizer",
        ),
        (["model._target_=torch.optim.SGD"], "model._target_", "torch.optim.SGD is not of type Module"),
        (["trainer._target_=builtins.dict"], "trainer._target_", "builtins.dict is not of type Trainer"),
        (["dataset._target_=builtins.dict"], "dataset._target_", "builtins.dict returns a dict, not Data"),
        (["cv._target_=builtins.dict"], "cv._target_", "builtins.dict splits no rows: it has no splits()"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_a_section_names_is_reported(words: list[str], where: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_experiment([*IRIS, *words], thorough=True)
    found = {problem.where: problem.message for problem in caught.value.problems}
    assert found[where].startswith(message), found


@pytest.mark.parametrize(
    "section",
    [
        "model",
        "optimizer",
        "scheduler",
        "task",
        "trainer",
        "callbacks.early_stopping",
        "weight_averaging",
        "finder",
        "augmentation",
        "preprocessing",
        "cv",
        "dataset",
        "tracking",
        "executor",
        "finetune",
    ],
)
def test_checks_of_the_other_sections_do_without_one_that_lacks_its_name(section: str) -> None:
    options = {"scheduler": "cosine", "weight_averaging": "ema", "finder": "lr", "augmentation": "image",
               "preprocessing": "table", "task": "multiclass", "finetune": "gradual_unfreezing"}  # fmt: skip
    words = [f"{section}={options[section]}"] if section in options else []
    with pytest.raises(ConfigError) as caught:
        plan_experiment(["dataset=iris", "model=linear", *words, f"~{section}._target_"], thorough=True)
    assert f"{section}._target_" in {problem.where for problem in caught.value.problems}


def test_a_wrong_return_type_is_reported_before_a_run_is_created() -> None:
    words = [*IRIS, "+callbacks.x._target_=os.getcwd"]
    for command in (dlcli.train, lambda words: plan_experiment(words).rehearse()):
        with pytest.raises(
            ConfigError, match=r"callbacks.x._target_: os.getcwd returns a str, not a Callback"
        ):
            command(words)
    assert not list(Path().rglob("ledger.json"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """The folder of a run in a project that a test may damage."""
    shutil.copytree(base, tmp_path / "p", symlinks=True)
    folder = next((tmp_path / "p").glob("runs/*/*/artifacts"))
    forget_digests(folder)
    return folder


def change(folder: Path, section: str, key: str = "", value: object = None) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    if key:
        config[section][key] = value
    else:
        del config[section]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("section", ["model", "trainer", "dataset", "monitor", "seed"])
def test_a_configuration_that_lacks_something_is_refused(section: str, folder: Path) -> None:
    change(folder, section)
    runs_dir = folder.parents[2]
    for command in (dlcli.evaluate, dlcli.resume, dlcli.load_run):
        with pytest.raises(CorruptRun, match=rf"config.yaml: {section}: is missing"):
            command(str(folder), runs_dir=runs_dir)


def test_a_configuration_of_other_types_is_refused(folder: Path) -> None:
    change(folder, "trainer", "max_epochs", "many")
    with pytest.raises(CorruptRun, match=r"config.yaml: trainer.max_epochs: should be .*, not \"many\""):
        dlcli.resume(str(folder), runs_dir=folder.parents[2])


def test_a_run_without_its_overrides_is_read_but_not_resumed(folder: Path) -> None:
    (folder / "overrides.txt").unlink()
    runs_dir = folder.parents[2]
    assert dlcli.evaluate(str(folder), runs_dir=runs_dir).values
    about = overview(folder, datetime.now(UTC))
    assert about.repeat is None
    assert "overrides.txt: the run's list of overrides is missing" in about.remarks[0]
    with pytest.raises(
        CorruptRun, match=r"overrides.txt: the run's list of overrides is missing\n  Copy the folder"
    ):
        dlcli.resume(str(folder), ["trainer.max_epochs=3"], runs_dir=runs_dir)


@pytest.mark.parametrize("name", ["checkpoints", "model", "plots"])
def test_a_file_where_a_folder_should_be_is_named(name: str, folder: Path) -> None:
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / name).touch()
    with pytest.raises(CorruptRun, match=f"{name}: is not a folder, but the run needs one there"):
        dlcli.resume(str(folder), ["trainer.max_epochs=3"], runs_dir=folder.parents[2])


@pytest.mark.parametrize(
    "damage",
    ["gone", "torn", "random", "objects", "floats", "negative", "beyond", "square", "twice", "lacking"],
)
def test_an_invalid_split_is_reported(damage: str) -> None:
    file, rows = Path("split.npz"), np.arange(10)
    parts = {"train": rows[:6], "val": rows[6:8], "test": rows[8:]}
    whole = Split(**parts).to_bytes()
    wrong: dict[str, object] = {
        "objects": np.array([{}], object), "floats": rows[:6] + 0.5, "negative": rows[:6] - 9, "beyond": rows[:6] + 90,
        "square": rows[:4].reshape(2, 2), "twice": np.repeat(rows[:3], 2),
    }  # fmt: skip
    if damage in wrong:
        parts["train"] = wrong[damage]  # type: ignore[assignment]
    if damage == "lacking":
        del parts["val"]
    buffer = io.BytesIO()
    np.savez(buffer, **parts)  # type: ignore[arg-type]
    contents = {"torn": whole[: len(whole) // 2], "random": bytes(range(256)) * 4}
    if damage != "gone":
        file.write_bytes(contents.get(damage, buffer.getvalue()))
    with pytest.raises(CorruptRun, match=r"split.npz: the run's split (is missing|cannot be read)"):
        Split.load(file, 10)
    file.write_bytes(whole)
    assert Split.load(file, 10).sizes == {"train": 6, "val": 2, "test": 2}
