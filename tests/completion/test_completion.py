"""Completion: candidates, insertion by bash, and cost."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlcli.completion.answer import open_quote, rest, split
from dlcli.completion.candidates import candidates

BREAKS = " \t\n\"'><=;|&(:"


def offered(line: str) -> list[str]:
    *words, current = split(line)
    return [found.value for found in candidates(words[1:], current)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dlcli tr", ["train"]),
        ("dlcli --ver", ["--version"]),
        ("dlcli train mod", ["model=", "model.", "mode="]),
        ("dlcli train model=ls", ["model=lstm"]),
        ("dlcli train optimizer.l", ["optimizer.lr="]),
        ("dlcli train +optimizer.l", ["+optimizer.lr="]),
        ("dlcli train optimizer.lr=", ["optimizer.lr=0.001"]),
        ("dlcli train optimizer=sgd optimizer.lr=", ["optimizer.lr=0.05"]),
        (
            "dlcli train model=lstm model.",
            [
                f"model.{key}="
                for key in (
                    "embedding",
                    "cell",
                    "hidden",
                    "layers",
                    "bidirectional",
                    "pooling",
                    "dropout",
                    "initialization",
                )
            ],
        ),
        ("dlcli train trainer.deterministic=", ["trainer.deterministic=true", "trainer.deterministic=false"]),
        ("dlcli train callbacks.", ["callbacks.early_stopping."]),
        ("dlcli train callbacks.early_stopping.p", ["callbacks.early_stopping.patience="]),
        ("dlcli train dataset=iris preprocessing.sc", ["preprocessing.scaling="]),
        ("dlcli train task=binary task/loss=focal task.loss.g", ["task.loss.gamma="]),
        ("dlcli train task=multiclass task.loss.label", ["task.loss.label_smoothing="]),
        ("dlcli train --js", ["--json"]),
        ("dlcli train --json --runs-dir there model=ml", ["model=mlp"]),
        ("dlcli train --runs-dir ", []),
        ("dlcli show model/cn", ["model/cnn"]),
        ("dlcli list optim", ["optimizer"]),
        ("dlcli new mo", ["model"]),
        ("dlcli new model ", []),
        ("dlcli eval --split ", ["test", "val"]),
        ("dlcli nothing ", []),
        ("dlcli train 'model=ls", ["model=lstm"]),
    ],
)
def test_words_that_complete_a_line_are_offered(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_options_and_keys_of_one_s_own_are_offered() -> None:
    Path("own/model").mkdir(parents=True)
    Path("own/model/mine.yaml").write_text("# Mine.\n_target_: not_there.Net\n# Width.\nwidth: 3\n")
    assert offered("dlcli train -C own model=mi") == ["model=mine"]
    assert offered("dlcli train -C own model=mine model.w") == ["model.width="]
    Path("own/experiment").mkdir()
    Path("own/experiment/first.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: mine\n\nscheduler:\n  # Steps.\n  gamma: 0.5\n"
    )
    with_experiment = "dlcli train -C own experiment=first "
    assert offered(with_experiment + "model.w") == ["model.width="]
    assert offered(with_experiment + "scheduler.g") == ["scheduler.gamma="]
    Path("own/dlcli.yaml").write_text("model: mine\n")  # above the model that a dataset suggests
    assert offered("dlcli train -C own dataset=iris model.w") == ["model.width="]
    assert offered("dlcli train -C own dataset=iris model=mlp model.hi") == ["model.hidden="]
    Path("own/dlcli.yaml").write_text("model: mlp\nexperiment: first\n")
    assert offered("dlcli train -C own dataset=iris model.w") == ["model.width="]
    Path("own/model/broken.yaml").write_text("a: [")
    assert "model=broken" in offered("dlcli train -C own model=")


def test_runs_are_offered_by_name_the_newest_first() -> None:
    for age, name in enumerate(["new-run", "old-run"]):
        folder = Path("runs") / "digits" / name / "artifacts"
        folder.mkdir(parents=True)
        ledger = {"run_name": name, "status": "FINISHED", "created_at": "2026-01-01T00:00:00"}
        (folder / "ledger.json").write_text(json.dumps(ledger))
        os.utime(folder / "ledger.json", (1000 - age, 1000 - age))
    (Path("runs") / "digits" / "torn" / "artifacts").mkdir(parents=True)
    (Path("runs") / "digits" / "torn" / "artifacts" / "ledger.json").write_text('{"run_na')
    assert offered("dlcli eval ") == ["last", "new-run", "old-run"]
    assert offered("dlcli eval new") == ["new-run"]
    assert offered("dlcli eval --runs-dir elsewhere n") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a b", ["a", "b"]),
        ("a ", ["a", ""]),
        ("a 'b c", ["a", "b c"]),
        ('a "b" ', ["a", "b", ""]),
        (r"a\ b", ["a b"]),
    ],
)
def test_a_line_is_split_like_in_a_shell(line: str, expected: list[str]) -> None:
    assert split(line) == expected


def test_bash_gets_what_follows_its_last_word_break() -> None:
    assert rest("model=lstm", "model=l", BREAKS) == "lstm"
    assert rest("model=lstm", "model=l", " \t") == "model=lstm"
    assert rest("model=", "mod", BREAKS) == "model="


@pytest.mark.parametrize(
    "name", ["a b", "a$(touch${IFS}PWNED)", "it's", 'say "hi"', "a`touch PWNED`", "a;touch PWNED", "é"]
)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_bash_reads_the_inserted_name_as_it_is(name: str, quote: str, tmp_path: Path) -> None:
    line = f"dlcli eval {quote}"
    assert open_quote(line) == quote
    inserted = f"printf %s {quote}{rest(name, '', BREAKS, quote)}{quote}"
    done = subprocess.run(["bash", "-c", inserted], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == name
    assert not list(tmp_path.iterdir())


def complete_in_bash(line: str, folder: Path) -> list[str]:
    """Return what bash inserts or shows, called as its readline does."""
    script = f"""
        dlcli() {{ {sys.executable} -m dlcli "$@"; }}
        source <(dlcli completion bash)
        COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
        _dlcli
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_groups_keys_and_options(tmp_path: Path) -> None:
    assert complete_in_bash("dlcli train mod", tmp_path) == ["model=", "model.", "mode="]
    assert "lstm" in complete_in_bash("dlcli train model=", tmp_path)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_is_valid(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    script = subprocess.run(
        [sys.executable, "-m", "dlcli", "completion", shell], capture_output=True, check=True
    )
    subprocess.run([shell, "-n"], input=script.stdout, check=True)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_words_and_meanings(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dlcli", "train", "optimizer.l"],
        env={**os.environ, "_DLCLI_COMPLETE": shell}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "optimizer.lr=\tLearning rate.\n"


def cpu_seconds(*arguments: str, **environment: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
def test_it_costs_a_fifth_of_importing_torch() -> None:
    """And torch is a quarter of what training imports."""
    torch = cpu_seconds("-c", "import torch")
    spent = min(
        cpu_seconds("-m", "dlcli", "dlcli train model=lstm model.", BREAKS, _DLCLI_COMPLETE="bash")
        for _ in range(2)
    )
    assert spent < torch / 5


def test_nothing_heavy_is_imported() -> None:
    look = """if True:
        import sys
        from dlcli.completion.answer import answer
        sys.argv = ["", "dlcli train model=", "="]
        answer("bash")
        heavy = {"torch", "hydra", "omegaconf", "mlflow", "pydantic", "numpy", "rich"} & set(sys.modules)
        assert not heavy, heavy
    """
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "lstm" in done.stdout


def test_commands_of_a_group() -> None:
    assert "runs" in offered("dlcli r")
    assert not [name for name in offered("dlcli ") if "_" in name]
    assert {"--filter", "--all"} <= set(offered("dlcli runs --"))
    assert "show" in offered("dlcli runs ")
    assert offered("dlcli runs show --op") == ["--open"]
    assert offered("dlcli runs show la") == offered("dlcli show la") == ["last"]
    assert {"--jobs", "--conf-dir"} <= set(offered("dlcli train --"))
