import pytest

from dlcli.redact import redact, redact_command, redact_value


@pytest.mark.parametrize(
    "word",
    [
        "dataset.password=hunter2",
        "++model.api_key=hunter2",
        "HF_TOKEN=hunter2",
        "dataset={user: me, password: hunter2}",
        "dataset={'secret':'hunter2'}",
        "dataset.url=https://me:hunter2@host/x",
        "dataset.url=https://hunter2@host/x.git",
        "dataset.url=postgresql://me:hun/hunter2@host/db",
        "dataset.url=https://host/x?token=hunter2&n=1",
        "dataset.url=postgresql://host/db?user=me&sslpassword=hunter2",
        "aws_secret_access_key=hunter2",
    ],
)
def test_secrets_are_masked(word: str) -> None:
    command = redact_command(["dlcli", "train", word, "seed=1"])
    assert "hunter2" not in command
    assert "***" in command
    assert command.startswith("dlcli train ")
    assert command.endswith(" seed=1")


def test_the_word_after_a_secret_flag_is_masked() -> None:
    assert "hunter2" not in redact_command(["dlcli", "--api-key", "hunter2", "train"])


@pytest.mark.parametrize(
    "word",
    [
        "model.max_tokens=512",
        "model.tokenizer=bert",
        "optimizer.lr=1e-3",
        "dataset.url=https://host:8080/a@b",
        "seed=1",
    ],
)
def test_the_rest_is_left_alone(word: str) -> None:
    assert redact(word) == word


def test_values_are_masked_by_their_key() -> None:
    assert redact_value("dataset.token", "abc") == "***"
    assert redact_value("dataset.path", "abc") == "abc"
