"""Words of other programs in any place: in front, in place of a command, and in commands that take a model."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.config.habits import translate_habits
from dlcli.runner.check import check

OPTIONS = {
    "--output": True,
    "-o": True,
    "--file": True,
    "--split": True,
    "--json": False,
    "--runs-dir": True,
    "--trials": True,
}


def answer(*words: str) -> tuple[str, str]:
    """Return the message and the hint of a command that dlcli does not understand."""
    found = CliRunner().invoke(app, [*words, "--json"])
    assert found.exit_code == 2
    (problem,) = json.loads(found.stdout)["errors"]
    return problem["message"], problem["hint"].replace(" --json", "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("yolo train data=iris epochs=3", "train dataset=iris trainer.max_epochs=3"),
        ("yolo detect train dataset=iris", "train dataset=iris"),
        ("yolo predict penguins new.csv", "predict penguins new.csv"),
        ("yolo predict model=best.pt source=x.jpg", "predict last x.jpg"),
        ("yolo export model=best.pt format=onnx", "export last --output model.onnx"),
        ("yolo mode=train data=iris", "train dataset=iris"),
        (
            "yolo detect train data=coco8.yaml model=yolo11n.pt imgsz=64",
            "train dataset=detection dataset.path=coco8 model=centernet dataset.size=64",
        ),
        ("python train.py dataset=iris", "train dataset=iris"),
        ("python3 src/main.py --epochs 5", "train trainer.max_epochs=5"),
        ("python -m dlcli sweep optimizer.lr=0.1,0.2", "sweep optimizer.lr=0.1,0.2"),
        ("python -m dlcli.cli.train dataset=iris", "train dataset=iris"),
        ("accelerate launch train.py model=mlp", "train model=mlp"),
        (
            "torchrun --nproc_per_node 2 train.py --epochs 5",
            "train trainer=ddp trainer.devices=2 trainer.max_epochs=5",
        ),
        ("uv run dlcli train --epochs 5", "train trainer.max_epochs=5"),
        ("dlcli train dataset=iris", "train dataset=iris"),
        ("train.py", "train"),
        ("lightning fit model=mlp", "train model=mlp"),
        ("ludwig experiment --dataset x.csv", "train dataset=table dataset.path=x.csv"),
        ("mlflow ui", "ui"),
        ("yolo checks", "doctor"),
        ("yolo train resume model=last.pt", "resume last"),
        ("guild run train.py lr=0.1", "train optimizer.lr=0.1"),
        ("guild runs", "runs"),
        ("autogluon fit x.csv --label kind", "train dataset=table dataset.path=x.csv dataset.target=kind"),
        ("dvc exp run epochs=3", "train trainer.max_epochs=3"),
        ("lightning run model train.py", "train"),
        ("deepspeed train.py --epochs 2", "train trainer.max_epochs=2"),
        ("accelerate launch --num_processes 2 train.py", "train trainer=ddp trainer.devices=2"),
        ("cross-validate dataset=iris", "train cv=kfold dataset=iris"),
        ("delete abc", "runs rm abc"),
        ("tensorboard", "ui"),
        ("models", "list model"),
        ("init", "new project my_project"),
        ("evaluate --model last --data new.csv", "eval last --file new.csv"),
        ("yolo classify train data=mnist model=yolo11n-cls.pt", "train dataset=mnist model=cnn"),
    ],
)
def test_the_name_of_a_program_in_front_gets_the_line_without_it(typed: str, meant: str) -> None:
    message, hint = answer(*typed.split())
    assert message == f"{typed.split()[0]} is not a dlcli command"
    assert hint == f"Write: dlcli {meant}"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--epochs 5", "train trainer.max_epochs=5"),
        ("epochs=5", "train trainer.max_epochs=5"),
        ("dataset=iris", "train dataset=iris"),
        ("-d iris -m mlp", "train dataset=iris model=mlp"),
        ("mnist --epochs 5", "train dataset=mnist trainer.max_epochs=5"),
        ("penguins.csv species", "train dataset=table dataset.path=penguins.csv dataset.target=species"),
        (
            "task=detect mode=train data=x.yaml",
            "train task=detection dataset=detection dataset.path=x model=centernet",
        ),
        ("mode=predict model=best.pt source=x.jpg", "predict last x.jpg"),
        ("--runs-dir x runs", "runs --runs-dir x"),
    ],
)
def test_words_in_place_of_a_command(typed: str, meant: str) -> None:
    message, hint = answer(*typed.split())
    assert message == f"a command is expected, but got {typed.split()[0]}"
    assert hint == f"Write: dlcli {meant}"


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ("yolo track source=x.mp4", "yolo track has no equivalent in dlcli", "Write: dlcli help"),
        ("runs delete abc", "runs delete is not a dlcli command", "Write: dlcli runs rm abc"),
        ("train --bogus 3", "no such option: --bogus", "Did you mean --jobs?"),
        ("trian dataset=iris", "no such command 'trian'", "Did you mean 'train'?"),
        ("h2o", "no such command 'h2o'", "dlcli -h shows what can be written."),
        ("resume", "missing argument 'RUN'", "dlcli resume -h shows what can be written."),
    ],
)
def test_what_has_no_equivalent_is_an_error_also_as_json(typed: str, message: str, hint: str) -> None:
    assert answer(*typed.split()) == (message, hint)


@pytest.mark.parametrize("typed", ["--version", "--help", "-h", "notacommand", "new --help"])
def test_other_first_words_are_left_to_the_program(typed: str) -> None:
    assert "Write:" not in CliRunner().invoke(app, typed.split()).output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("predict --model last --data x.csv", "predict last x.csv"),
        ("predict model=abc x.csv -o y.csv", "predict abc x.csv -o y.csv"),
        ("predict x.csv", "predict last x.csv"),
        ("predict abc -i x.csv", "predict abc x.csv"),
        ("predict --checkpoint a/b.ckpt --input x.csv --save y.csv", "predict last x.csv --output y.csv"),
        ("eval --checkpoint last data=x.csv", "eval last --file x.csv"),
        ("predict best.ckpt new.csv", "predict last new.csv"),
        ("serve --model last", "serve last"),
        ("export last onnx", "export last --output model.onnx"),
        ("export last model.onnx", "export last --output model.onnx"),
        ("eval last x.csv", "eval last --file x.csv"),
        ("eval last --part val", "eval last --split val"),
        ("resume abc --epochs 20", "resume abc trainer.max_epochs=20"),
        ("resume epochs=20", "resume last trainer.max_epochs=20"),
    ],
)
def test_a_model_and_its_rows_as_other_tools_name_them(typed: str, meant: str) -> None:
    problem = translate_habits(typed.split(), OPTIONS)
    assert problem is not None
    assert problem.hint == f"Write: dlcli {meant}"
    assert translate_habits(meant.split(), OPTIONS) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("export r --output m.onnx --format onnx", "export r --output m.onnx"),
        ("export r --format=onnx -o m.onnx", "export r -o m.onnx"),
        ("export r --out m.onnx onnx", "export r --output m.onnx"),
        ("export r onnx --to onnx", "export r --to onnx"),
        ("export r --bundle d m.onnx", "export r --bundle d"),
        ("predict r x.csv --output a.csv --save b.csv", "predict r x.csv --output a.csv"),
        ("eval r test --split val", "eval r --split val"),
        ("eval r --file b.csv a.csv", "eval r --file b.csv"),
        ("eval r test val", "eval r --split test"),
        ("val r --split test", "eval r --split test"),
        ("val r train", "eval r --split val"),
        ("resume r --epochs 3 trainer.max_epochs=5", "resume r trainer.max_epochs=5"),
        ("train --epochs 3 --n-epochs 4", "train trainer.max_epochs=4"),
        ("train --epochs 3 trainer.max_epochs=3", "train trainer.max_epochs=3"),
        ("fit --data a.csv --dataset b.csv --name n=1", "train dataset=table dataset.path=b.csv --name n=1"),
    ],
)
def test_a_shown_command_says_nothing_twice(typed: str, meant: str) -> None:
    known = {"--to": True, "--bundle": True, "--name": True, **OPTIONS}
    problem = translate_habits(typed.split(), known)
    assert problem is not None
    told, _, line = problem.hint.rpartition("dlcli ")
    assert line == meant
    # What is left out is told, unless it says the same.
    assert ("is left out, because" in told) == (typed not in SAME)


# Commands of which nothing is lost.
SAME = ("train --epochs 3 trainer.max_epochs=3", "val r --split test")


def test_a_run_may_be_called_like_a_setting_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model=mlp", "x.csv"):
        assert translate_habits(["predict", name, "y.csv"], OPTIONS) is not None
        Path("runs/by-name").mkdir(parents=True, exist_ok=True)
        Path("runs/by-name", name).symlink_to("nowhere")
        assert translate_habits(["predict", name, "y.csv"], OPTIONS) is None
        assert translate_habits(["predict", name, "y.csv", "--runs-dir", "others"], OPTIONS) is not None
    for words in (
        "resume abc trainer.max_epochs=9",
        "eval abc dataset.path=x.csv",
        "predict abc - --output y.csv",
    ):
        assert translate_habits(words.split(), OPTIONS) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train dataset=iris metric=f1_macro", "train dataset=iris monitor=val/f1"),
        ("train model=mlp model.lr=1e-3", "train model=mlp optimizer.lr=1e-3"),
        ("train --model.lr 1e-3 --data.batch_size 8", "train optimizer.lr=1e-3 dataset.batch_size=8"),
        ("train trainer=cpu", "train trainer.accelerator=cpu"),
        ("train --gpus 2", "train trainer.accelerator=gpu trainer.devices=2"),
        ("train gpus=0", "train trainer.accelerator=cpu"),
        ("train gpus=-1", "train trainer.accelerator=gpu trainer.devices=-1"),
        ("train device=0,1", "train trainer.accelerator=gpu 'trainer.devices=[0,1]'"),
        ("train debug=fdr seed=1", "train trainer=debug seed=1"),
        ("train --k-fold 5", "train cv=kfold cv.folds=5"),
        ("train project=a name=b", "train runs_dir=a run_name=b"),
        ("train -m hparams_search=mnist_optuna seed=1,2", "sweep seed=1,2"),
        ("train logger=wandb train=True test=False", "train"),
        ("train --wandb --workers 4 seed=3", "train seed=3"),
        ("train --train a.csv --label kind", "train dataset=table dataset.path=a.csv dataset.target=kind"),
        ("train --input a.csv --task classification", "train dataset=table dataset.path=a.csv"),
        ("train --dataset MNIST --model CNN", "train dataset=mnist model=cnn"),
        (
            "train early_stopping=true patience=3",
            "train callbacks=default callbacks.early_stopping.patience=3",
        ),
        ("train val_metric=f1", "train monitor=val/f1"),
        ("train --cv 5 --stratify", "train cv=kfold cv.folds=5 cv.stratify=true"),
        ("train --config-dir conf seed=1", "train -C conf seed=1"),
    ],
)
def test_keys_of_other_projects(typed: str, meant: str) -> None:
    problem = translate_habits(typed.split(), OPTIONS)
    assert problem is not None
    assert problem.hint.endswith(f"Write: dlcli {meant}")
    assert translate_habits(meant.split(), OPTIONS) is None


def test_keys_of_own_models_and_options_are_left_to_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own = [["train", "model=mine", "model.lr=0.1"], ["train", "trainer=cpu"]]
    assert all(translate_habits(words, OPTIONS) for words in own)
    Path("conf").mkdir()
    Path("conf/dlcli.yaml").write_text("")
    assert not any(translate_habits(words, OPTIONS) for words in own)


def test_the_folder_of_images_is_the_one_that_a_file_of_yolo_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sets/cells").mkdir(parents=True)
    Path("sets/data.yaml").write_text("train: images/train\n")
    assert answer("train", "data=sets/data.yaml")[1].startswith(
        "Write: dlcli train dataset=detection dataset.path=sets "
    )
    Path("sets/data.yaml").write_text("# cells\npath: cells  # here\n")
    assert "dataset.path=sets/cells " in answer("train", "data=sets/data.yaml")[1]


def test_lines_work_when_they_are_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a table in the folder to a model, its predictions and its network, in the words of other tools."""
    monkeypatch.chdir(tmp_path)
    Path("it's.csv").write_text(
        "a,kind\n" + "".join(f"{n % 7},{'up' if n % 7 > 3 else 'down'}\n" for n in range(60))
    )
    options = ["--data", "it's.csv", "--label", "kind", "--epochs", "1", "-b", "16", "--model", "MLP"]
    lines = [
        shlex.split(answer(*words)[1].partition("Write: dlcli ")[2])
        for words in (
            ["python", "train.py", *options],
            ["yolo", "predict", "model=best.pt", "source=it's.csv"],
            ["eval", "--checkpoint", "last.ckpt"],
            ["resume", "--epochs", "2"],
        )
    ]
    assert [line[0] for line in lines] == ["train", "predict", "eval", "resume"]
    trained = dlcli.train(lines[0][1:])
    predicted = dlcli.predict(lines[1][1], lines[1][2])
    assert predicted is not None and len(predicted) == 60
    assert dlcli.evaluate(lines[2][1]).values["test/loss"] == pytest.approx(trained.values["test/loss"])
    assert dlcli.resume(lines[3][1], lines[3][2:]).run_id == trained.run_id
    check(
        shlex.split(answer("check", "it's.csv", "kind", "metric=acc")[1].partition("Write: dlcli check ")[2])
    )
