"""Every command in the README and in docs/ runs, training commands with trainer=debug; every link is valid."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pandas as pd
import pytest
import typer
import yaml
from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app
from tests.conftest import ROOT

PAGES = {page: page.read_text() for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
COURSE = sorted((ROOT / "docs" / "course").glob("*.md"))  # whose commands tests/test_course.py runs
TEXT = "\n".join(PAGES.values())
BLOCKS = re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)


def commands(blocks: Iterable[str]) -> list[str]:
    """Return the commands of dlcli in the blocks, with continuation lines joined, without duplicates."""
    found = (re.findall(r"^dlcli (?:.*\\\n)*.*", block, re.MULTILINE) for block in blocks)
    return list(dict.fromkeys(re.sub(r"\s*\\\n\s*", " ", command) for block in found for command in block))


# In the order of the pages, because some commands need a run that an earlier one has created.
COMMANDS = commands(BLOCKS)
# Commands on files of the reader.
EXAMPLES = commands(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL))
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder with the files that the pages show and the shared data; its modules are unloaded afterwards."""
    folder = tmp_path_factory.mktemp("project")
    for language in ("python", "yaml"):
        for name, content in re.findall(rf"```{language}\n# (\S+)\n(.*?)```", TEXT, re.DOTALL):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    data = ROOT.parent / "shared" / "data"
    if data.is_dir():
        shutil.copytree(data / "MNIST", folder / "data" / "MNIST")
        for file in (
            *(data / "timeseries").glob("*.csv"),
            *(data / "tabular").glob("*.csv"),
            data / "text" / "sms.tsv",
            data / "cifar10-subset.tar",
            data / "speech" / "fsdd" / "fsdd.tar",
            data.parent / "weights" / "mobilenetv1_100.safetensors",
        ):
            shutil.copy(file, folder / "data")
    path = list(sys.path)
    yield folder
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{folder}/"):
            del sys.modules[name]


def test_the_two_commands_come_first() -> None:
    assert BLOCKS[0].split()[:2] == ["make", "train"]
    assert "make test" in BLOCKS[0]


def reads_data(words: Sequence[str]) -> bool:
    return any(word.startswith("data/") or "=data" in word for word in words)


def made_from_data(words: Sequence[str]) -> bool:
    """Return whether a command uses a run that another command has created from such data."""
    for other in map(shlex.split, COMMANDS):
        if "--name" in other and reads_data(other) and other[other.index("--name") + 1] in words:
            return True
    return False


def made_by(words: Sequence[str]) -> set[str]:
    """Return the names of runs and archives that a command makes."""
    named = {words[words.index("--name") + 1]} if "--name" in words else set()
    if words[:3] == ["dlcli", "runs", "register"]:
        named.add(f"models:/{words[4]}")
    if words[:3] in (["dlcli", "runs", "rename"], ["dlcli", "runs", "export"]):
        named.add(words[-1])
    return named


def needed_by(command: str) -> list[str]:
    """Return the earlier commands that make what a command uses, in their order."""
    words = shlex.split(command)
    uses = {word.partition("@")[0] for word in words} - made_by(words)
    earlier = COMMANDS[: COMMANDS.index(command)]
    return [other for other in earlier if made_by(shlex.split(other)) & uses]


_ran: set[str] = set()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_documentation_runs(
    command: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    for other in needed_by(command):  # where a part of the commands was selected
        if other not in _ran:
            test_a_command_of_the_documentation_runs(other, project, monkeypatch)
    run(command, monkeypatch)
    _ran.add(command)
    if command.startswith("dlcli runs rename"):  # its run has another name now
        _ran.difference_update(needed_by(command))


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command in the current folder."""
    words = shlex.split(command)[1:]
    if words == ["ui"]:
        pytest.skip("a server: tests/cli/test_ui.py")
    if words[0] == "serve":  # until a signal: tests/serving
        monkeypatch.setattr("dlcli.runner.serve.serve_until_stopped", lambda service, socket, ready: ready())
        Path("token").write_text("0123456789abcdef")
    if (reads_data(words) or made_from_data(words)) and not Path("data").is_dir():
        pytest.skip("needs the folder shared/data beside the checkout")
    if words[0] == "resume" and "--trials" not in words:
        words = [*words[:2], "trainer.max_epochs=3"]
    if words[0] == "train" and "trainer=debug" not in words:
        chosen = any(word.startswith("trainer=") for word in words)
        words = [
            *words,
            *(["trainer.max_epochs=1", "trainer.limit_rows=600"] if chosen else ["trainer=debug"]),
        ]
    if words[0] == "sweep":
        words = [*words, "trainer.max_epochs=1", *(["sweep.trials=2"] if "--time" in words else [])]
    # A further process imports everything: tests/executors and tests/distributed have them.
    words = ["trainer.devices=1" if word == "trainer.devices=2" else word for word in words]
    if "--jobs" in words:
        words = [*words, "--jobs", "1"]
    if "--time" in words:
        monkeypatch.setattr("dlcli.executors.local.is_launched", lambda: True)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_on_other_files_can_be_composed(command: str) -> None:
    name, *words = shlex.split(command)[1:]
    if name not in ("train", "check", "sweep"):  # a run of the reader: only the options can be checked
        main: Any = typer.main.get_command(app)
        main.get_command(main.make_context("dlcli", [name, *words]), name).make_context(name, words)
        return
    for place in reversed([i for i, word in enumerate(words) if word.startswith("--")]):
        del words[place : place + 2]  # an option of training and its value
    words = [word for word in words if not word.startswith("model.weights=")]
    done = CliRunner().invoke(app, ["show", *words])
    assert done.exit_code == 0, done.output


def test_the_mistakes_read_as_shown() -> None:
    command, shown = re.search(r"```console\n\$ dlcli (train modle.*?)\n(.*?)```", TEXT, re.DOTALL).groups()
    done = CliRunner().invoke(app, shlex.split(command))
    assert done.exit_code == 2
    assert done.stderr.split() == shown.split()


def test_a_bad_row_reads_as_shown() -> None:
    command, shown = re.search(
        r"```console\n\$ dlcli (train dataset=table.*?)\n(.*?)```", TEXT, re.DOTALL
    ).groups()
    Path("birds.csv").write_text("size,kind\n1,owl\n3\n")
    done = CliRunner().invoke(app, shlex.split(command))
    assert done.exit_code == 2
    assert done.stderr.replace(f"{Path.cwd()}/", "").split() == shown.split()


def test_warnings_read_as_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    if not Path("data").is_dir():
        pytest.skip("needs the folder shared/data beside the checkout")
    command = "dlcli check dataset=table dataset.path=data/bike-hour.csv dataset.target=cnt"
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    printed = " ".join(done.stdout.split())
    blocks = re.findall(rf"```console\n\$ {re.escape(command)}\n(.*?)```", TEXT, re.DOTALL)
    assert blocks
    for part in "...".join(blocks).split("..."):
        assert " ".join(part.split()) in printed


def test_new_rows_are_predicted_as_shown(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    if not Path("data").is_dir():
        pytest.skip("needs the folder shared/data beside the checkout")
    (example,) = re.findall(r"```python\n(import pandas.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    with pytest.warns(UserWarning, match="2 of 344 rows are empty but for one column"):  # of these penguins
        exec(example, names)
    assert len(names["predicted"]) == len(names["new"])
    found, wrong = names["found"], names["wrong"]
    assert len(wrong) == (found["prediction"] != found["target"]).sum()
    assert (wrong["species"] == wrong["target"]).all()


def test_the_python_example_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    (example,) = re.findall(r"```python\nimport dlcli\n(.*?)```", PAGES[ROOT / "README.md"], re.DOTALL)
    names: dict[str, object] = {}
    exec("import dlcli\n" + example, names)
    assert names["result"].metrics["test/accuracy"] > 0.5  # type: ignore[attr-defined]


def test_the_python_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of its blocks, in their order, and each function that there is."""
    monkeypatch.chdir(tmp_path)
    page = PAGES[ROOT / "docs" / "python.md"]
    names: dict[str, Any] = {}
    exec("".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), names)
    assert [where for where, *_ in names["mistakes"]] == ["model.hiden", "optimizer.lr"]
    assert names["predictions"].columns[:3].tolist() == ["row", "sepal length (cm)", "prediction"]
    assert len(names["predictions"]) == len(pd.read_parquet("predictions.parquet")) == 150
    assert names["model"].outputs(names["rows"]).shape == (150, 3)
    assert names["longer"].run_id == names["first"].run_id
    assert [name for name in dlcli.__all__ if f"dlcli.{name}(" not in page or f"`{name}(" not in page] == []


def functions_of_commands() -> dict[str, Any]:
    """Return the function of each command, by what is typed: `train`, `runs`, `runs show`."""
    found = {
        command.callback.__name__: command.callback for command in app.registered_commands if command.callback
    }
    for group in app.registered_groups:
        found[str(group.name)] = group.typer_instance.registered_callback.callback
        for command in group.typer_instance.registered_commands:
            found[f"{group.name} {command.name}"] = command.callback
    return found


def test_every_command_is_documented() -> None:
    names = functions_of_commands()
    assert [name for name in names if not re.search(rf"dlcli {name}\b", TEXT)] == []


def test_examples_in_help_are_parts_of_commands_that_run() -> None:
    docs = "\n".join(function.__doc__ or "" for function in functions_of_commands().values())
    examples = re.findall(r"- `(dlcli .*)`", docs)
    assert examples
    for example in examples:
        shown = (shlex.split(command) for command in (*COMMANDS, *EXAMPLES))
        assert any(set(shlex.split(example)) <= set(words) for words in shown), example


def test_every_extra_is_in_the_readme() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    readme = PAGES[ROOT / "README.md"]
    assert [extra for extra in extras if extra != "dev" and f"`{extra}`" not in readme] == []


def test_every_measurement_is_documented() -> None:
    names = [file.stem for file in (ROOT / "bench").glob("[a-z]*.py")]
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Return the targets of a page's links to files of this repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text()))
    return [target for target in found if "://" not in target]


@pytest.mark.parametrize("page", [*PAGES, *COURSE, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there.read_text()), target


def test_the_readme_leads_to_every_page() -> None:
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in links(ROOT / "README.md")}
    assert {page for page in PAGES if page.parent.name == "docs"} <= linked


def test_the_site_has_every_page() -> None:
    """`make docs` adds the pages of the repository's top level to those of the folder."""
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    found = re.findall(r"[\w/-]+\.md", str(menu))
    top = {"index.md", "contributing.md", "changelog.md"}
    docs = ROOT / "docs"
    assert sorted(found) == sorted({str(page.relative_to(docs)) for page in docs.rglob("*.md")} | top)


def test_links_of_the_site_lead_where_those_of_the_repository_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", ".config", ".config.defaults", ".structure", ".structure.files", ".structure.pages"):
        monkeypatch.setitem(sys.modules, f"mkdocs{name}", MagicMock())  # only make docs installs it
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "docs" / "site_pages.py")
    assert spec and spec.loader
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)
    made = {ROOT / name: ROOT / "docs" / page for name, page in site.TOP.items()}
    for page in (ROOT / "docs").rglob("*.md"):
        file = SimpleNamespace(src_uri=page.relative_to(ROOT / "docs").as_posix())
        text = page.read_text()
        turned = site.on_page_markdown(text, SimpleNamespace(file=file), None, None)
        for link, other in zip(site._LINK.findall(text), site._LINK.findall(turned), strict=True):
            there = (page.parent / link).resolve()
            assert (page.parent / other).resolve() == made.get(there, there), (page, link)


def test_contributing_names_places_that_exist() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    places = [place for row in rows for place in re.findall(r"`(.+?)`", row)]
    assert places
    assert [
        place for place in places if not any((ROOT / top / place).exists() for top in ("", "dlcli"))
    ] == []
