"""Misspelt names are reported before heavy imports, in the same words as the complete check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dlcli.config.build import TARGET, locate
from dlcli.config.compose import draft
from dlcli.config.misspelt import refuse_misspelt
from dlcli.config.reserved_keys import BY_DATA, SUPPLIED
from dlcli.config.signature import signature
from dlcli.config.written_signature import written_signature
from dlcli.errors import ConfigError
from tests.conftest import ROOT

HEAVY = ("torch", "torchmetrics", "pytorch_lightning", "mlflow", "pandas", "sklearn")
MISSPELT = [
    ["datasett=iris"],
    ["dataset=irsi"],
    ["trainer.max_epoch=3"],
    ["dataset=iris", "model=mlp", "model.hiden=3", "optimizr.lr=1", "seed=3"],
    ["callbacks.early_stoping.patience=3", "executor.jbos=2"],
    ["model=mpl", "task.averag=macro", "~model.hiden"],
    ["optimizer=sgd", "optimizer.momentumm=0.9", "+trainer.nothing=1"],
]


@pytest.mark.parametrize("words", MISSPELT[:3], ids=" ".join)
def test_a_misspelt_name_is_answered_without_heavy_imports(words: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from dlcli.cli.app import app\n"
        "try:\n"
        f"    app(['train', *{words!r}])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 2, end.code\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr
    assert "Did you mean" in done.stderr


@pytest.mark.parametrize("words", MISSPELT, ids=" ".join)
def test_it_equals_the_result_of_the_complete_check(words: list[str]) -> None:
    with pytest.raises(ConfigError) as quick:
        refuse_misspelt(words)
    assert tuple(quick.value.problems) == draft(words, (), SUPPLIED, BY_DATA).problems


@pytest.mark.parametrize(
    "words",
    [
        ["dataset=iris", "model=mlp"],
        ["datasett=iris", "optimizer.lr=fast"],  # whether that is a rate, the optimizer's signature says
        ["datasett=iris", "seed=first"],
        ["datasett=iris", "optimizer._target_=torch.optim.SGD"],
        ["datasett=(iris"],
    ],
    ids=" ".join,
)
def test_what_takes_more_than_names_is_left_to_the_whole_check(words: list[str]) -> None:
    refuse_misspelt(words)


def test_folders_of_the_user_are_left_to_the_whole_check(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    refuse_misspelt(["datasett=iris"], [tmp_path])


def test_arguments_as_they_are_written_are_those_of_the_imported_objects() -> None:
    files = [file for file in (ROOT / "conf").rglob("*.yaml") if file.parent.name != "experiment"]
    targets = {found for file in files for found in _targets(yaml.safe_load(file.read_text()))}
    unread = []
    for target in sorted(targets):
        written = written_signature(target)
        if written is None:
            unread.append(target)
            continue
        found = signature(locate(target))
        names = {name: argument.required for name, argument in found.arguments.items()}
        assert {name: a.required for name, a in written.arguments.items()} == names, target
        assert list(written.arguments) == list(names), target
        assert written.is_open == found.is_open, target
    assert len(targets) > 60
    assert len(unread) < 5, unread


@pytest.mark.parametrize("group", ["image_folder", "hf"])
def test_shared_options_are_keys_of_each_dataset_that_has_them(group: str) -> None:
    written = written_signature(f"dlcli.datasets.{group}.load")
    assert written is not None
    assert not written.is_open
    options = ["size", "fit", "color", "in_memory", "on_bad", "depth", "background"]
    assert list(written.arguments)[-7:] == options
    with pytest.raises(ConfigError) as caught:
        refuse_misspelt([f"dataset={group}", "dataset.sise=8"])
    assert caught.value.problems[0].hint == "Did you mean dataset.size?"


@pytest.mark.parametrize("annotation", ["Any", "Annotated[float, Ge(0)]"])
def test_other_keywords_take_any_name(
    annotation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "keywords_" + annotation[:3].lower()
    imports = "from typing import Annotated, Any\nfrom annotated_types import Ge\n"
    (tmp_path / f"{name}.py").write_text(f"{imports}def load(a, **rest: {annotation}): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    target = f"{name}.load"
    for found in (written_signature(target), signature(locate(target))):
        assert found is not None
        assert (list(found.arguments), found.is_open) == (["a"], True)


def _targets(node: object) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in _targets(item)]
    if not isinstance(node, dict):
        return []
    own = [node[TARGET]] if TARGET in node else []
    return [*own, *(found for item in node.values() for found in _targets(item))]
