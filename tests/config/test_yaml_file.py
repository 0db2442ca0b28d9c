"""YAML files: supported content, and aliases that never end."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcli.config.project import default_runs_dir
from dlcli.config.yaml_file import lines, read
from dlcli.errors import ConfigError

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))


def test_aliases_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("one: &one {x: 1}\ntwo: *one\n")
    assert read(file) == {"one": {"x": 1}, "two": {"x": 1}}
    assert lines(file) == {"one": 1, "one.x": 1, "two": 2, "two.x": 1}


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n"], ids=["aliases of aliases", "an alias of itself"])
@pytest.mark.parametrize("reader", [read, lines])
def test_aliases_that_expand_without_end_are_refused(text: str, reader: object, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="aliases"):
        reader(file)  # type: ignore[operator]


def test_a_command_on_a_run_does_not_expand_the_defaults_of_the_current_folder(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "dlcli.yaml").write_text(BOMB)
    with pytest.raises(ConfigError, match="aliases"):
        default_runs_dir()
