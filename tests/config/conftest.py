from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from toy_config import TOY, write_files


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("shipped, with 'odd' name") / "conf", TOY)


@pytest.fixture
def toy(toy_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Use a small shipped conf folder whose targets import nothing heavy."""
    for module in ("folders", "hydra_compose"):
        monkeypatch.setattr(f"dlcli.config.{module}.shipped_folder", lambda: toy_folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DLCLI_CONF_DIR", raising=False)
    return toy_folder


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Return a writer for files of the user's folder (tmp_path/conf); the code next to it is unloaded afterwards."""
    path, modules = list(sys.path), set(sys.modules)

    def write(name: str, text: str) -> Path:
        write_files(tmp_path, {name: text})
        return tmp_path / "conf"

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("mine"):
            del sys.modules[name]
