"""Whatever is typed: a configuration, or a ConfigError."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_config import SUPPLIED

from dlcli.config.compose import compose
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


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(override, max_size=5))
def test_composes_or_says_why_not(toy: Path, overrides: list[str]) -> None:
    try:
        found = compose(overrides, supplied=SUPPLIED)
    except ConfigError as error:
        assert all(problem.message for problem in error.problems)
    else:
        json.dumps(found.config)
