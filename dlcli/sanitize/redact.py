"""Removal of secrets from everything that is recorded or shown.

Secrets are: values of settings whose key says so (`api_key`, `dbPassword`), of URL parameters and of assignments in
text with such keys; the user part of a URL; what follows `Bearer` or `Basic`; tokens and keys of known formats; and all
values that were registered as secrets (`register_secret`), wherever they occur.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

MASK = "***"

# The last words of a key that names a secret: `db_password`, but not `password_length`.
_NOUNS = (
    r"[a-z]*(?:passwords?|passwd|pwd|passphrases?|passcode|secrets?|credentials?)|pw|creds|"
    r"(?:api|access|private|secret|signing|encryption|ssh|account|storage|license|master|shared|subscription|service|"
    r"auth|client|deploy|session|host) ?keys?|(?:open ?ai|wandb|hf|aws|azure|gcp) key|apikeys?|auth|authorization|"
    r"bearer|cookies?|jwt|session(?: ?id)?|(?:access|api|auth|bearer|refresh|id|session|secret|csrf) ?tokens?|token"
)
# Names of settings in which `token` means a token of a text, not a secret.
_OF_MODELS = (
    r"(?:pad|eos|bos|unk|cls|sep|mask|class|special|start|end|num|max|min|n|per|reg|register|dist|distillation|image|"
    r"prefix|prompt|first|last|next|query|extra|use|with|has|no) token"
)
_NOUN = re.compile(rf"(?:^|.* )(?:{_NOUNS})$")
_NO_NOUN = re.compile(rf"(?:^|.* ){_OF_MODELS}$")
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")

# Keys below these are columns of the user's table, not settings.
_COLUMNS = re.compile(r"(?:^|[+~ ])dataset\.types\.")

_INTERPOLATION = r"\$\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
_IS_INTERPOLATION = re.compile(rf"(?:{_INTERPOLATION})+")
_NOTHING = re.compile(r"\.{2,}|\?+|\*+|None|null|[Tt]rue|[Ff]alse")
_PLACEHOLDER = re.compile(r"<[^<>]*>|[\[\]<>]+|USER|VALUE|PASSWORD")

_URL = re.compile(r"""[A-Za-z][\w+.-]*://[^\s'"<>`]+""")
# A URL that is a parameter of another URL.
_QUOTED_URL = re.compile(r"""(?i)%3A%2F%2F(?P<secret>[^\s&'"]{0,1000}?)%40""")
# Secret parameters of a URL, in addition to those whose names are those of secret settings.
_PARAMETER = re.compile(
    r"""(?i)[?&;](?:key|code|sig|(?:x-[a-z]+-)?(?:signature|credential|security-token)|jwt|sas|pass|pw)="""
    r"""(?P<secret>[^\s&;#'"]+)"""
)
_SCHEME = re.compile(
    r"""(?P<lead>\b(?:bearer|basic)[ \t]+)(?P<secret>[A-Za-z0-9._~+/=*-]+)""",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"""-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"""
    r"""|(?<![\w-])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|sk-[\w-]{16,}|sk_(?:live|test)_\w{10,}"""
    r"""|hf_[A-Za-z0-9]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|xox[abeoprs]-[\w-]{10,}|AIza[\w-]{30,}|npm_[A-Za-z0-9]{20,}"""
    r"""|pypi-[\w-]{20,}|dop_v1_[a-f0-9]{20,}|eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]*)"""
)
# key=value or "key": value. Only the last part of the key is considered. An unquoted value ends at a separator. Values
# have their own pattern, which is only applied after a secret's key: a long text with many pairs would take too long.
_KEY = re.compile(r"""(?P<key>[\w.+~-]{2,80})(?P<quote>["']?)(?P<between>\s*(?:[=:]|%3[Dd])\s*)""")
_VALUE = re.compile(
    r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|"""
    rf"""(?:{_INTERPOLATION}|[^\s,;&}}\])'"])+"""
)

# A reference to the environment with a default, and a key in a text before it.
_DEFAULT = re.compile(
    r"""(?P<read>\$\{\s*oc\.env\s*:\s*(?P<name>[^,{}\s]+))\s*,(?P<default>\s*'(?:[^'\\]|\\.)*'\s*|[^${}]*)\}"""
)
_KEY_BEFORE = re.compile(r"""([\w.+~-]{2,80})["']?\s*[=:]\s*["']?(?:\$\{oc\.decode:\s*)?$""")

# Prefix of dlcli's own environment variables, which hold secrets that were given in plain text for the life of the
# process (`dlcli.config.plain_secrets`).
KEPT_OUT = "DLCLI_SECRET_"

# Registered secrets. Shorter values than `_SHORTEST` (for values of variables: `_SURE_OF_VARIABLE`) are too common to
# be searched for; values shorter than `_SURE` are only replaced as separate words.
_registered: set[str] = set()
_SHORTEST, _SURE_OF_VARIABLE, _SURE = 6, 8, 12
_OFTEN = 200  # maximum length of a text whose masked form is kept


@lru_cache(maxsize=4096)
def is_secret(key: str) -> bool:
    """Return whether the last part of a key (`dataset.password`, `--api-key`, `clientSecret`) names a secret."""
    if _COLUMNS.search(key):
        return False
    words = " ".join(_WORDS.findall(key.rpartition(".")[2])).lower()
    return _NOUN.match(words) is not None and _NO_NOUN.match(words) is None


def is_secret_value(key: str, value: Any) -> bool:
    """Return whether a setting's value is secret because of its key; switches and sizes are not."""
    if not is_secret(key) or value is None or isinstance(value, bool | float):
        return False
    if isinstance(value, int):
        return re.search(r"(?i)passw|pwd|passcode|passphrase|secret|api.?key", key) is not None
    return not _is_open(str(value))


def register_secret(value: object) -> None:
    """Remove this value from everything that is recorded or shown from now on, unless it is very short."""
    text = str(value)
    if len(text) >= _SHORTEST or (len(text) >= 4 and re.search(r"[^A-Za-z]", text)):
        _registered.update(
            {text, quote(text, safe=""), quote(text), json.dumps(text)[1:-1], repr(text)[1:-1]}
        )


def redact(text: str) -> str:
    """Return text with each secret replaced by `***`. Interpolations (`${oc.env:NAME}`) are not secret and stay."""
    return _masked(text, None)


def _masked(text: str, variables: Sequence[str] | None) -> str:
    """Return text with each secret masked; `variables` are `secret_variables()` if the caller has read them."""
    if len(text) < 4:
        return text
    values = tuple(secret_variables() if variables is None else variables)
    if len(text) > _OFTEN:
        return replaced(text, lambda secret: MASK, values)
    return _masked_once(text, values, frozenset(_registered))


@lru_cache(maxsize=4096)  # a job masks the same names and tags dozens of times
def _masked_once(text: str, variables: Sequence[str], registered: frozenset[str]) -> str:
    """Return text with each secret masked. The registered secrets are an argument so that a new one counts."""
    return replaced(text, lambda secret: MASK, variables)


def replaced(text: str, instead: Callable[[str], str], variables: Sequence[str]) -> str:
    """Return text with each secret replaced by `instead(SECRET)`.

    Args:
        text: the text.
        instead: returns the replacement of a secret.
        variables: values of environment variables to replace, too, such as `secret_variables()`.
    """
    text = without_secret_defaults(text)
    spans = sorted([*_spans(text), *_known(text, variables)])
    parts: list[str] = []
    end = 0
    for start, stop in spans:  # sorted, so that overlapping spans are merged from the left
        if stop <= end:
            continue
        start = max(start, end)
        parts += [text[end:start], instead(text[start:stop])]
        end = stop
    return "".join([*parts, text[end:]])


def redact_value(key: str, value: str) -> str:
    """Return a setting's value without secrets."""
    return MASK if is_secret_value(key, value) else redact(without_secret_defaults(value, key))


def without_secret_defaults(text: str, key: str = "") -> str:
    """Return a text without the defaults of references to secrets: `${oc.env:TOKEN,X}` becomes `${oc.env:TOKEN}`.

    A reference is one to a secret if the key, a key above it, the variable or the text before it says so. A default
    that looks like a secret is removed, too.
    """
    if "oc.env" not in text:
        return text
    is_below_secret = _is_below_secret(key)

    def opened(found: re.Match[str]) -> str:
        default = found["default"].strip("\"' ")
        before = _KEY_BEFORE.search(text[max(0, found.start() - 100) : found.start()])
        is_hidden = is_below_secret or is_secret(found["name"]) or (before and _is_below_secret(before[1]))
        if not _is_open(default) and (is_hidden or redact(default) != default):
            return f"{found['read']}}}"
        return found[0]

    return _DEFAULT.sub(opened, text)


def _is_below_secret(key: str) -> bool:
    """Return whether a key or a key above it names a secret."""
    parts = key.split(".")
    return any(is_secret(".".join(parts[:count])) for count in range(1, len(parts) + 1))


def redact_all(value: Any, key: str = "") -> Any:
    """Return nested plain data without secrets; its keys are names of settings, below the setting `key`."""
    return _all_masked(value, key, False, secret_variables())


def _all_masked(value: Any, key: str, below_secret: bool, variables: Sequence[str]) -> Any:
    below_secret = below_secret or is_secret(key)
    if isinstance(value, Mapping):
        return {
            _masked(name, variables) if isinstance(name, str) else name: _all_masked(
                item, f"{key}.{name}".lstrip("."), below_secret, variables
            )
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_all_masked(item, key, below_secret, variables) for item in value]
    if is_secret_value(key, value) or (below_secret and isinstance(value, str) and not _is_open(value)):
        return MASK
    return _masked(without_secret_defaults(value, key), variables) if isinstance(value, str) else value


def redact_texts(value: Any) -> Any:
    """Return nested plain data, whose keys are not names of settings, with the secrets in its texts masked."""
    return _texts_masked(value, secret_variables())


def _texts_masked(value: Any, variables: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {_texts_masked(key, variables): _texts_masked(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts_masked(item, variables) for item in value]
    return _masked(value, variables) if isinstance(value, str) else value


def redact_command(argv: Sequence[str]) -> str:
    """Return a command line that can be pasted into a shell, with its secrets masked."""
    words: list[str] = []
    hide_next = False
    for word in argv:
        key, equals, value = word.partition("=")
        if hide_next:
            words.append(MASK)
        elif equals and is_secret_value(key, value):
            words.append(f"{key}={MASK}")
        else:
            words.append(redact(word))
        hide_next = not hide_next and word.startswith("-") and not equals and is_secret(word)
    return shlex.join(words)


def _is_open(text: str) -> bool:
    """Return whether a value contains no secret: it is empty, an interpolation or a mask."""
    text = text.strip("\"'")
    return not text or _IS_INTERPOLATION.fullmatch(text) is not None or _NOTHING.fullmatch(text) is not None


def _is_placeholder(text: str) -> bool:
    """Return whether a value in a sentence contains no secret; `VALUE` and `<token>` are placeholders."""
    return _is_open(text) or _PLACEHOLDER.fullmatch(text.strip("\"'.,")) is not None


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of secrets in a text; they may overlap."""
    if "://" in text:
        for url in _URL.finditer(text):
            yield from _of_url(url)
    if "%" in text:
        yield from (found.span("secret") for found in _QUOTED_URL.finditer(text))
    yield from (found.span() for found in _SHAPES.finditer(text))
    for found in _SCHEME.finditer(text):
        secret = found["secret"]
        is_sure = len(secret) >= _SHORTEST and re.search(r"[\d=]", secret)
        if not _is_open(secret) and (is_sure or found["lead"].strip() == "Bearer"):
            yield found.span("secret")
    if "=" in text or ":" in text:
        yield from _pairs(text)


def _of_url(url: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Yield the positions of the user part and of secret parameters of a URL."""
    begin = url.start() + url[0].index("://") + 3
    address = url.string[begin : url.end()]
    host = re.split(r"[/?#]", address, maxsplit=1)[0]
    user, colon, after = host.partition(":")
    # A password may contain an unescaped slash or @, so mask up to the last @: too much rather than too little.
    is_port = re.fullmatch(r"\d*|.*\](?::\d*)?", after) is not None and "@" not in host
    if "@" in address and ("@" in host or (colon and not is_port)):
        end = address.rindex("@") if colon else host.rindex("@")
        if not _is_open(address[:end]) and not _is_placeholder(
            address[len(user) + 1 : end] if colon else address[:end]
        ):
            yield begin, begin + end
    for found in _PARAMETER.finditer(url[0]):
        if not _is_open(found["secret"]):
            start, end = found.span("secret")
            yield url.start() + start, url.start() + end


def _pairs(text: str) -> Iterator[tuple[int, int]]:
    """Yield the positions of values of `key=value`, `"key": "value"` and `key: value` whose keys name a secret."""
    at = 0
    while found := _KEY.search(text, at):
        at = found.end()
        if not is_secret(found["key"]) or text.startswith("//", at):
            continue
        value = _VALUE.match(text, at)
        if value is None:
            continue
        is_quoted = value[0][0] in "\"'"
        bare = value[0].strip("\"'")
        if not is_secret_value(found["key"], bare) or _is_placeholder(bare):
            continue
        if ":" in found["between"] and not found["quote"] and not is_quoted:
            is_sentence = bare.isalpha() and text[value.end() : value.end() + 1] == " "
            if bare not in ("Bearer", "Basic") and (is_sentence or not _is_surely(found["key"], bare)):
                continue
        scheme = None if is_quoted else _SCHEME.match(text, at)  # Authorization: Bearer X
        span = scheme.span("secret") if scheme else value.span()
        if scheme and _is_open(scheme["secret"]):
            at = span[1]
            continue
        yield (span[0] + 1, span[1] - 1) if is_quoted and span[1] - span[0] > 1 else span
        at = span[1]


def _is_surely(key: str, value: str) -> bool:
    """Return whether `key: value` is an assignment, not a sentence about a column or a class of that name."""
    if re.search(r"(?i)passw|pwd|api.?key|access.?key|private.?key|authorization|secret.?key", key):
        return True
    return len(value) >= 8 and re.search(r"\d", value) is not None


def _known(text: str, values: Sequence[str]) -> Iterator[tuple[int, int]]:
    for value in (*_registered, *values):
        at = text.find(value)
        while at >= 0:
            end = at + len(value)
            # A short value is only replaced as a separate word.
            is_whole = not (text[at - 1 : at].isalnum() and value[0].isalnum()) and not (
                text[end : end + 1].isalnum() and value[-1].isalnum()
            )
            if is_whole or len(value) >= _SURE:
                yield at, end
            at = text.find(value, end)


def secret_variables() -> list[str]:
    """Return the values of environment variables whose names say that they are secret."""
    # The encoded names, which are read ten times as fast.
    names = _secret_names(tuple(getattr(os.environ, "_data", os.environ)))
    values = [(name, os.environ.get(name, "")) for name in names]
    return [
        value
        for name, value in values
        if (len(value) >= _SURE_OF_VARIABLE and is_secret(name) and not value.startswith(("/", "./")))
        or (name.startswith(KEPT_OUT) and len(value) >= _SHORTEST)
    ]


@lru_cache(maxsize=4)
def _secret_names(names: tuple[str | bytes, ...]) -> list[str]:
    return [name for name in map(os.fsdecode, names) if is_secret(name) or name.startswith(KEPT_OUT)]
