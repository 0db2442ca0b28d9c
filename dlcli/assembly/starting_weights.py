"""`model.weights=RUN`: initialize a model with the weights of an earlier run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from dlcli.config.build import TARGET, locate
from dlcli.config.signature import signature
from dlcli.datasets.data import Data
from dlcli.errors import ConfigError, Problem, RunNotFound
from dlcli.files.paths import is_file, resolved, typed
from dlcli.models.weights import compare_weights, of_whole_model, read_weights
from dlcli.runs.find import find_run
from dlcli.runs.recorded import read_split
from dlcli.splits.split import Split
from dlcli.tracking.digests import MODEL_MANIFEST, check_recorded
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.manifest import check_model
from dlcli.tracking.mlflow_tags import WEIGHTS_RUN_TAG

_KEY = "model.weights"
_WEIGHTS = Path("model", "weights.safetensors")


def starting_weights(config: Mapping[str, Any]) -> Path | None:
    """Return the file of the initial weights; None if there is none, or if only the model itself reads its `weights`.

    A model with an argument `weights` loads its backbone itself. The file of a run also contains a head, so it is
    returned, and the head is loaded by this module.
    """
    given = _run_or_file(config)
    if given is None:
        return None
    if _takes_weights(config):
        return Path(given) if of_whole_model(Path(given)) else None
    return Path(given)


def _takes_weights(config: Mapping[str, Any]) -> bool:
    """Return whether `weights` is an argument of the model itself."""
    return "weights" in signature(locate(config["model"][TARGET])).arguments


def settle_weights(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with the absolute path of the weights in place of RUN.

    Raises:
        RunNotFound: The run does not exist.
        ConfigError: The run has no weights.
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
            "Only finished runs have weights; folds have them as far as tracking.keep keeps them.",
        )
    if (source := _run_of(file)) is not None:
        check_recorded(source, MODEL_MANIFEST)
        check_model(file.parent, file.name)
    return {**config, "model": {**config["model"], "weights": str(file)}}


def _run_or_file(config: Mapping[str, Any]) -> str | None:
    """Return `model.weights` if it names a run or a file, else None.

    A model with its own argument `weights` lists values that are neither in `weights_words`.
    """
    given = config["model"].get("weights")
    if given is None or not _takes_weights(config):
        return given
    words = getattr(locate(config["model"][TARGET]), "weights_words", None)
    return None if words is None or given in words else given


def _run(config: Mapping[str, Any], given: str) -> Path:
    """Return a run's folder.

    Raises:
        RunNotFound: There is neither such a run nor such a file.
    """
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
    """Return the weights of a run that fit this model; those of the last layer only if the shape is the same.

    Raises:
        ConfigError: Other layers do not fit; the message names all of them.
    """
    weights = read_weights(file, _KEY)
    misfit = compare_weights(model, weights, ignore=_last_layer(model))
    if misfit:
        raise ConfigError(
            f"the weights do not fit the model: {misfit}",
            _KEY,
            "Use the model settings of that run; they are in its config.yaml.",
        )
    wanted = model.state_dict()
    return {
        name: values
        for name, values in weights.items()
        if name in wanted and values.shape == wanted[name].shape
    }


def start_from(model: nn.Module, file: Path) -> None:
    """Load a run's weights into the model. The last layer keeps its random weights if the shapes differ."""
    model.load_state_dict(fitting_weights(model, file), strict=False)


def _last_layer(model: nn.Module) -> Callable[[str], bool]:
    """Return a predicate for the parameters of the output layer, whose shape depends on the number of outputs."""
    names = [name for name, _ in model.named_parameters()]
    last = names[-1].rpartition(".")[0] if names else ""
    return lambda name: name.rpartition(".")[0] == last


def check_weights(config: Mapping[str, Any], data: Data, splits: Sequence[Split]) -> Iterator[Problem]:
    """Yield a problem if the initial weights were trained on this run's validation or test rows.

    The metrics on these rows would be too optimistic.
    """
    file = starting_weights(config)
    source = _run_of(file) if file else None
    if source is None or source.tags.get("dlcli.data_fingerprint") != data.fingerprint:
        return
    split = read_split(source)
    # The final model of a sweep or a cross-validation is refitted, so it is trained on the validation rows as well.
    trained = split.train if source.kind not in ("sweep", "cv") else np.union1d(split.train, split.val)
    held_out = np.unique(np.concatenate([rows for split in splits for rows in (split.val, split.test)]))
    if seen := len(np.intersect1d(trained, held_out)):
        yield Problem(
            f"{source.run_name} was trained on {seen:,} of the {len(held_out):,} validation and test rows",
            _KEY,
            "Use the split of that run (the same cv and cv.seed), or other data.",
        )


def weights_tags(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that record the initial weights of a run: a digest of the file and the ID of its run."""
    file = starting_weights(config)
    if file is None:
        return {}
    digest = hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    source = _run_of(file)
    return {"dlcli.weights_fingerprint": digest, **({WEIGHTS_RUN_TAG: source.run_id} if source else {})}


def _run_of(file: Path) -> Ledger | None:
    folder = file.parents[1]
    return Ledger.load(folder) if (folder / LEDGER_FILE).is_file() else None
