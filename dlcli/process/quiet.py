"""Suppression of library output that a user cannot act on."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress log messages and warnings of libraries that a user cannot act on; DLCLI_DEBUG=1 shows them.

    Also takes effect on libraries that are imported within the context. On exit, logging and warnings are restored, so
    that those of a notebook are unchanged.
    """
    if os.environ.get("DLCLI_DEBUG") == "1":
        yield
        return
    with contextlib.ExitStack() as stack:
        for name, value in _QUIET_ENVIRONMENT.items():
            if name not in os.environ:
                os.environ[name] = value
                stack.callback(os.environ.pop, name, None)
        for name, level in _QUIET_LOGGERS.items():
            stack.enter_context(_pinned(logging.getLogger(name), level))
        stack.enter_context(warnings.catch_warnings())
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=category, module=_LIBRARIES)
        for message in _QUIET_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield


_QUIET_ENVIRONMENT = {
    "KINETO_LOG_LEVEL": "99",  # messages of torch's profiler on stderr: its start, and the absence of a GPU
    "GIT_PYTHON_REFRESH": "quiet",  # GitPython's advice if git is not installed
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",  # a progress bar for each file
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # "View run at ...", on stdout
}
_QUIET_LOGGERS = {
    "pytorch_lightning": logging.WARNING,  # "GPU available: ...", tips, "`Trainer.fit` stopped"
    "lightning_fabric": logging.WARNING,
    "mlflow": logging.WARNING,  # "Creating initial MLflow database tables"
    "mlflow.utils.git_utils": logging.ERROR,  # git is missing, or this is not a repository
    "mlflow.tracking.context.git_context": logging.ERROR,
    "alembic": logging.WARNING,
    "optuna": logging.WARNING,  # "A new study created in memory"
    "datasets": logging.CRITICAL,  # "Failed to read file": dlcli reports it
    "huggingface_hub": logging.ERROR,  # retries
    "transformers": logging.ERROR,  # unused heads of a backbone, and outdated entries of its configuration
    "urllib3.connectionpool": logging.ERROR,  # retries; the tracking code reports their outcome
}
_LIBRARIES = (
    r"(torch|torchvision|torchmetrics|pytorch_lightning|lightning_fabric|lightning_utilities|mlflow|sklearn|skops"
    r"|hydra|omegaconf|numpy|pandas|pydantic|sqlalchemy|alembic|matplotlib)(\.|$)"
)
_QUIET_WARNINGS = (
    "IProgress not found",  # tqdm in a notebook: a library imports it, and dlcli has its own line
    r".*does not have many workers which may be a bottleneck",  # the data is a tensor in memory
    r"The number of training batches \(.*\) is smaller than the logging interval",
    r"Starting from v1\.9\.0, `tensorboardX`",
    r"(Checkpoint|Experiment logs) directory .* exists and is not empty",
    r".*available but not used",  # accelerator=cpu was requested
    r"'pin_memory' argument is set as true but no accelerator",
    r"The `srun` command is available",
    r"It is recommended to use `self\.log\(.*sync_dist=True",
    r"Found \d+ module\(s\) in eval mode",  # intended for a frozen backbone
    r"Precision .* is not supported by the model summary",
    r"You passed `Trainer\(accelerator='cpu', precision='16",  # dlcli's checks reject it
    r"Glyph .* missing from",  # matplotlib's font lacks a character: the plot shows a box
)


@contextlib.contextmanager
def _pinned(logger: logging.Logger, level: int) -> Iterator[None]:
    # Lightning and MLflow set their loggers to INFO on import, which may happen within the context. The level that they
    # set is stored, and applied on exit.
    wanted: int | str = logger.level
    before = vars(logger).get("setLevel")

    def remember(level: int | str) -> None:
        nonlocal wanted
        wanted = level

    logging.Logger.setLevel(logger, max(level, logger.level))
    vars(logger)["setLevel"] = remember
    try:
        yield
    finally:
        del vars(logger)["setLevel"]
        if before is not None:
            vars(logger)["setLevel"] = before
        logging.Logger.setLevel(logger, wanted)
