"""A small shipped conf folder, and helpers for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from dlcli.config.compose import Composed, compose
from dlcli.errors import ConfigError

TOY = {
    "config.yaml": """
        defaults:
          - preprocessing: none
          - task: classes
          - optimizer: adam
          - model: net
          - callbacks: default
          - dataset: digits
          - _self_
          - experiment: null

        seed: 0
        monitor: val/loss
        mode: min
        experiment_name: null
        run_name: null
        runs_dir: runs
        """,
    "preprocessing/none.yaml": "_target_: toy_targets.Loss\nreduction: none\n",
    "preprocessing/image.yaml": "_target_: toy_targets.Loss\nreduction: image\n",
    "preprocessing/table.yaml": "_target_: toy_targets.Loss\nreduction: table\n",
    "task/classes.yaml": """
        _target_: toy_targets.Task
        loss:
          _target_: toy_targets.Loss
          smoothing: 0.0
        """,
    "optimizer/adam.yaml": "_target_: toy_targets.Adam\nlr: 0.001\n",
    "optimizer/open.yaml": "_target_: toy_targets.Open\nsize: 1\n",
    "model/net.yaml": "_target_: toy_targets.Net\nhidden: 8\n",
    "model/wide.yaml": "_target_: toy_targets.Net\nhidden: 512\n",
    "callbacks/default.yaml": """
        stop:
          _target_: toy_targets.Stop
          monitor: ${monitor}
        """,
    "callbacks/none.yaml": "# nothing\n",
    "dataset/digits.yaml": """
        defaults:
          - override /preprocessing@_global_.preprocessing: image

        _target_: toy_targets.load
        batch_size: 32
        """,
    "dataset/table.yaml": "_target_: toy_targets.load\nroot: ???\nbatch_size: 16\n",
    "experiment/tuned.yaml": """
        # @package _global_
        defaults:
          - override /model: wide

        optimizer:
          lr: 0.5
        """,
    "experiment/plain.yaml": """
        # @package _global_
        defaults:
          - override /preprocessing: table
        """,
}

SUPPLIED = {
    "model": {"input_shape": "It comes from the data."},
    "optimizer": {"params": "dlcli passes the model's parameters."},
}


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(dedent(text).lstrip("\n"), "utf-8")
    return root


def composed(*overrides: str, folders: Sequence[Path] = ()) -> Composed:
    return compose(overrides, folders, SUPPLIED)


def mistakes(*overrides: str, folders: Sequence[Path] = ()) -> list[tuple[str, str, str]]:
    """Return (where, message, hint) of all problems."""
    with pytest.raises(ConfigError) as caught:
        compose(overrides, folders, SUPPLIED)
    return [(p.where, p.message, p.hint) for p in caught.value.problems]
