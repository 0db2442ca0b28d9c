"""For the syntax of other tools, dlcli shows the equivalent command, which works when it is pasted."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli.cli.app import app
from dlcli.config.habits import assignment, dlcli_line, translate_habits
from dlcli.config.overrides import parse

OPTIONS = {"--name": True, "--jobs": True, "-j": True, "--json": False, "-C": True, "--runs-dir": True}

HOSTILE = [
    "it's.csv",
    'say "hi".csv',
    "data/epoch=3.csv",
    "two words.csv",
    "$HOME.csv",
    "a,b.csv",
    "[x].csv",
    "{y}.csv",
    "back\\slash.csv",
    "100%.csv",
    "1e3.csv",
    "ünïcode.csv",
    "(z) & more;.csv",
    "`date`.csv",
    "trailing\\.csv",
    "#note.csv",
]


NEWEST = "For the newest run or the one that is named: dlcli "


def line(*words: str) -> str:
    problem = translate_habits(words, OPTIONS)
    assert problem is not None
    return problem.hint.removeprefix("Write: ")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train -m optimizer.lr=0.1,0.2", "sweep optimizer.lr=0.1,0.2"),
        ("train --multirun model=mlp,cnn", "sweep model=mlp,cnn"),
        ("train --epochs 5", "train trainer.max_epochs=5"),
        ("train dataset=iris --epochs=5 --name a", "train dataset=iris trainer.max_epochs=5 --name a"),
        ("train epochs=5", "train trainer.max_epochs=5"),
        ("train --lr 0.1 --batch-size 64", "train optimizer.lr=0.1 dataset.batch_size=64"),
        ("train --data x.csv", "train dataset=table dataset.path=x.csv"),
        ("train --data iris", "train dataset=iris"),
        ("train -d iris -m mlp", "train dataset=iris model=mlp"),
        ("train -m model=mlp,cnn", "sweep model=mlp,cnn"),
        (
            "train -d x.csv -t kind -e 5 -l 0.1",
            "train dataset=table dataset.path=x.csv dataset.target=kind "
            "trainer.max_epochs=5 optimizer.lr=0.1",
        ),
        ("train --cfg job", "show"),
        ("train --dry-run seed=1", "check seed=1"),
        (
            "train --deterministic --trainer.fast_dev_run true",
            "train trainer.deterministic=true trainer=debug",
        ),
        (
            "train --train a.csv --test b.csv",
            "train dataset=table dataset.path=a.csv dataset.test_path=b.csv",
        ),
        ("train a.csv b.csv", "train dataset=table dataset.path=a.csv dataset.test_path=b.csv"),
        ("train --drop a,b", "train 'dataset.drop=[a, b]'"),
        (
            "train --loss CrossEntropyLoss --optimizer torch.optim.AdamW --lr_scheduler CosineAnnealingLR",
            "train task/loss=cross_entropy optimizer=adamw scheduler=cosine",
        ),
        ("train --model LogisticRegression", "train model=linear"),
        ("train --model.hidden_dim=64", "train model.hidden=64"),
        ("train --gpus all", "train trainer.accelerator=gpu trainer.devices=-1"),
        ("train --presets best_quality", "train effort=best"),
        ("train data=x.csv epochs=3", "train dataset=table dataset.path=x.csv trainer.max_epochs=3"),
        (
            "train penguins.csv species",
            "train dataset=table dataset.path=penguins.csv dataset.target=species",
        ),
        ("train dataset=penguins.csv", "train dataset=table dataset.path=penguins.csv"),
        ("train eval_metric=mae", "train monitor=val/mae"),
        ("train eval_metric=roc_auc", "train monitor=val/auroc"),
        ("train metrics=acc,f1_macro", "train 'task.metrics=[default, accuracy, f1]'"),
        ("train --metrics acc,f1,acc,", "train 'task.metrics=[default, accuracy, f1]'"),
        ("train --metrics default", "train 'task.metrics=[default]'"),
        ("train --metric acc,mcc", "train 'task.metrics=[default, accuracy, mcc]'"),
        ("train --metric mcc", "train 'task.metrics=[default, mcc]' monitor=val/mcc"),
        ("train --metric train_acc", "train monitor=train/accuracy"),
        ("train --metric val_loss", "train monitor=val/loss"),
        ("train --objective val_acc", "train monitor=val/accuracy"),
        ("train --objective binary", "train task=binary"),
        ("train --objective=binary:logistic", "train task=binary"),
        ("train --objective=reg:squarederror", "train task=regression"),
        ("train objective=reg:absoluteerror", "train task/loss=mae"),
        ("train --loss bce", "train task/loss=binary_cross_entropy"),
        ("train train_size=0.8", "train cv.test_size=0.2"),
        ("train x.conll", "train dataset=tags dataset.path=x.conll"),
        ("train x.conll --lr 0.1", "train dataset=tags dataset.path=x.conll optimizer.lr=0.1"),
        ("train --data ner.conll", "train dataset=tags dataset.path=ner.conll"),
        ("train dataset=x.conllu", "train dataset=tags dataset.path=x.conllu"),
        ("train --eval-metric accuracy", "train monitor=val/accuracy"),
        ("train --model mlp --trainer.max_epochs 7", "train model=mlp trainer.max_epochs=7"),
        ("train iris mlp", "train dataset=iris model=mlp"),
        ("train --resume", "resume last"),
        ("train dataset=iris resume=true trainer.max_epochs=9", "resume last trainer.max_epochs=9"),
        ("train dataset=iris resume=abc", "resume abc"),
        ("train model=mlp ckpt_path=runs/x/last.ckpt", "resume last"),
        ("train data=x", "train dataset=table dataset.path=x"),
        ("train --config penguins.csv", "train dataset=table dataset.path=penguins.csv"),
        ("train dataset=iris --resume abc trainer.max_epochs=9", "resume abc trainer.max_epochs=9"),
        ("sweep --n-trials 20 optimizer.lr=0.1,0.2", "sweep sweep.trials=20 optimizer.lr=0.1,0.2"),
        ("train n_trials=20 optimizer.lr=0.1,0.2", "sweep sweep.trials=20 optimizer.lr=0.1,0.2"),
        ("check --n-trials 20 seed=1,2", "sweep sweep.trials=20 seed=1,2 --dry-run"),
        ("train --folds 5", "train cv=kfold cv.folds=5"),
        ("check --seed 3", "check seed=3"),
        ("train model mlp dataset iris", "train model=mlp dataset=iris"),
        ("train model mlp --name a", "train model=mlp --name a"),
        ("train optimizer.lr 0.1", "train optimizer.lr=0.1"),
        ("train epochs 5", "train trainer.max_epochs=5"),
        ("train trainer.gpus=1", "train trainer.accelerator=gpu trainer.devices=1"),
        ("train --device cuda", "train trainer.accelerator=gpu"),
        ("train device=cuda:1", "train trainer.accelerator=gpu 'trainer.devices=[1]'"),
        ("train device=0", "train trainer.accelerator=gpu 'trainer.devices=[0]'"),
        ("train -cn wine_mlp", "train experiment=wine_mlp"),
        ("train dataset=iris -e 5", "train dataset=iris trainer.max_epochs=5"),
        ("train -b 32 -lr 0.1", "train dataset.batch_size=32 optimizer.lr=0.1"),
        ("train trainer.epochs=5", "train trainer.max_epochs=5"),
        ("train wd=0.1", "train optimizer.weight_decay=0.1"),
        ("train cv=5", "train cv=kfold cv.folds=5"),
        ("train --cv 5", "train cv=kfold cv.folds=5"),
        ("train kfold=5", "train cv=kfold cv.folds=5"),
        ("train validation_split=0.2", "train cv.val_size=0.2"),
        ("train --no-gpu", "train trainer.accelerator=cpu"),
        ("train dataset=iris --cuda", "train dataset=iris trainer.accelerator=gpu"),
        ("train --gpu 1", "train trainer.accelerator=gpu 'trainer.devices=[1]'"),
        ("train --fp16 model=mlp", "train trainer.precision=16-mixed model=mlp"),
        ("train loss=focal", "train task/loss=focal"),
        ("train --arch ResNet", "train model=resnet"),
        ("train model=MLP optimizer=AdamW lr=0.1", "train model=mlp optimizer=adamw optimizer.lr=0.1"),
        ("train hydra.run.dir=out", "train runs_dir=out"),
        ("train -m hydra.sweeper.n_trials=9 seed=1,2", "sweep sweep.trials=9 seed=1,2"),
        ("fit dataset=iris", "train dataset=iris"),
        ("fit --epochs 5 model=mlp", "train trainer.max_epochs=5 model=mlp"),
        ("tune optimizer.lr=0.1,0.2", "sweep optimizer.lr=0.1,0.2"),
    ],
)
def test_the_line_does_what_was_meant(typed: str, meant: str) -> None:
    assert line(*typed.split()) == f"dlcli {meant}"
    assert translate_habits(meant.split(), OPTIONS) is None  # it is not answered again


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("train num_workers=4 dataset=iris",
         "Batches are read from memory, without worker processes. Write: dlcli train dataset=iris"),
        ("train --config x.yaml",
         "Settings of a file are an option of experiment: dlcli new experiment x makes conf/experiment/x.yaml, "
         "to which those of x.yaml are copied with dlcli's keys. Write: dlcli train experiment=x"),
        ("train hydra/launcher=joblib -m seed=1,2",
         "dlcli has no settings of Hydra's own (hydra.*). Write: dlcli sweep seed=1,2"),
        ("test", f"{NEWEST}eval last"),
        ("validate wine", f"{NEWEST}eval wine --split val"),
        ("infer wine x.csv", f"{NEWEST}predict wine x.csv"),
        ("infer x.csv --out y.csv", "Write: dlcli predict last x.csv --output y.csv"),
        ("run", "Write: dlcli train"),
        ("train --bogus 3 --epochs 5 -x nothing",
         "--bogus 3, -x nothing have no equivalent, and are left out. Write: dlcli train trainer.max_epochs=5"),
        ("train x.conll tag",
         "tag has no equivalent, and is left out. Write: dlcli train dataset=tags dataset.path=x.conll"),
        ("fit --bogus", "--bogus has no equivalent, and is left out. Write: dlcli train"),
        ("fit sweep.yaml --seed_everything 3",
         "Settings of a file are an option of experiment: dlcli new experiment sweep makes conf/experiment/sweep.yaml, "
         "to which those of sweep.yaml are copied with dlcli's keys. Write: dlcli train experiment=sweep seed=3"),
        ("predict x.csv --proba", "--proba has no equivalent, and is left out. Write: dlcli predict last x.csv"),
        ("validate --config c.yaml --ckpt_path best.ckpt",
         "--config c.yaml has no equivalent, and is left out. Write: dlcli eval last --split val"),
        ("train --problem-type classification", "The task follows from the target. Write: dlcli train"),
        ("train --features a,b --target y",
         "All columns but the target are used, except those of dataset.drop. Write: dlcli train dataset.target=y"),
    ],
)  # fmt: skip
def test_what_has_no_equivalent_of_its_own_is_said_with_the_line(typed: str, hint: str) -> None:
    problem = translate_habits(typed.split(), OPTIONS)
    assert problem is not None
    assert problem.hint == hint


@pytest.mark.parametrize(
    "typed",
    ["train", "train dataset=iris --name x", "train --bogus 3", "train monitr=3", "train seed=3 monitor=val/mae",
     "predict run x.csv", "train ~callbacks.early_stopping", "train +trainer.max_steps=3", "train nothing",
     "train --metric seqeval", "train --metrics acc,seqeval", "train --metrics ,", "train --objective lambdarank",
     "train --split 0.2", "train --train-size .0", "train --train-size 1"],
)  # fmt: skip
def test_other_words_are_left_to_the_command(typed: str) -> None:
    assert translate_habits(typed.split(), OPTIONS) is None


def test_a_json_file_is_read_as_what_it_is(tmp_path: Path) -> None:
    squad, table = tmp_path / "squad.json", tmp_path / "table.json"
    squad.write_text(
        '{"version": "1.1", "data": [{"title": "a", "paragraphs": [{"context": "b", "qas": []}]}]}'
    )
    table.write_text('{"schema": {"fields": []}, "data": [{"a": 1}]}')
    assert line("train", f"dataset={squad}") == f"dlcli train dataset=squad dataset.path={squad}"
    assert line("train", f"--data={table}") == f"dlcli train dataset=table dataset.path={table}"


@pytest.mark.parametrize("name", HOSTILE)
def test_lines_are_right_for_any_name(name: str) -> None:
    pasted = shlex.split(line("train", name, "my target", "--name", name))
    assert pasted[:2] == ["dlcli", "train"]
    settings, problems = parse(pasted[2:5])
    assert not problems
    found = {setting.key: setting.value for setting in settings}
    assert found == {"dataset": "table", "dataset.path": name, "dataset.target": "my target"}
    assert pasted[5:] == ["--name", name]


@pytest.mark.parametrize("name", [name for name in HOSTILE if parse([f"dataset.path={name}"])[1]])
def test_the_hint_for_a_value_that_cannot_be_read_can_be_pasted(name: str) -> None:
    _, (problem,) = parse([f"dataset.path={name}"])
    quoted = problem.hint.removesuffix(".").partition("; for a list")[0]
    quoted = quoted[quoted.index("'") :]
    (setting,), problems = parse(shlex.split(quoted))
    assert not problems
    assert (setting.key, setting.value) == ("dataset.path", name)


@pytest.mark.parametrize("text", [*HOSTILE, "null", "True", "1e3", "3", "nan", "plain", "a/b.c", " x "])
def test_an_assignment_means_its_text(text: str) -> None:
    (word,) = shlex.split(shlex.join([assignment("run_name", text)]))
    (setting,), problems = parse([word])
    assert not problems
    assert setting.value == text


@pytest.mark.parametrize("name", ["it's.csv", 'say "hi".csv', "$HOME.csv"])
def test_a_shell_reads_the_line_as_it_was_meant(name: str) -> None:
    text = dlcli_line("train", assignment("dataset.path", name)).replace("dlcli", "printf '%s'", 1)
    shown = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout
    (setting,), _ = parse([shown.removeprefix("train")])
    assert setting.value == name


def test_the_program_answers_with_exit_code_2_and_as_json(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["train", "--epochs", "5"])
    assert found.exit_code == 2
    assert "--epochs is not an argument of dlcli train" in found.output
    assert "Write: dlcli train trainer.max_epochs=5" in found.output


def test_the_answer_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom dlcli.config.habits import translate_habits\n"
        "assert translate_habits(['train', 'penguins.csv', 'species'], {})\n"
        "assert not {'torch', 'pandas', 'pytorch_lightning', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
