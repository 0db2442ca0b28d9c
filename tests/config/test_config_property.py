"""Property-based tests: any overrides give a configuration or a ConfigError."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_config import SUPPLIED

from dlcli.config.compose import compose
from dlcli.config.folders import groups, options
from dlcli.config.keys import Keys
from dlcli.config.reserved_keys import SUPPLIED as RUNS_SUPPLIED
from dlcli.config.validate import Supplied
from dlcli.errors import ConfigError

KEYS = [
    "seed", "mode", "runs_dir", "run_name", "model", "modle", "optimizer", "optimizer.lr",
    "optimizer.betas", "optimizer.betas.0", "task.loss", "task.loss.smoothing", "task.loss._target_",
    "model._target_", "task.parts", "callbacks", "callbacks.stop", "callbacks.stop.monitor",
    "callbacks.new._target_", "dataset", "dataset.root", "dataset.columns", "dataset.columns.a",
    "dataset.batch_size", "experiment", "experiment/x", "hydra", "hydra/launcher", "model._partial_",
    "model._args_", "model.extra.deep.er", "lr", "", "a..b", "_target_", "defaults", "model@x",
]  # fmt: skip
VALUES = [
    "", "0", "-1", "1e-3", "1e999", "nan", "true", "null", "abc", "'q'", "[1,2]", "[]", "{}", "{a: 1}",
    "{a: {b: 1}}", "{1: 2}", "{a.b: 1}", "${seed}", "${nope}", "${task}", "${", "${hydra:run.dir}",
    "${oc.env:HOME}", "${.}", "???", "net", "wide", "tuned", "plain", "none", "digits", "table", "open",
    "toy_targets.Loss", "toy_targets.Open", "os.nix", "{_target_: toy_targets.Stop, monitor: x}",
    "{_target_: 3}", "1,2", "range(1,3)", "choice(a,b)", "\\", "'", "[", "é", "a b", "a=b", "9" * 30,
    "[[1],[{a: 1}]]", "{_target_: toy_targets.Stop, monitor: ${callbacks}}",
]  # fmt: skip
PREFIXES = ["", "", "", "+", "++", "~"]

override = st.one_of(
    st.builds("{}{}={}".format, st.sampled_from(PREFIXES), st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.builds("{}={}".format, st.sampled_from(KEYS), st.text(max_size=8)),
    st.builds("~{}".format, st.sampled_from(KEYS)),
    st.text(max_size=12),
)


EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(EXAMPLES, max_examples=400)
@given(st.lists(override, max_size=4))
def test_it_composes_or_gives_a_reason(toy: Path, overrides: list[str]) -> None:
    check(overrides, SUPPLIED)


# Keys that do not exist in the shipped configuration, or cannot be set.
WRONG_KEYS = [
    "lr", "optimiser.lr", "trainer.max_epoch", "model.hiden", "modle.hidden", "dataset.batchsize", "trainer.logger",
    "callbacks.early_stopping.patience.x", "model.input_shape", "optimizer.params", "optimizer._target_",
]  # fmt: skip
REAL_VALUES = [*VALUES[:24], "0.5", "10", "relu", "max", "val/accuracy", "torch.optim.SGD", "16-mixed", "cpu"]


@st.deferred
def real_override() -> st.SearchStrategy[str]:
    """Valid and invalid overrides of the shipped configuration; deferred, because it imports all targets."""
    config = compose([], supplied=RUNS_SUPPLIED).config
    keys = st.sampled_from([*(key for key in Keys(config, groups(), {}).known() if "." in key), *WRONG_KEYS])
    chosen = [f"{group}={option}" for group in groups() for option in (*options(group), "nothing", "mpl")]
    return st.one_of(
        st.sampled_from(chosen),
        st.builds("{}{}={}".format, st.sampled_from(PREFIXES), keys, st.sampled_from(REAL_VALUES)),
        st.builds("{}={}".format, keys, st.floats() | st.integers() | st.booleans()),
    )


@settings(EXAMPLES, max_examples=80)  # `python -m tests.fuzz overrides` tries as many as one likes
@given(st.lists(real_override, max_size=4))
def test_the_shipped_configuration_composes_or_gives_a_reason(overrides: list[str]) -> None:
    check(overrides, RUNS_SUPPLIED)


def check(overrides: list[str], supplied: Supplied) -> None:
    try:
        found = compose(overrides, supplied=supplied)
    except ConfigError as error:
        assert all(problem.message for problem in error.problems)
    else:
        json.dumps(found.config)
