"""Follow the steps of "A good first change" in CONTRIBUTING.md literally, in a temporary folder."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import itertools
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from dlcli.comparison.scale import scale_of
from tests.conftest import ROOT

SECTION = re.search(
    r"^## A good first change\n(.*?)^## ", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL | re.MULTILINE
)
assert SECTION is not None
CHANGES = dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", SECTION[1], re.DOTALL | re.MULTILINE))


@dataclass(frozen=True)
class Change:
    """A change that was applied to a folder: paths of new and changed files, and the commands of its last step."""

    folder: Path
    new: tuple[str, ...]
    changed: dict[str, list[str]]  # path to the lines that were added
    commands: tuple[str, ...]


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield language and content of each code block, without the indentation of its list."""
    for indent, language, content in re.findall(
        r"^( *)```(\w+)\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE
    ):
        yield (
            language,
            dedent(content)
            if not indent
            else "".join(line.removeprefix(indent) for line in content.splitlines(keepends=True)),
        )


def apply(text: str, folder: Path) -> Change:
    """Apply the steps to a folder: write the files of the blocks, and change copies of the repository's files."""
    new: list[str] = []
    changed: dict[str, list[str]] = {}
    commands: list[str] = []
    for language, content in blocks(text):
        if language in ("python", "yaml"):
            header, _, content = content.partition("\n")
            path = header.removeprefix("# ")
            assert not (ROOT / path).exists(), f"{path} already exists"
            write(folder / path, content)
            new.append(path)
        elif language == "diff":
            for path, hunks in re.findall(
                r"^--- (\S+)\n(.*?)(?=^--- |\Z)", content, re.DOTALL | re.MULTILINE
            ):
                write(folder / path, patched((ROOT / path).read_text(), hunks, path))
                changed[path] = re.findall(r"^\+(.*)$", hunks, re.MULTILINE)
        else:
            assert language == "bash"
            commands += content.splitlines()
    return Change(folder, tuple(new), changed, tuple(commands))


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def patched(text: str, hunks: str, path: str) -> str:
    """Return the text after all hunks; the old lines of each have to occur exactly once."""
    for hunk in hunks.split("@@\n")[1:]:
        lines = hunk.splitlines()
        old, new = ("".join(f"{line[1:]}\n" for line in lines if line[0] in kinds) for kinds in (" -", " +"))
        assert text.count(old) == 1, f"{path}: {old!r}"
        text = text.replace(old, new)
    return text


def module_name(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def load(name: str, file: Path) -> ModuleType:
    """Load a file as a module with a given name."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def modules() -> Iterator[None]:
    """Restore dlcli's modules at the end of the test."""
    # All of them are imported before, so that none is imported while others are replaced.
    for found in pkgutil.walk_packages(dlcli.__path__, "dlcli."):
        if not found.name.startswith(("dlcli.__main__", "dlcli.templates.")):
            importlib.import_module(found.name)
    before = {name: module for name, module in sys.modules.items() if name.startswith("dlcli.")}
    yield
    for name in [name for name in sys.modules if name.startswith(("dlcli.", "changed_"))]:
        if name not in before:
            del sys.modules[name]
            parent, _, last = name.rpartition(".")
            if parent in before:
                delattr(before[parent], last)
    sys.modules.update(before)


def install(change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new modules importable in this process, and replace the changed modules of the repository."""
    for path in change.new:
        if path.startswith("dlcli/"):
            package = importlib.import_module(module_name(str(Path(path).parent)))
            monkeypatch.setattr(package, "__path__", [*package.__path__, str((change.folder / path).parent)])
    for path in change.changed:
        if path.startswith("dlcli/"):
            name = module_name(path)
            module = load(name, change.folder / path)
            parent, _, last = name.rpartition(".")
            monkeypatch.setattr(importlib.import_module(parent), last, module)
    if (change.folder / "conf").is_dir():
        monkeypatch.setenv("DLCLI_CONF_DIR", str(change.folder / "conf"))


def run(command: str) -> str:
    """Run a command, with trainer=debug if it trains, and return its output."""
    words = shlex.split(command)[1:]
    done = CliRunner().invoke(app, [*words, "trainer=debug"] if words[0] == "train" else words)
    assert done.exit_code == 0, done.output
    return done.output


def run_tests(change: Change) -> int:
    """Call new and changed tests with all of their parameters, and return the number of calls."""
    found = 0
    for number, path in enumerate([*change.new, *change.changed]):
        if not path.startswith("tests/"):
            continue
        module = load(f"changed_{number}", change.folder / path)
        for name, function in vars(module).items():
            if not name.startswith("test_"):
                continue
            if path in change.changed and not any(
                line in inspect.getsource(function) for line in change.changed[path]
            ):
                continue
            for arguments in parameters(function):
                function(**arguments)
                found += 1
    return found


def parameters(function: Any) -> list[dict[str, Any]]:
    """Return the arguments of each call, from the marks of a test."""
    sets: list[list[dict[str, Any]]] = []
    for mark in getattr(function, "pytestmark", []):
        names = mark.args[0]
        several = [names] if isinstance(names, str) else list(names)
        sets.append(
            [dict(zip(several, [v] if isinstance(names, str) else v, strict=True)) for v in mark.args[1]]
        )
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*sets)]


@pytest.fixture
def change(
    request: pytest.FixtureRequest, tmp_path: Path, modules: None, monkeypatch: pytest.MonkeyPatch
) -> Change:
    folder = tmp_path / "checkout"
    found = apply(CHANGES[request.param], folder)
    install(found, monkeypatch)
    return found


def test_the_section_has_a_model_a_dataset_and_a_metric() -> None:
    assert list(CHANGES) == ["A model", "A dataset", "A metric"]


@pytest.mark.parametrize("change", ["A model"], indirect=True)
def test_a_model_is_added_in_four_steps(change: Change) -> None:
    shown, trained, _ = (run(command) for command in change.commands if command.startswith("dlcli"))
    assert "Number of gated units." in shown
    assert "Gated, " in trained
    assert run_tests(change) == 1


@pytest.mark.parametrize("change", ["A dataset"], indirect=True)
def test_a_dataset_is_added_in_four_steps(change: Change) -> None:
    checked, trained = (run(command) for command in change.commands if command.startswith("dlcli"))
    assert "No mistake was found" in checked
    assert "moons: 1,000 rows, 2 classes" in trained
    assert run_tests(change) == 1


@pytest.mark.parametrize("change", ["A metric"], indirect=True)
def test_a_metric_is_added_in_four_steps(change: Change) -> None:
    result = dlcli.train(
        ["dataset=diabetes", "model=mlp", "task.metrics=[default,max_error]", "trainer=debug"]
    )
    assert result.metrics["test/max_error"] >= result.metrics["test/mae"] > 0
    assert result.baselines["test/max_error"] > 0
    for command in change.commands:
        if command.startswith("dlcli"):
            assert "max_error" in run(command)
    assert scale_of("max_error", [result.run_dir]).better == "lower"
    assert run_tests(change) == 1


@pytest.mark.parametrize("name", CHANGES)
def test_written_files_pass_ruff_and_name_files_that_exist(name: str, tmp_path: Path) -> None:
    found = apply(CHANGES[name], tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    own = "lint.isort.known-first-party = ['dlcli', 'tests']"  # needed, because the folder contains only the new files
    for arguments in (["check", "--config", own], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    for command in found.commands:
        if command.startswith("make test"):
            for path in shlex.split(command)[-1].removeprefix("ARGS=").split():
                assert (ROOT / path).exists() or path in found.new, path
        else:
            assert command.startswith("dlcli ")
