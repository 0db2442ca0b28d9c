"""`model.weights=RUN`: a training that starts from the weights of an earlier one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.build import TARGET, locate
from dlcli.config.signature import signature
from dlcli.errors import ConfigError, Problem, RunNotFound
from dlcli.files.paths import is_file, resolved, typed
from dlcli.runs.recorded import read_split
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.manifest import check_model

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dlcli.datasets.data import Data
    from dlcli.splits.split import Split

_KEY = "model.weights"
_WEIGHTS = Path("model", "weights.safetensors")


def starting_weights(config: Mapping[str, Any]) -> Path | None:
    """The file to start from; None where nothing was asked for, or where the model alone reads its `weights`.

    A model that takes weights for its backbone reads those of a run, too: they come with a head, which is left to us.
    """
    given = _run_or_file(config)
    if given is None:
        return None
    if _takes_weights(config):
        from dlcli.models.weights import of_whole_model

        return Path(given) if of_whole_model(Path(given)) else None
    return Path(given)


def _takes_weights(config: Mapping[str, Any]) -> bool:
    """Whether `weights` is an argument of the model itself."""
    return "weights" in signature(locate(config["model"][TARGET])).arguments


def settle_weights(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the file in place of the RUN, so that it is read the same from anywhere.

    Raises:
        RunNotFound: there is no such run.
        ConfigError: it has no weights.
    """
    given = _run_or_file(config)
    if given is None:
        return config
    file = resolved(typed(given))
    if not is_file(file):
        file = _run(config, given) / _WEIGHTS
    if not is_file(file):
        raise ConfigError(
            f"the run {given} has no weights",
            _KEY,
            "Only a finished run has them, and of folds those that tracking.keep kept.",
        )
    if (source := _run_of(file)) is not None:
        check_recorded(source, MODEL_MANIFEST)
        check_model(file.parent, file.name)
    return {**config, "model": {**config["model"], "weights": str(file)}}


def _run_or_file(config: Mapping[str, Any]) -> str | None:
    """What names a run or a file; a model that takes `weights` itself says which of its words do neither."""
    given = config["model"].get("weights")
    if given is None or not _takes_weights(config):
        return given
    words = getattr(locate(config["model"][TARGET]), "weights_words", None)
    return None if words is None or given in words else given


def _run(config: Mapping[str, Any], given: str) -> Path:
    """A run's folder.

    Raises:
        RunNotFound: there is neither such a run nor such a file.
    """
    from dlcli.runs.find import find_run

    try:
        return find_run(given, Path(config["runs_dir"])).run_dir
    except RunNotFound as error:
        if not _takes_weights(config):
            raise
        words = locate(config["model"][TARGET]).weights_words
        more = " ".join(f"{word} {what}." for word, what in words.items())
        problem = error.problems[0]
        raise RunNotFound(
            f"{problem.message}, and no such file", _KEY, f"{problem.hint} {more}".strip()
        ) from error


def fitting_weights(model: nn.Module, file: Path) -> dict[str, Tensor]:
    """The weights of a run that are for this model; of its last layer, those of the same shape.

    Raises:
        ConfigError: another layer does not fit; all of them are named.
    """
    from dlcli.models.weights import compare_weights, read_weights

    weights = read_weights(file, _KEY)
    misfit = compare_weights(model, weights, ignore=_last_layer(model))
    if misfit:
        raise ConfigError(
            f"the weights do not fit the model: {misfit}",
            _KEY,
            "Give the model the settings of that run: its config.yaml has them.",
        )
    wanted = model.state_dict()
    return {
        name: values
        for name, values in weights.items()
        if name in wanted and values.shape == wanted[name].shape
    }


def start_from(model: nn.Module, file: Path) -> None:
    """Give the model a run's weights; its last layer keeps what it has drawn where the run's has another shape."""
    model.load_state_dict(fitting_weights(model, file), strict=False)


def _last_layer(model: nn.Module) -> Callable[[str], bool]:
    """Whether a tensor is one of the output layer's, which follows the number of classes or targets."""
    names = [name for name, _ in model.named_parameters()]
    last = names[-1].rpartition(".")[0] if names else ""
    return lambda name: name.rpartition(".")[0] == last


def check_weights(config: Mapping[str, Any], data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Weights that have learnt rows which are to judge them: the figures would be too good."""
    import numpy as np

    file = starting_weights(config)
    source = _run_of(file) if file else None
    if source is None or source.tags.get("dlcli.data_fingerprint") != data.fingerprint:
        return
    split = read_split(source)
    # What many trainings leave is refitted, and has learnt their validation rows, too.
    learnt = split.train if source.kind not in ("sweep", "cv") else np.union1d(split.train, split.val)
    judge = np.unique(np.concatenate([rows for split in splits for rows in (split.val, split.test)]))
    if seen := len(np.intersect1d(learnt, judge)):
        yield Problem(
            f"{source.run_name} was trained on {seen:,} of the {len(judge):,} rows that are to judge what it becomes",
            _KEY,
            "Take the same rows (cv and cv.seed as in that run), or other data.",
        )


def weights_tags(config: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a run that say what it started from: which run, and a digest of the file."""
    import hashlib

    file = starting_weights(config)
    if file is None:
        return {}
    digest = hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    source = _run_of(file)
    return {"dlcli.weights_fingerprint": digest, **({"dlcli.weights_run": source.run_id} if source else {})}


def _run_of(file: Path) -> Ledger | None:
    folder = file.parents[1]
    return Ledger.load(folder) if (folder / LEDGER_FILE).is_file() else None
