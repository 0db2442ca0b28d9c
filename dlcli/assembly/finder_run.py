"""Run the configured finder and store its value in the run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dlcli.assembly.optimization import make_chosen, make_recipe
from dlcli.assembly.parts import Parts
from dlcli.gate.documents import read_text, yaml_text
from dlcli.gate.seal import seal_change
from dlcli.gate.vouching import CONFIG_FILE
from dlcli.inference.evaluation import choose_device
from dlcli.reports.missing_pictures import MissingPictures
from dlcli.sanitize.redact import redact_all
from dlcli.tracking.digests import replace_recorded
from dlcli.tracking.mlflow_tags import FOUND_TAG
from dlcli.tracking.recorder import Recorder
from dlcli.training.finders import Finder, FinderResult, Tryout

FOUND_KEYS = ("optimizer.lr", "dataset.batch_size")


def run_finder(config: Mapping[str, Any], parts: Parts, seed: int) -> FinderResult | None:
    """Return the result of the configured finder, run on the trainer's device; None if there is no finder."""
    finder: Finder | None = make_chosen(config, "finder")
    if finder is None:
        return None
    recipe = make_recipe(config, parts.train, seed)
    try_out = partial(
        Tryout,
        network=parts.network,
        task=parts.task,
        train=parts.train,
        recipe=recipe,
        device=choose_device(config["trainer"]["accelerator"]),
    )
    return finder.find(try_out, recipe.batch_size)


def settle(
    config: Mapping[str, Any],
    found: FinderResult | None,
    run_dir: Path,
    recorder: Recorder,
    missing: MissingPictures,
) -> dict[str, Any]:
    """Return the configuration with the found value; unchanged without a finder.

    The value is also recorded in the run's folder, so that a repetition of the run does not run the finder again.
    Its plot is added to `missing` if it cannot be drawn.
    """
    if found is None:
        return dict(config)
    section, key = found.key.split(".")
    settled = {**config, section: {**config[section], key: found.value}, "finder": {}}
    text = yaml_text(redact_all(settled))
    seal_change(run_dir, CONFIG_FILE, read_text(run_dir / CONFIG_FILE), text)
    replace_recorded(recorder.ledger, {CONFIG_FILE: text})
    recorder.tag(FOUND_TAG, f"{found.key}={found.value}")
    with missing.noting(f"found_{key}"):
        # Most jobs have no finder, and those of workers draw nothing else.
        from dlcli.reports.finder_plots import finder_curve
        from dlcli.reports.style import save

        (run_dir / "plots").mkdir(exist_ok=True)
        save(finder_curve(found), run_dir / "plots" / f"found_{key}.png")
    return settled
