"""Settings of sweeps have an effect on a training run, or are refused with a command that works."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import dlcli
from dlcli.checks.sweep_settings import asks_for_search, effort_of_files
from dlcli.errors import ConfigError
from dlcli.experiment import plan_experiment

IRIS = ["dataset=iris", "model=linear"]


@pytest.mark.parametrize(
    "word",
    ["sweep.trials=5", "+sweep.trials=5", "sweep.trial_timeout=5", "sweep.sampler.startup_trials=3",
     "sweep/sampler=random", "sweep/pruner=median", "sweep.space={seed: '0,1'}", "~sweep.space", "sweep=default"],
)  # fmt: skip
def test_they_are_refused_where_nothing_is_searched(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_experiment([*IRIS, word, "run_name='a b'"])
    found = {problem.message: problem for problem in caught.value.problems}
    problem = found["has no effect: only dlcli sweep searches"]
    assert problem.where == word.lstrip("+~").partition("=")[0]
    assert (
        problem.hint.splitlines()[0]
        == f"Leave it out: dlcli train {' '.join(IRIS)} 'run_name='\"'\"'a b'\"'\"''"
    )
    search = problem.hint.splitlines()[1].partition("such as: ")[2]
    assert shlex.split(search) == ["dlcli", "sweep", *IRIS, word, "run_name='a b'", "optimizer.lr=0.001,0.01"]


def test_the_line_has_the_command_and_its_options(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    for thorough, command in ((False, "train"), (True, "check")):
        with pytest.raises(ConfigError) as caught:
            plan_experiment(
                [*IRIS, "sweep.trials=5"], [tmp_path / "conf"], tmp_path / "runs", thorough=thorough
            )
        line = caught.value.problems[0].hint.splitlines()[0]
        options = f"-C {tmp_path}/conf --runs-dir {tmp_path}/runs"
        assert line == f"Leave it out: dlcli {command} {options} {' '.join(IRIS)}"


def test_they_are_refused_before_the_rows_are_read() -> None:
    with pytest.raises(ConfigError) as caught:
        plan_experiment(["dataset=table", "dataset.path=none.csv", "dataset.target=y", "sweep.trials=5"])
    assert [problem.where for problem in caught.value.problems] == ["sweep.trials"]


def test_check_finds_them_too() -> None:
    with pytest.raises(ConfigError, match=r"sweep\.refit: has no effect: only dlcli sweep searches"):
        dlcli.check([*IRIS, "sweep.refit=false"])


def test_a_project_may_have_them_for_its_sweeps(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text("# @package _global_\nsweep:\n  trials: 5\n")
    assert "sweep" not in plan_experiment([*IRIS, "experiment=mine"], [folder]).config


def test_an_override_that_removes_the_search_disables_it() -> None:
    assert asks_for_search(["effort=best"])
    assert not asks_for_search(["~effort"])


def test_a_file_may_ask_for_the_search_and_the_command_line_decides(tmp_path: Path) -> None:
    project, own = tmp_path / "project", tmp_path / "own"
    for folder in (project, own / "experiment"):
        folder.mkdir(parents=True)
    (project / "dlcli.yaml").write_text("effort: best\n")
    (own / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /effort: best\n  - override /dataset: iris\n"
    )
    assert effort_of_files(IRIS, [project]) == "best"
    assert effort_of_files(["experiment=mine"], [own]) == "best"
    assert effort_of_files(["experiment=mine", "effort=null"], [own]) is None
    assert effort_of_files(IRIS, [own]) is None


def test_check_of_a_search_warns_that_it_estimates_one_run() -> None:
    words = ["dataset=iris", "model=mlp", "effort=best", "sweep.trials=3"]
    _, profile = dlcli.check(words)
    warning = profile.warnings[0]
    assert warning.where == "effort"
    assert "searches: 3 trials at most on 5 folds, about " in warning.message
    assert " on the disk. Memory, time and disk above are those of one run" in warning.message
    assert warning.hint.endswith(f": dlcli sweep --dry-run {' '.join(words)}")
    with pytest.raises(ConfigError, match="there is no option nope"):
        dlcli.check(["dataset=iris", "effort=best", "sweep.models=[nope]"])
