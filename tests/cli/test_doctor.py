"""`doctor`: its findings, and how it reports problems."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlcli.checks import machine as doctor
from dlcli.checks.machine import Finding, examine
from dlcli.cli.app import app


def findings(topic: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(Path("runs")) if finding.topic == topic}


def test_doctor_finds_no_problem() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(done.stdout)
    wrong = [finding for finding in document["findings"] if finding["state"] == "wrong"]
    assert not wrong
    assert (done.exit_code, document["status"]) == (0, "OK")
    assert {finding["topic"] for finding in document["findings"]} == {
        "versions", "extras", "accelerators", "threads", "store", "disk",
    }  # fmt: skip
    assert not Path("runs").exists()


def test_every_requirement_has_a_tested_version() -> None:
    tested = doctor.tested_versions()
    assert "torch" in tested
    for requirement in doctor._requirements(""):
        assert requirement.name.lower() in tested
        assert requirement.specifier.contains(tested[requirement.name.lower()])


def test_versions_that_differ_or_do_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch": "2.11.1", "numpy": "1.26.0", "typer": ""}
    monkeypatch.setattr(
        doctor,
        "_installed",
        lambda name: installed.get(name) if name in installed else metadata.version(name),
    )
    found = findings("versions")
    assert (found["torch"].state, found["torch"].hint) == ("doubtful", "Tested with 2.15.0.")
    assert (found["numpy"].state, found["numpy"].hint) == (
        "wrong",
        "dlcli needs >=2.0: pip install 'numpy>=2.0'",
    )
    assert found["typer"].found == "missing"
    assert found["typer"].hint.startswith("pip install 'typer>=0.")
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "! 1.26.0  dlcli needs >=2.0: pip install 'numpy>=2.0'" in done.stdout
    assert "Something prevents dlcli from working: see above." in done.stdout


def test_a_missing_extra_has_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: "" if name == "hypothesis" else "9.9")
    dev = findings("extras")["dev"]
    assert (dev.state, dev.found, dev.hint) == (
        "fine",
        "missing: hypothesis",
        "pip install 'hypothesis>=6.150'",
    )


def test_an_extra_needs_what_those_in_it_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: "" if name == "transformers" else "9.9")
    found = findings("extras")
    for extra in ("text", "lora", "dev"):
        line = "pip install 'transformers>=5.0'"
        assert (found[extra].found, found[extra].hint) == ("missing: transformers", line)
    assert found["vision"].found == "installed"


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (found,) = findings("store").values()
    assert (found.state, found.found) == ("wrong", "the MLflow store does not answer")
