"""Fixtures of all tests."""

from __future__ import annotations

import gc
import gzip
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests import quick

ROOT = Path(__file__).parent.parent

# Tests that `make test` leaves out unless DLCLI_LONG_TESTS=1, so that it ends within 20 minutes on two cores: those
# marked `long`, and whole files whose subject other tests have in small.
LONG = bool(os.environ.get("DLCLI_LONG_TESTS"))
LONG_FILES = {
    "tests/executors/test_slurm.py",
    "tests/exporting/test_bundle_kinds.py",
    "tests/models/test_sentence_encoder.py",
    "tests/runs/test_damage.py",
    "tests/sweeps/test_postgresql.py",
    "tests/test_resumed_kinds.py",
    "tests/tracking/test_database.py",
}


# No absolute times: the machine may have much else to do.
settings.register_profile("dlcli", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dlcli")


# Collection creates a million objects that live as long as the process: the garbage collector would look at them again
# and again, and find none to free.
gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, lest one worker ends with such a file while the other has nothing to do.

    The workers must find the same names, so that none may contain the address of an object.
    """
    if addressed := [item.nodeid for item in items if " object at 0x" in item.nodeid]:
        raise pytest.UsageError(f"give these cases `ids`: {', '.join(addressed)}")
    left_out = pytest.mark.skip(reason="takes long: DLCLI_LONG_TESTS=1")
    for item in items:
        if not LONG and (
            item.path.relative_to(ROOT).as_posix() in LONG_FILES or item.get_closest_marker("long")
        ):
            item.add_marker(left_out)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key of seals, and whatever else dlcli keeps for its user, is the tests' own; processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    with pytest.MonkeyPatch.context() as patch:
        quick.forget_the_disk(patch)
        quick.build_commands_once(patch)
        event.listen(Engine, "connect", quick.no_waiting)
        yield
        event.remove(Engine, "connect", quick.no_waiting)


@pytest.fixture(scope="module", autouse=True)
def _coarse(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each file of tests draws each picture once, and coarsely; tests of the plots draw as users see them.

    Tests of whole runs draw fewer rows for the intervals of differences.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name not in ("comparison", "reports", "sanitize"):
            quick.draw_coarsely(patch)
        if request.path.parent == ROOT / "tests":
            quick.draw_few_rows(patch)
        yield


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees this machine's settings, or leaves anything outside its own folder."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "DLCLI_RUNS_DIR",
        "DLCLI_CONF_DIR",
        "DLCLI_DEBUG",
        "NO_COLOR",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    on_interrupt = signal.getsignal(signal.SIGINT)
    yield
    # Lightning ignores Ctrl-C from its first KeyboardInterrupt on, and processes that later tests start would as well.
    assert signal.getsignal(signal.SIGINT) == on_interrupt


@pytest.fixture
def shared_data() -> Path:
    """Real data beside the checkout, which not everybody has."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the folder shared/data beside the checkout")
    return folder


def write_idx(file: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}i", 0, 8, values.ndim, *values.shape)
    file.parent.mkdir(parents=True, exist_ok=True)
    content = header + values.astype(np.uint8).tobytes()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


def write_mnist(root: Path, *, train: int, test: int) -> None:
    """A small MNIST of noise; two files packed and two not."""
    raw = root / "MNIST" / "raw"
    random = np.random.default_rng(0)
    for part, rows, ending in (("train", train, ""), ("t10k", test, ".gz")):
        write_idx(raw / f"{part}-images-idx3-ubyte{ending}", random.integers(0, 256, (rows, 28, 28)))
        write_idx(raw / f"{part}-labels-idx1-ubyte{ending}", np.arange(rows) % 10)
