import re
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import dlcli
from dlcli.config.plain_secrets import words_text
from dlcli.sanitize import redact as redaction
from dlcli.sanitize.redact import is_secret, redact, redact_all, redact_command, redact_value, register_secret
from dlcli.tracking.mlflow_inputs import Shown


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


WORDS_OF_SECRETS = [
    "password", "dbPassword", "DB_PASSWORD", "sslpassword", "passwd", "user.pwd", "api_key", "apikey", "apiKey",
    "pw", "db.pw", "dbPw", "passphrase",
    "APIKey", "x-api-key", "openai_api_key", "access_key", "accessKey", "aws_secret_access_key", "private_key", "token",
    "HF_TOKEN",
    "accessToken", "client-secret", "secret", "credentials", "credential", "auth", "authorization", "Authorization",
    "bearer", "cookie", "session", "session_id", "--api-key", "++model.api_key",
]  # fmt: skip
NOT_SECRET = [
    "tokenizer", "max_tokens", "vocab_tokens", "author", "keyboard", "key", "sort_key", "password_length", "pad_token",
    "cls_token", "class_token", "monitor", "secretary", "passport", "tokens", "num_sessions", "token_dim", "authority",
    "dataset.types.password", "dataset.types.token", "compass", "cookies_per_day",
]  # fmt: skip


@pytest.mark.parametrize("key", WORDS_OF_SECRETS)
def test_keys_that_name_secrets(key: str) -> None:
    assert is_secret(key)
    assert redact_value(key, "hunter2") == "***"
    assert "hunter2" not in redact_command(["dlcli", "train", f"{key}=hunter2"])


@pytest.mark.parametrize("key", NOT_SECRET)
def test_keys_that_only_resemble_secrets_are_shown(key: str) -> None:
    assert not is_secret(key)
    assert redact_value(key, "hunter2") == "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "https://bob:SECRET@host/", "https://SECRET@host/x.git", "ftp://bob:a%40SECRET@host", "s3://k:SECRET/x@host/b",
        "postgresql+psycopg://u:p@SECRET@host:5432/db", "see https://host/x?api_key=SECRET&sig=SECRET&n=1 there",
        "https://b.s3.amazonaws.com/k?X-Amz-Credential=SECRET&X-Amz-Signature=SECRET",
        "goto=https%3A%2F%2Fbob%3ASECRET%40host",
        "goto=x%3Faccess_token%3DSECRET", "Bearer SECRET", "Authorization: Bearer SECRET", "Basic SECRET0=",
        "{'Authorization': 'Bearer SECRET'}", '{"password": "SECRET"}', "password = 'a SECRET, with blanks'",
        "api_key='SECRET'", "client_secret=SECRET;x=1", "password: SECRET", "dataset={user: me, password: SECRET}",
    ],
)  # fmt: skip
def test_texts_that_hold_secrets(text: str) -> None:
    told = redact(text.replace("SECRET", "h1nter2"))
    assert "h1nter2" not in told
    assert "***" in told
    assert redact(told) == told


@pytest.mark.parametrize(
    ("key", "text", "open_text"),
    [
        ("model.api_key", "${oc.env:A,h1nter2}", "${oc.env:A}"),
        ("model.api_key", "${oc.env:A,${oc.env:B,'h1n, ter2'}}", "${oc.env:A,${oc.env:B}}"),
        ("model.api_key", "${oc.decode:${oc.env:A, h1nter2 }}", "${oc.decode:${oc.env:A}}"),
        ("model.credentials.0.user", "${oc.env:A,h1nter2}", "${oc.env:A}"),
        ("model.x", "${oc.env:SOME_TOKEN,h1nter2}", "${oc.env:SOME_TOKEN}"),
        ("model.x", "password=${oc.env:A,h1nter2};x=1", "password=${oc.env:A};x=1"),
        ("model.x", "{'api_key': '${oc.env:A,h1nter2}'}", "{'api_key': '${oc.env:A}'}"),
        ("model.x", "${oc.env:A,https://bob:h1nter2@host/}", "${oc.env:A}"),
        ("model.x", "${oc.env:A,plain}", "${oc.env:A,plain}"),
        ("model.api_key", "${oc.env:A,null}", "${oc.env:A,null}"),
    ],
)
def test_a_default_of_a_secret_is_one_too(key: str, text: str, open_text: str) -> None:
    assert redact_value(key, text) == open_text
    assert redact_all({key: [text]}) == {key: [open_text]}
    assert words_text([f"+{key}={text}"]) == f"+{key}={open_text}\n"
    assert "h1nter2" not in redact(f"{key}={text}")


def test_keys_are_searched_for_secrets_too() -> None:
    assert redact_all({"a": {"https://bob:h1nter2@h/": 1, 3: "x"}}) == {"a": {"https://***@h/": 1, 3: "x"}}
    assert Shown.of({"d": {"password=h1nter2": 1}}, ()).params == {"d.password____": "1"}


# Concatenated, since complete tokens in a file would be reported by secret scanners.
SHAPES = {
    "gh" + "p_": string.ascii_letters[:36],
    "s" + "k-": string.ascii_letters[:40],
    "h" + "f_": string.ascii_letters[:30],
    "AK" + "IA": string.ascii_uppercase[:16],
    "xo" + "xb-": "123456789012-abcdef",
    "gl" + "pat-": string.ascii_letters[:20],
    "ey" + "JhbGciOiJIUzI1NiJ9": ".eyJzdWIiOiIxIn0.c2ln",
    "-----BEGIN RSA PRIVATE " + "KEY-----": "\nabc\n-----END RSA PRIVATE KEY-----",
}


@pytest.mark.parametrize("start", SHAPES)
def test_tokens_of_known_shapes_are_hidden(start: str) -> None:
    assert redact(f"refused: {start}{SHAPES[start]}") == "refused: ***"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://USER@HOST/DATABASE", "https://bob:${oc.env:PW}@h/", "model.api_key=${oc.env:KEY}",
        "Add model.api_key=...", "https://bob:***@h/", "model.api_key=***", "Basic idea", "the bearer of news",
        "token: must be one of a, b", "dataset.types.password=text", "http://[::1]:5000/x@y", "mlflow://profile",
        "sqlite:////home/me@work/mlflow.db", "me@example.org", "git@github.com:me/it.git", "/data/key=value/x.csv",
    ],
)  # fmt: skip
def test_texts_that_hold_none(text: str) -> None:
    assert redact(text) == text


def test_no_shipped_setting_is_a_secret() -> None:
    for file in (Path(dlcli.__file__).parents[1] / "conf").rglob("*.yaml"):
        content = yaml.safe_load(file.read_text()) or {}
        assert redact_all(content) == content, file


PLAIN = [key for key in NOT_SECRET if "." not in key]


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc/._- 019", max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PLAIN), inner, max_size=3),
))  # fmt: skip
def test_ordinary_settings_stay(value: object) -> None:
    assert redact_all(value) == value


@given(st.text(string.ascii_letters + string.digits + "-_.~+", min_size=8, max_size=40), st.text(max_size=20))
def test_a_registered_value_is_removed_anywhere(secret: str, around: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redaction, "_registered", set())
        register_secret(secret)
        assert secret not in redact(f"{around} {secret} {around}").replace(around, "")
        assert redact_all({"note": [f"is {secret}"]}) == {"note": ["is ***"]}


def test_values_of_secret_variables_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert redact("refused abcdefghij or klmnopqrst") == "refused abcdefghij or klmnopqrst"
    monkeypatch.setenv("SOME_API_KEY", "abcdefghij")
    assert redact("refused abcdefghij or klmnopqrst") == "refused *** or klmnopqrst"
    monkeypatch.setenv("SOME_API_KEY", "klmnopqrst")
    assert redact("refused abcdefghij or klmnopqrst") == "refused abcdefghij or ***"
    monkeypatch.setattr(redaction, "_registered", set())
    register_secret("abcdefghij")
    assert redact("refused abcdefghij or klmnopqrst") == "refused *** or ***"


@given(st.text(max_size=300))
def test_a_redacted_text_is_not_changed_again(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "piece", ["key=", "token=", "?key=", "x://a?key=", "%3A%2F%2F", "a.b:", "token://", '"a":']
)
def test_values_are_read_once_however_many_keys_there_are(
    piece: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting:
        read = 0

        def match(self, text: str, at: int) -> re.Match[str] | None:
            found = values.match(text, at)
            self.read += len(found[0]) if found else 0
            return found

    values, counting = redaction._VALUE, Counting()
    monkeypatch.setattr(redaction, "_VALUE", counting)
    text = piece * 20_000
    redact(text)
    assert counting.read <= len(text)
