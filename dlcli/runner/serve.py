"""`dlcli serve`: serve a run's saved model over HTTP."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch

from dlcli.errors import InputError
from dlcli.events import Listener, Note, ignore
from dlcli.files.regular import os_reason
from dlcli.prediction.coverage import with_coverage
from dlcli.process.cores import share
from dlcli.runner import runs_directory
from dlcli.runs.ensembles import Use, open_model
from dlcli.sanitize.redact import register_secret
from dlcli.serving.api import Service
from dlcli.serving.contract import Contract
from dlcli.serving.hosts import is_local
from dlcli.serving.limits import ServeLimits
from dlcli.serving.model_worker import ModelWorker
from dlcli.serving.predictor import Predictor
from dlcli.serving.server import bound_socket, serve_until_stopped
from dlcli.statistics.conformal_methods import ConformalMethod

# Environment variable of the token.
TOKEN = "DLCLI_SERVE_TOKEN"
_SHORTEST, _LONGEST = 16, 4096

_MAKE = "head -c 24 /dev/urandom | base64"


def serve(
    run: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token_file: Path | None = None,
    settings: Sequence[str] = (),
    limits: ServeLimits | None = None,
    device: Literal["auto", "cpu"] = "auto",
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    trust: bool = False,
    use: Use | None = None,
    coverage: float | None = None,
    conformal: ConformalMethod | None = None,
    listen: Listener = ignore,
    ready: Callable[[str, str], None] = lambda address, curl: None,
) -> None:
    """Serve a run's saved model until a signal; `ready` is called with the address and an example command of curl."""
    limits = limits or ServeLimits()
    token, shown = _token(token_file)
    local = is_local(host)
    if not local and not token:
        raise InputError(
            f"{host} can be reached from other machines, so the server needs a token",
            "--host",
            f"Make one, and name its file: {_MAKE} > token; --token-file token",
        )
    listening = bound_socket(host, port)
    with listening:
        chosen = open_model(run, runs_directory(runs_dir), conf_dirs, trust=trust, use=use)
        found = with_coverage(chosen, coverage, conformal)
        torch.set_num_threads(share())
        opened, model = found.run, found.model
        model.check_predicts_rows()
        for note in found.notes:
            listen(Note(note))
        predictor = Predictor(opened, model, settings, limits, device)
        contract = Contract(opened, predictor, limits)
        if contract.note:
            listen(Note(contract.note))
        worker = ModelWorker(predictor.answer, limits.queue)
        service = Service(contract, worker, limits, token, local)
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listening.getsockname()[1]}"
        serve_until_stopped(service, listening, lambda: ready(address, contract.curl(address, shown)))


def _token(file: Path | None) -> tuple[str, str]:
    """Return the token and a shell expression for it; both are empty without a token.

    Raises:
        InputError: The file cannot be read, or the token is too short or not printable.
    """
    quoted = shlex.quote(str(file))
    where, shown = (f"--token-file {file}", f"$(cat {quoted})") if file else (TOKEN, f"${TOKEN}")
    if file is not None:
        try:
            with file.open(encoding="utf-8") as opened:
                token = opened.read(_LONGEST + 1).strip()
        except (OSError, UnicodeDecodeError) as error:
            why = os_reason(error) if isinstance(error, OSError) else "is not text"
            raise InputError(f"the file {why}", where, f"Write a token to it: {_MAKE} > {quoted}") from error
    else:
        token = os.environ.get(TOKEN, "").strip()
        if TOKEN not in os.environ:
            return "", ""
    if len(token) > _LONGEST:
        raise InputError(f"the token has more than {_LONGEST:,} characters", where, f"Make one: {_MAKE}")
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        message = f"the token needs {_SHORTEST} letters, digits or signs, or more, without blanks"
        raise InputError(message, where, f"Make one: {_MAKE}")
    register_secret(token)
    return token, shown
